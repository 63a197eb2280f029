//! Who noticed an outage: those who call routes, and users of the page.

use super::{
    Call, FaultPhase, RouteAccount, Seen, Span,
    breaker::count_of,
    effect::{p99, quantile, slower_than},
    percent, seconds,
};
use crate::run::recording::{Page, ranked};

/// A route whose calls come at less than this share of their rate before has lost traffic.
const LOST_SHARE: f64 = 0.5;
/// A route with a lower rate before loses nothing that is told, in calls a second.
const RATE_MIN: f64 = 0.5;

/// In sentences; and what users saw, in a few words.
pub(super) fn noticed(
    seen: &Seen<'_>,
    routes: &[RouteAccount],
    index: usize,
) -> (Vec<String>, String) {
    let phase = &seen.phases[index];
    let hit = phase
        .routes
        .iter()
        .filter(|it| seen.calls.routes.contains(it));
    let others = seen
        .calls
        .routes
        .iter()
        .filter(|it| !phase.routes.contains(it));
    let mut told = Vec::new();
    let mut unchanged = Vec::new();
    for route in hit.chain(others) {
        match callers_of(seen, routes, phase, route) {
            Some(sentence) => told.push(sentence),
            None if seen.load_to != *route => unchanged.push(route.as_str()),
            None => {}
        }
    }
    if seen.steady.is_some() && !unchanged.is_empty() {
        told.push(format!(
            "Calls to {}: no more of them failed than before, and they went on.",
            unchanged.join(", ")
        ));
    }
    let (users, readers) = users(seen, phase);
    told.extend(users);
    (told, readers)
}

/// What happened to calls on one route; none where nothing did.
fn callers_of(
    seen: &Seen<'_>,
    routes: &[RouteAccount],
    phase: &FaultPhase,
    route: &String,
) -> Option<String> {
    // What the load asks itself is told by its pages.
    if seen.load_to == *route {
        return None;
    }
    let own = std::slice::from_ref(route);
    let calls = seen.calls_on(own, phase.span);
    let before = seen.steady.map(|it| (it, seen.calls_on(own, it)));
    let failed = |calls: &[&Call]| calls.iter().filter(|it| it.is_error()).count();
    let rate = |calls: usize, span: Span| calls as f64 / span.seconds().max(1e-6);
    let lost = before.as_ref().and_then(|(steady, before)| {
        let now = rate(calls.len(), phase.span);
        let usual = rate(before.len(), *steady);
        let is_lost = usual >= RATE_MIN && now < usual * LOST_SHARE;
        is_lost.then(|| {
            format!(
                "{} came in the phase, {} a second (before: {})",
                count_of(calls.len(), "call"),
                plain_rate(now),
                plain_rate(usual)
            )
        })
    });
    let (failures, all) = (failed(&calls), calls.len());
    let (failures_before, all_before) = before
        .as_ref()
        .map_or((0, 0), |(_, it)| (failed(it), it.len()));
    let part = |hits: usize, all: usize| hits as f64 / all.max(1) as f64;
    let is_hit = phase.routes.contains(route);
    let fails_more = part(failures, all) > part(failures_before, all_before) + 0.01;
    if !is_hit && !fails_more && lost.is_none() {
        return None;
    }
    let mut parts = Vec::new();
    if is_hit || fails_more {
        let before = match all_before {
            0 => String::new(),
            all => format!(" (before: {failures_before} of {all})"),
        };
        parts.push(format!(
            "{failures} of {} failed{before}",
            count_of(all, "call")
        ));
        let refused = calls
            .iter()
            .filter(|it| it.failed && !it.is_error())
            .count();
        if refused > 0 {
            parts.push(format!("{refused} more were refused (status 4xx)"));
        }
        parts.extend(slower(&calls, seen, own));
    }
    if let Some(lost) = lost {
        let why = match cause(routes, phase, route) {
            Some(caller) => format!("; {caller}, which calls it, had the fault"),
            None => String::new(),
        };
        parts.push(format!("{lost}{why}"));
    }
    let by = routes.iter().find(|it| it.route == *route);
    let by = by.and_then(|it| it.called_by.as_deref());
    let by = by.map_or_else(String::new, |it| format!(" of the service behind {it}"));
    Some(format!("Calls{by} to {route}: {}.", parts.join("; ")))
}

/// The route with a fault through which a route is called.
fn cause<'r>(routes: &'r [RouteAccount], phase: &FaultPhase, route: &str) -> Option<&'r str> {
    let mut at = routes.iter().find(|it| it.route == route)?;
    for _ in 0..routes.len() {
        let caller = at.called_by.as_deref()?;
        if phase.routes.iter().any(|it| it == caller) {
            return Some(caller);
        }
        at = routes.iter().find(|it| it.route == caller)?;
    }
    None
}

fn users(seen: &Seen<'_>, phase: &FaultPhase) -> (Option<String>, String) {
    let all: Vec<(u64, &Page)> = seen.pages_in(phase.span).collect();
    let pages: Vec<&Page> = all.iter().map(|(_, it)| *it).collect();
    let Some(load) = seen.load.as_deref().filter(|_| !pages.is_empty()) else {
        let why = "what users saw is not known, because others made the load";
        return (None, why.to_owned());
    };
    let count = |wanted: fn(&Page) -> bool| pages.iter().filter(|it| wanted(it)).count();
    let (failed, fallback) = (count(Page::is_error), count(Page::is_fallback));
    let before: Vec<&Page> = seen.steady.map_or_else(Vec::new, |steady| {
        seen.pages_in(steady).map(|(_, it)| it).collect()
    });
    let slow = p99(&pages).zip(p99(&before));
    let is_slower = slow.is_some_and(|(now, usual)| now > slower_than(usual));
    let median = quantile(&pages, 0.5).zip(quantile(&before, 0.5));
    let took = |what: &str, it: Option<(u64, u64)>| {
        it.map_or_else(String::new, |(now, usual)| {
            format!(", {what} {} (before: {})", seconds(now), seconds(usual))
        })
    };
    let mut told = format!(
        "Users of {load}: {failed} of {} failed, {fallback} ({}) were fallbacks{}{}.",
        count_of(pages.len(), "page"),
        percent(fallback, pages.len()),
        took("median", median),
        took("p99", slow)
    );
    if median.is_some_and(|(now, usual)| now < usual * 4 / 5) {
        let why = why_faster(seen, phase, &all);
        told = format!("{told} The median is lower than before; {why}.");
    }
    let changed = pages.iter().filter(|it| it.is_error() || it.is_fallback());
    let faults = phase.faults.iter();
    let injected = faults.filter_map(|it| seen.calls.first_struck(&it.id, phase.span.from));
    if let (Some(first), Some(injected)) = (changed.map(|it| it.ended).min(), injected.min())
        && first < injected
    {
        told = format!(
            "{told} The first of these ended at {}, before the fault was injected into any call: it shows what came before.",
            seconds(first)
        );
    }
    let by_fallback = format!("{} of pages were fallbacks", percent(fallback, pages.len()));
    let some_failed = format!("{failed} of {} failed", count_of(pages.len(), "page"));
    let readers = match (failed, fallback, is_slower) {
        (0, 0, false) => "users did not notice".to_owned(),
        (0, 0, true) => "no page failed, but users waited longer".to_owned(),
        (0, _, false) => format!("no page failed, but {by_fallback}"),
        (0, _, true) => format!("no page failed, but {by_fallback}, and users waited longer"),
        (_, 0, _) => some_failed,
        _ => format!("{some_failed}, and {by_fallback}"),
    };
    (Some(told), readers)
}

/// Why most pages of a phase took less time than before.
fn why_faster(seen: &Seen<'_>, phase: &FaultPhase, pages: &[(u64, &Page)]) -> String {
    if !seen.calls.is_known() {
        return "without single calls it is not known why".to_owned();
    }
    let hit = phase.routes.join(", ");
    if seen.not_joined(&phase.routes).is_some() {
        let calls = seen.calls_on(&phase.routes, phase.span).len();
        return match calls * 2 < pages.len() {
            true => format!(
                "only {} to {hit} came in the phase",
                count_of(calls, "call")
            ),
            false => "pages and calls do not tell why".to_owned(),
        };
    }
    let called = seen.pages_with_calls(&phase.routes);
    let without = pages.iter().filter(|(it, _)| !called.contains(it)).count();
    match without * 2 > pages.len() {
        true => format!("{without} of them made no call to {hit}"),
        false => "pages and calls do not tell why".to_owned(),
    }
}

/// A rate without its unit.
fn plain_rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 0.1 => "below 0.1".to_owned(),
        rate => format!("{rate:.1}"),
    }
}

fn slower(calls: &[&Call], seen: &Seen<'_>, own: &[String]) -> Option<String> {
    let median = |calls: &[&Call]| {
        let good = calls.iter().filter(|it| it.good);
        let mut took: Vec<u64> = good.map(|it| it.end - it.start).collect();
        took.sort_unstable();
        ranked(&took, 0.5)
    };
    let before = seen.calls_on(own, seen.steady?);
    let (now, usual) = (median(calls)?, median(&before)?);
    (now > usual * 3 / 2 + 5_000).then(|| {
        format!(
            "good calls took {} in the median (before: {})",
            seconds(now),
            seconds(usual)
        )
    })
}
