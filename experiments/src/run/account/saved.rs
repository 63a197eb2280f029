//! What kept pages up while a dependency failed.

use std::collections::{BTreeMap, HashSet};

use super::{
    Call, FaultPhase, Saved, Seen,
    breaker::count_of,
    effect::{quantile, slower_than},
    outage::usual,
    percent, seconds,
};
use crate::run::recording::{Page, Span, ranked};

/// What was tried for a page on the routes with faults.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    all: usize,
    failed: usize,
    good: usize,
}

pub(super) fn by(seen: &Seen<'_>, phase: &FaultPhase, opened: bool) -> Vec<Saved> {
    let pages: Vec<(u64, &Page)> = seen.pages_in(phase.span).collect();
    if pages.is_empty() {
        return vec![undetermined("no page of a load is known")];
    }
    let failed = pages.iter().filter(|(_, it)| it.is_error()).count();
    let calls = seen.calls_on(&phase.routes, phase.span);
    let marked = pages.iter().filter(|(_, it)| it.is_fallback()).count();
    let mut saved = Vec::new();
    if !seen.calls.is_known() {
        if marked > 0 {
            saved.push(told(
                "fallback",
                format!(
                    "{marked} of {} pages say that they are a fallback's ({}).",
                    pages.len(),
                    seen.fallback
                ),
            ));
        } else if failed < pages.len() {
            let why = seen
                .calls
                .unknown
                .as_deref()
                .unwrap_or("single calls are not known");
            saved.push(undetermined(why));
        }
        saved.extend(told_by_services(phase));
        return with_failures(saved, failed, pages.len());
    }
    let failed_calls = calls.iter().filter(|it| it.failed).count();
    if calls.iter().all(|it| !it.injected) {
        let why = "the fault acted on no call while the page was asked for";
        return vec![told("not_needed", format!("Nothing was needed: {why}."))];
    }
    if let Some(why) = seen.not_joined(&phase.routes) {
        let saved = unjoined(seen, phase, &pages, marked, &why);
        return with_failures(saved, failed, pages.len());
    }
    // Of pages of the phase, whenever their calls began.
    let mut tried: BTreeMap<u64, Tried> = BTreeMap::new();
    let whole_run = seen.calls_on(
        &phase.routes,
        Span {
            from: 0,
            to: u64::MAX,
        },
    );
    for call in &whole_run {
        let of_page = tried.entry(call.page.unwrap_or(u64::MAX)).or_default();
        of_page.all += 1;
        of_page.failed += usize::from(call.failed);
        of_page.good += usize::from(call.good);
    }
    let usually: f64 = phase.routes.iter().filter_map(|it| usual(seen, it)).sum();
    let (mut retried, mut without) = (0, Vec::new());
    for (index, page) in pages
        .iter()
        .filter(|(_, it)| !it.is_error() && it.is_answered())
    {
        match tried.get(index) {
            Some(it) if it.good > 0 && it.failed > 0 => retried += 1,
            Some(it) if it.failed > 0 => without.push((*index, page.is_fallback())),
            Some(_) => {}
            None if usually >= 0.9 => without.push((*index, page.is_fallback())),
            None => {}
        }
    }
    let hit = phase.routes.join(", ");
    if !without.is_empty() {
        let says = without.iter().filter(|(_, says)| *says).count();
        let says = match says {
            0 => format!(
                " No page says so ({} was looked for), so what it showed instead is not known.",
                seen.fallback
            ),
            says => format!(" {says} of them say so ({}).", seen.fallback),
        };
        let text = format!(
            "{} of {} pages were answered without a good call to {hit}: their service has a fallback.{says}{}",
            without.len(),
            pages.len(),
            second_source(seen, phase, &without)
        );
        saved.push(told("fallback", text));
    }
    if retried > 0 {
        let text = format!(
            "{retried} of {} pages had a failed call to {hit} and then a good one: a retry answered them.",
            pages.len()
        );
        saved.push(told("retry", text));
    }
    if opened {
        saved.extend(breaker(seen, phase, &pages, &tried));
    } else if usually >= 0.9 && failed_calls > 0 {
        let went = format!(
            "{} for {} pages went to {hit} during the outage",
            count_of(calls.len(), "call"),
            pages.len()
        );
        let is_usual = calls.len() as f64 >= usually * pages.len() as f64 * 0.5;
        saved.push(match is_usual {
            true => told(
                "no_breaker",
                format!("No circuit breaker was seen to open: {went}."),
            ),
            false => undetermined(&format!(
                "{went}, fewer than usual, and no circuit breaker was seen to open: one may have been open before"
            )),
        });
    }
    if saved.iter().all(is_aside) && failed == 0 {
        let text = match failed_calls {
            0 => format!(
                "Nothing was needed: every call to {hit} was answered, only later or changed."
            ),
            _ => format!(
                "undetermined, because the {failed_calls} failed calls to {hit} belong to no page that was measured."
            ),
        };
        let by = if failed_calls == 0 {
            "not_needed"
        } else {
            "undetermined"
        };
        saved.insert(0, told(by, text));
    }
    with_failures(saved, failed, pages.len())
}

/// What a breaker did for the page: it is credited only where calls that failed cost something, so that pages without them were
/// better off.
fn breaker(
    seen: &Seen<'_>,
    phase: &FaultPhase,
    pages: &[(u64, &Page)],
    tried: &BTreeMap<u64, Tried>,
) -> Option<Saved> {
    let hit = phase.routes.join(", ");
    let (called, spared): (Vec<_>, Vec<_>) =
        pages.iter().partition(|(it, _)| tried.contains_key(it));
    if spared.is_empty() {
        return None;
    }
    let made: usize = called
        .iter()
        .filter_map(|(it, _)| tried.get(it))
        .map(|it| it.all)
        .sum();
    let others = match called.len() {
        0 => String::new(),
        1 => format!("; the other one made {}", count_of(made, "call")),
        some => format!("; the other {some} made {}", count_of(made, "call")),
    };
    let own: HashSet<u64> = pages.iter().map(|(it, _)| *it).collect();
    let calls = seen.calls_on(&phase.routes, phase.span);
    let earlier = calls
        .iter()
        .filter(|it| it.page.is_some_and(|it| !own.contains(&it)));
    let earlier = match earlier.count() {
        0 => String::new(),
        some => format!(
            ". {} in the phase {} for pages that were asked for before it",
            count_of(some, "call"),
            if some == 1 { "was" } else { "were" }
        ),
    };
    let cut = format!(
        "{} of {} pages made no call to {hit}{others}{earlier}.",
        spared.len(),
        pages.len()
    );
    let errors = |pages: &[(u64, &Page)]| pages.iter().filter(|(_, it)| it.is_error()).count();
    let (called_failed, spared_failed) = (errors(&called), errors(&spared));
    let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
    let fails_less = share(called_failed, called.len()) > share(spared_failed, spared.len()) + 0.05;
    let took = |pages: &[(u64, &Page)]| {
        let pages: Vec<&Page> = pages.iter().map(|(_, it)| *it).collect();
        quantile(&pages, 0.5)
    };
    let waited = took(&called).zip(took(&spared));
    let is_faster = waited.is_some_and(|(called, spared)| called > slower_than(spared));
    let (failed, usual) = (median(&calls, |it| it.failed), usual_call(seen, phase));
    let are_slow = failed
        .zip(usual)
        .is_some_and(|(failed, usual)| failed > slower_than(usual));
    let failed = failed.map_or_else(String::new, |it| {
        format!(", and a failed call took {} in the median", seconds(it))
    });
    if fails_less {
        let text = format!(
            "{cut} Of the pages that did call, {called_failed} of {} failed; of those that did not, {spared_failed} of {}.",
            called.len(),
            spared.len()
        );
        return Some(told("breaker", text));
    }
    if is_faster || are_slow {
        let pages = waited.map_or_else(String::new, |(called, spared)| {
            format!(
                " Pages that did call took {} in the median, those that did not {}",
                seconds(called),
                seconds(spared)
            )
        });
        return Some(told("breaker", format!("{cut}{pages}{failed}.")));
    }
    let why = match called.len() {
        0 => format!("no page of the phase shows what a call would have cost it{failed}"),
        all => format!(
            "{called_failed} of {} that did call failed{failed}",
            count_of(all, "page")
        ),
    };
    let text = format!("{cut} It is not shown that this kept the page up: {why}.");
    Some(told("breaker_seen", text))
}

/// What services counted of their breakers, where nothing is known of single calls.
fn told_by_services(phase: &FaultPhase) -> Option<Saved> {
    let own = phase.breakers_opened.iter();
    let own = own.filter(|(hop, _)| phase.routes.contains(hop));
    let opened: u64 = own.map(|(_, count)| count).sum();
    let times = match opened {
        0 => return None,
        1 => "once".to_owned(),
        some => format!("{some} times"),
    };
    let text = format!(
        "Services counted that circuit breakers for {} opened {times}. Whether that kept the page up is not known without single calls.",
        phase.routes.join(", ")
    );
    Some(told("breaker_seen", text))
}

/// How long a good call took before, in the median.
fn usual_call(seen: &Seen<'_>, phase: &FaultPhase) -> Option<u64> {
    median(&seen.calls_on(&phase.routes, seen.steady?), |it| it.good)
}

fn median(calls: &[&Call], wanted: fn(&Call) -> bool) -> Option<u64> {
    let wanted = calls.iter().filter(|it| wanted(it));
    let mut took: Vec<u64> = wanted.map(|it| it.end.saturating_sub(it.start)).collect();
    took.sort_unstable();
    ranked(&took, 0.5)
}

/// What is told besides, and did not keep the page up.
fn is_aside(saved: &Saved) -> bool {
    matches!(saved.by.as_str(), "no_breaker" | "breaker_seen")
}

/// Routes that were called for pages without an answer, and not before.
fn second_source(seen: &Seen<'_>, phase: &FaultPhase, without: &[(u64, bool)]) -> String {
    let mut found = Vec::new();
    for route in seen
        .calls
        .routes
        .iter()
        .filter(|it| !phase.routes.contains(it))
    {
        let own = [route.clone()];
        let Some(steady) = seen.steady else { continue };
        let share = |pages: &[u64], span| {
            let mut called: Vec<u64> = seen
                .calls_on(&own, span)
                .iter()
                .filter_map(|it| it.page)
                .collect();
            called.sort_unstable();
            called.dedup();
            let hits = pages
                .iter()
                .filter(|it| called.binary_search(it).is_ok())
                .count();
            (hits, pages.len())
        };
        let calm: Vec<u64> = seen.pages_in(steady).map(|(index, _)| index).collect();
        let missing: Vec<u64> = without.iter().map(|(index, _)| *index).collect();
        let (before, during) = (share(&calm, steady), share(&missing, phase.span));
        let part = |(hits, all): (usize, usize)| hits as f64 / all.max(1) as f64;
        if part(before) < 0.1 && part(during) > 0.5 {
            found.push(format!(
                " {route} was called for {} of these pages, and for {} before the outage: it is the second source.",
                percent(during.0, during.1),
                percent(before.0, before.1)
            ));
        }
    }
    found.concat()
}

/// What is known where calls do not tell their page.
fn unjoined(
    seen: &Seen<'_>,
    phase: &FaultPhase,
    pages: &[(u64, &Page)],
    marked: usize,
    why: &str,
) -> Vec<Saved> {
    let calls = seen.calls_on(&phase.routes, phase.span);
    let hit = phase.routes.join(", ");
    let good_pages = pages
        .iter()
        .filter(|(_, it)| it.is_answered() && !it.is_error())
        .count();
    let mut saved = Vec::new();
    if calls.iter().all(|it| !it.good) && good_pages > 0 {
        saved.push(told(
            "fallback",
            format!(
                "No call to {hit} had a good answer, and {good_pages} of {} pages were good: their service has a fallback.{}",
                pages.len(),
                match marked {
                    0 => String::new(),
                    marked => format!(" {marked} pages say so ({}).", seen.fallback),
                }
            ),
        ));
    } else if marked > 0 {
        saved.push(told(
            "fallback",
            format!(
                "{marked} of {} pages say that they are a fallback's ({}).",
                pages.len(),
                seen.fallback
            ),
        ));
    }
    saved.push(undetermined(&format!(
        "{why}, so what else helped which page cannot be told"
    )));
    saved
}

fn with_failures(mut saved: Vec<Saved>, failed: usize, all: usize) -> Vec<Saved> {
    if failed > 0 {
        saved.push(told(
            "nothing",
            format!("Nothing saved {failed} of {all} pages: they failed."),
        ));
    }
    saved
}

fn undetermined(why: &str) -> Saved {
    told("undetermined", format!("undetermined, because {why}."))
}

fn told(by: &str, text: String) -> Saved {
    Saved {
        by: by.to_owned(),
        text,
    }
}
