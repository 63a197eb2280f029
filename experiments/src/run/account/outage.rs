//! The story of one phase with faults.

use super::{
    Call, Moment, Outage, RouteAccount, Seen, Span, breaker, effect, noticed, saved, seconds, waits,
};

pub(super) fn tell(seen: &Seen<'_>, routes: &[RouteAccount], index: usize) -> Outage {
    let phase = &seen.phases[index];
    let (span, after) = (phase.span, seen.after(index));
    let since = phase.on_from();
    let mut moments = Vec::new();
    let mut say = |at: u64, what: &str, text: String| {
        moments.push(Moment::new(at, what, text));
    };
    for fault in &phase.faults {
        let what = format!("{} (fault {})", fault.what, fault.id);
        say(fault.on.from, "fault_on", format!("Fault on: {what}."));
        let length = seconds(fault.on.to - fault.on.from);
        let text = format!("Fault off: {what}; it was on for {length}.");
        say(fault.on.to, "fault_off", text);
    }
    for route in &phase.routes {
        let own = [route.clone()];
        // A call that began before may fail because of the fault, but no call ends before the fault.
        let all = seen.calls_on(&own, Span { from: 0, ..span });
        let during: Vec<&Call> = all.into_iter().filter(|it| it.end >= since).collect();
        if let Some(first) = during.iter().filter(|it| it.failed).min_by_key(|it| it.end) {
            let text = format!("The first call to {route} fails: {}.", first.failure());
            say(first.end, "first_error", text);
        } else if let Some(first) = during.iter().find(|it| it.injected) {
            let text = format!(
                "The first call to {route} that the fault acts on; it is answered after {}.",
                seconds(first.end - first.start)
            );
            say(first.start, "first_injected", text);
        }
        let later = seen.calls_on(&own, after);
        let good = later.iter().filter(|it| it.good && !it.injected);
        if let Some(good) = good.min_by_key(|it| it.end) {
            let text = format!(
                "The first good call to {route} since the fault is off: {} later.",
                seconds(good.end.saturating_sub(span.to))
            );
            say(good.end, "first_good_call", text);
        }
    }
    let affected = effect::affected(seen, index);
    moments.extend(affected.moments(&seen.fallback));
    let mut opened = false;
    for route in &phase.routes {
        if let Some(usual) = usual(seen, route) {
            let breaker = breaker::read(seen, phase, route, after, usual);
            opened |= breaker.opened;
            moments.extend(breaker.moments);
        }
    }
    moments.sort_by_key(|it| (it.at_ms, order(&it.what)));
    let (noticed, readers) = noticed::noticed(seen, routes, index);
    Outage {
        phase: phase.name.clone(),
        from_ms: since / 1_000,
        to_ms: span.to / 1_000,
        moments,
        noticed,
        readers,
        effect: affected.effect(),
        saved: saved::by(seen, phase, opened),
        retry_waits: waits::of(seen, phase),
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

/// Calls on a route for each page in the steady state; none where too few pages or calls came.
pub(super) fn usual(seen: &Seen<'_>, route: &str) -> Option<f64> {
    let steady = seen.steady?;
    let pages = seen.pages_in(steady).count();
    let calls = seen.calls_on(&[route.to_owned()], steady).len();
    (pages >= 10 && calls >= 5).then(|| calls as f64 / pages as f64)
}
