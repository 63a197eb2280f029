//! The story of one phase with faults.

use super::{
    Call, Moment, Outage, Seen,
    breaker::{self, count_of},
    percent, saved, seconds,
};
use crate::run::recording::{Page, Span, answered, ranked};

pub(super) fn tell(seen: &Seen<'_>, index: usize) -> Outage {
    let phase = &seen.phases[index];
    let (span, after) = (phase.span, seen.after(index));
    let mut moments = Vec::new();
    let mut say = |at: u64, what: &str, text: String| {
        moments.push(Moment {
            at_ms: at / 1_000,
            what: what.to_owned(),
            text,
        });
    };
    for (what, on) in &phase.faults {
        say(on.from, "fault_on", format!("Fault on: {what}."));
        say(
            on.to,
            "fault_off",
            format!(
                "Fault off: {what}; it was on for {}.",
                seconds(on.to - on.from)
            ),
        );
    }
    for route in &phase.routes {
        let own = [route.clone()];
        let during = seen.calls_on(&own, span);
        if let Some(first) = during.iter().filter(|it| it.failed).min_by_key(|it| it.end) {
            let text = format!(
                "The client of {route} gets its first error: {}.",
                first.failure()
            );
            say(first.end, "first_error", text);
        } else if let Some(first) = during.iter().find(|it| it.injected) {
            let text = format!(
                "The first call on {route} that the fault acts on; it is answered after {}.",
                seconds(first.end - first.start)
            );
            say(first.start, "first_injected", text);
        }
        let later = seen.calls_on(&own, after);
        let good = later.iter().find(|it| it.good && !it.injected);
        if let Some(good) = good {
            let text = format!(
                "The first good call on {route} after the fault: {} after its end.",
                seconds(good.end.saturating_sub(span.to))
            );
            say(good.end, "first_good_call", text);
        }
    }
    pages(seen, span, after, &mut say);
    let mut opened = false;
    for route in &phase.routes {
        let usual = usual(seen, route);
        if let Some(usual) = usual {
            let breaker = breaker::read(seen, route, span, after, usual);
            opened |= breaker.opened;
            moments.extend(breaker.moments);
        }
    }
    moments.sort_by_key(|it| (it.at_ms, order(&it.what)));
    let (noticed, readers) = noticed(seen, index);
    Outage {
        phase: phase.name.clone(),
        from_ms: span.from / 1_000,
        to_ms: span.to / 1_000,
        moments,
        noticed,
        readers,
        saved: saved::by(seen, phase, opened),
    }
}

/// What is a cause comes first where two things happen within a millisecond.
fn order(what: &str) -> u8 {
    match what {
        "fault_on" => 0,
        "fault_off" => 1,
        _ => 2,
    }
}

/// The first and last pages that failed, or that a fallback answered.
fn pages(seen: &Seen<'_>, span: Span, after: Span, say: &mut impl FnMut(u64, &str, String)) {
    let whole = Span {
        from: span.from,
        to: after.to,
    };
    let is_fallback = |it: &Page| it.is_answered() && !it.is_error() && it.fits & 1 == 1;
    let before = seen.steady.map_or(0, |steady| {
        seen.pages_in(steady)
            .filter(|(_, it)| is_fallback(it))
            .count()
    });
    let mut failed: Vec<&Page> = Vec::new();
    let mut fallback: Vec<&Page> = Vec::new();
    for (_, page) in seen.pages_in(whole) {
        if page.is_error() {
            failed.push(page);
        } else if is_fallback(page) {
            fallback.push(page);
        }
    }
    failed.sort_by_key(|it| it.ended);
    fallback.sort_by_key(|it| it.ended);
    if let Some(first) = failed.first() {
        say(
            first.ended,
            "first_failed_page",
            format!("The first page fails: {}.", first.describe()),
        );
    }
    if let (Some(last), true) = (failed.last(), failed.len() > 1) {
        let text = format!(
            "The last page fails ({} of them since the fault began).",
            failed.len()
        );
        say(last.ended, "last_failed_page", text);
    }
    // Where calm pages are like that, it tells nothing.
    if before > 0 {
        return;
    }
    if let Some(first) = fallback.first() {
        let text = format!(
            "The first page that a fallback answers ({}).",
            seen.fallback
        );
        say(first.ended, "first_fallback", text);
    }
    if let (Some(last), true) = (fallback.last(), fallback.len() > 1) {
        let later = seen
            .pages_in(whole)
            .filter(|(_, it)| it.intended > last.intended);
        let whole_again = later.filter(|(_, it)| !it.is_error()).count();
        let text = match whole_again {
            0 => format!(
                "The last page that was measured is still a fallback's ({} of them).",
                fallback.len()
            ),
            some => format!(
                "The last page that a fallback answers ({} of them); the next {} whole.",
                fallback.len(),
                match some {
                    1 => "one is".to_owned(),
                    some => format!("{some} are"),
                }
            ),
        };
        say(last.ended, "last_fallback", text);
    }
}

/// Calls on a route for each page in the steady state; none where too few pages or calls came.
pub(super) fn usual(seen: &Seen<'_>, route: &str) -> Option<f64> {
    let steady = seen.steady?;
    let pages = seen.pages_in(steady).count();
    let calls = seen.calls_on(&[route.to_owned()], steady).len();
    (pages >= 10 && calls >= 5).then(|| calls as f64 / pages as f64)
}

/// Who noticed: callers of each route, and readers of the page.
fn noticed(seen: &Seen<'_>, index: usize) -> (Vec<String>, String) {
    let phase = &seen.phases[index];
    let mut told = Vec::new();
    for route in &seen.calls.routes {
        let own = [route.clone()];
        let calls = seen.calls_on(&own, phase.span);
        if calls.is_empty() {
            continue;
        }
        let bad = |calls: &[&Call]| calls.iter().filter(|it| it.failed).count();
        let failed = bad(&calls);
        let before = seen.steady.map(|it| seen.calls_on(&own, it));
        let before = before.map_or((0, 0), |it| (bad(&it), it.len()));
        let is_hit = phase.routes.contains(route);
        let is_load = seen.load_to == *route;
        let share = failed as f64 / calls.len() as f64;
        let share_before = before.0 as f64 / before.1.max(1) as f64;
        // The load's own route is told by its pages.
        if !is_load && (is_hit || share > share_before + 0.01) {
            let slower = slower(&calls, seen, &own);
            told.push(format!(
                "The client of {route}: {failed} of its {} failed{}{slower}.",
                count_of(calls.len(), "call"),
                match before.1 {
                    0 => String::new(),
                    _ => format!(" (before: {} of {})", before.0, before.1),
                }
            ));
        }
    }
    let pages: Vec<&Page> = seen.pages_in(phase.span).map(|(_, it)| it).collect();
    let Some(load) = seen.load.as_deref().filter(|_| !pages.is_empty()) else {
        return (
            told,
            "what readers saw is not known, because others made the load".to_owned(),
        );
    };
    let failed = pages.iter().filter(|it| it.is_error()).count();
    let fallback = pages
        .iter()
        .filter(|it| it.is_answered() && !it.is_error() && it.fits & 1 == 1)
        .count();
    let p99 = |pages: &[&Page]| {
        let mut latencies = answered(pages);
        latencies.sort_unstable();
        ranked(&latencies, 0.99)
    };
    let before = seen
        .steady
        .map(|it| seen.pages_in(it).map(|(_, it)| it).collect::<Vec<_>>());
    let (slow, slow_before) = (p99(&pages), before.as_deref().and_then(p99));
    let is_slower = slow
        .zip(slow_before)
        .is_some_and(|(now, before)| now > before * 3 / 2 + 20_000);
    let waited = slow
        .zip(slow_before)
        .map_or_else(String::new, |(now, before)| {
            format!(
                ", the 99th percentile took {} (before: {})",
                seconds(now),
                seconds(before)
            )
        });
    told.push(format!(
        "Readers of {load}: {failed} of {} pages failed, {fallback} ({}) came from a fallback{waited}.",
        pages.len(),
        percent(fallback, pages.len())
    ));
    let by_fallback = format!("{} came from a fallback", percent(fallback, pages.len()));
    let readers = match (failed, fallback, is_slower) {
        (0, 0, false) => "readers of the page did not notice".to_owned(),
        (0, 0, true) => "no page failed, but readers waited longer".to_owned(),
        (0, _, false) => format!("no page failed, but {by_fallback}"),
        (0, _, true) => format!("no page failed, but {by_fallback}, and readers waited longer"),
        (_, 0, _) => format!("{failed} of {} pages failed", pages.len()),
        _ => format!(
            "{failed} of {} pages failed, and {by_fallback}",
            pages.len()
        ),
    };
    (told, readers)
}

fn slower(calls: &[&Call], seen: &Seen<'_>, own: &[String]) -> String {
    let median = |calls: &[&Call]| {
        let mut took: Vec<u64> = calls
            .iter()
            .filter(|it| it.good)
            .map(|it| it.end - it.start)
            .collect();
        took.sort_unstable();
        ranked(&took, 0.5)
    };
    let before = seen.steady.map(|it| seen.calls_on(own, it));
    match (median(calls), before.as_deref().and_then(median)) {
        (Some(now), Some(before)) if now > before * 3 / 2 + 5_000 => format!(
            ", and the median of the answered ones took {} (before: {})",
            seconds(now),
            seconds(before)
        ),
        _ => String::new(),
    }
}
