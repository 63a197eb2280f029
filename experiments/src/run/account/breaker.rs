//! A circuit breaker as it is seen from outside: pages go on, and calls stop after some have failed.

use super::{Call, FaultPhase, Moment, Seen, seconds};
use crate::run::recording::Span;

/// So many pages must have been served without a call.
const PAGES_MIN: usize = 5;
/// A shorter time without a call is no sign of anything, in µs.
const SILENCE_MIN: u64 = 400_000;

/// Where pages make at least so many calls in calm, a page without a call shows that the breaker let none through.
const CALLS_ALWAYS: f64 = 0.98;

/// What a breaker did on one route.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    pub(super) moments: Vec<Moment>,
    /// Whether calls stopped.
    pub(super) opened: bool,
}

/// Looks for silences of a route from the begin of a phase on, until the time after its faults is over.
///
/// A breaker lies in the service: what is seen here are calls that do not come. It is said to be inferred, unless the service
/// told how often its breakers went open.
pub(super) fn read(
    seen: &Seen<'_>,
    phase: &FaultPhase,
    route: &str,
    after: Span,
    usual: f64,
) -> Breaker {
    let routes = [route.to_owned()];
    let span = phase.span;
    let whole = Span {
        from: span.from,
        to: after.to,
    };
    let calls = seen.calls_on(&routes, whole);
    let called = seen.pages_with_calls(&routes);
    let mut breaker = Breaker::default();
    let pages_in = |from: u64, to: u64| {
        let pages = seen.pages_in(Span { from, to });
        pages.map(|(index, _)| index).collect::<Vec<u64>>()
    };
    let is_silent = |from: u64, to: u64| {
        let expected = pages_in(from, to).len() as f64 * usual;
        to.saturating_sub(from) >= SILENCE_MIN && expected >= PAGES_MIN as f64
    };
    // Groups of calls with a silence between each and the next.
    let mut groups: Vec<Vec<&Call>> = Vec::new();
    for call in &calls {
        let last = groups.last().and_then(|it| it.last());
        match last {
            Some(last) if !is_silent(last.start, call.start) => {
                groups.last_mut().expect("there is a last call").push(call);
            }
            _ => groups.push(vec![call]),
        }
    }
    let Some((first, rest)) = groups.split_first() else {
        return breaker;
    };
    let last_start = |group: &[&Call]| group.last().map_or(span.from, |it| it.start);
    let failed = first.iter().filter(|it| it.failed).count();
    let next = rest.first().map_or(whole.to, |it| it[0].start);
    if failed == 0 || !is_silent(last_start(first), next) {
        return breaker;
    }
    breaker.opened = true;
    let told = phase.breakers_opened.iter();
    let told = told.filter(|(hop, count)| hop == route && *count > 0);
    let told: u64 = told.map(|(_, count)| count).sum();
    let opened = first.last().map_or(span.from, |it| it.end.min(next));
    let not_joined = seen.not_joined(&routes);
    // A page may have been asked for before the last call of another one began.
    let without = |to: u64| {
        let pages = pages_in(span.from, to);
        pages.iter().filter(|it| !called.contains(it)).count()
    };
    let (pages, of_phase) = (without(next), without(next.min(span.to)));
    let of_phase = match (pages == of_phase, next > span.to) {
        (false, true) => format!(" ({of_phase} of them in the phase {})", phase.name),
        _ => String::new(),
    };
    let silent = seconds(next - opened);
    let stopped = match (&not_joined, pages) {
        (Some(_), _) => format!(
            "none comes in {silent}, in which {} asked for",
            match pages_in(opened, next).len() {
                1 => "1 page is".to_owned(),
                some => format!("{some} pages are"),
            }
        ),
        (None, 1) => format!("1 page makes no call in {silent}{of_phase}"),
        (None, some) => format!("{some} pages make no call in {silent}{of_phase}"),
    };
    breaker.say(
        opened,
        "breaker_open",
        format!(
            "Calls to {route} stop after {failed} failed: {stopped}. {}",
            match told {
                0 => "From that it is inferred that a circuit breaker opens.".to_owned(),
                1 => "A circuit breaker opens: its service counted that once in the phase."
                    .to_owned(),
                some => format!(
                    "A circuit breaker opens: its service counted that {some} times in the phase."
                ),
            }
        ),
    );
    let closing = rest.split_last().and_then(|(last, probes)| {
        let goes_on = !is_silent(last_start(last), whole.to);
        (goes_on && last.iter().any(|it| it.good)).then_some((last, probes))
    });
    let probes = closing.map_or(rest, |(_, probes)| probes);
    if let Some(probe) = probes.first() {
        breaker.say(probe[0].start, "half_open", probe_text(route, probes));
    }
    match closing {
        Some((last, _)) => {
            let good = last.iter().find(|it| it.good).expect("it has a good call");
            let until_then = groups.len() - 2;
            let later = Span {
                from: last[0].start,
                to: whole.to,
            };
            let is_told = not_joined.is_none() && usual >= CALLS_ALWAYS;
            let later = seen.pages_in(later).filter(|(index, _)| is_told && !called.contains(index));
            let later: Vec<u64> = later.map(|(_, page)| page.intended).collect();
            // From the end of the call before, as the moment at which calls stopped.
            let before = groups[until_then].last().map_or(span.from, |it| it.end);
            breaker.say(
                good.end,
                "breaker_closed",
                format!(
                    "After {} without a call to {route} one is good, and calls go on. From that it is inferred that the circuit \
                     breaker closes.{}{}",
                    seconds(last[0].start.saturating_sub(before)),
                    still_without(&later, last[0].start),
                    late(
                        route,
                        good.end,
                        span.to,
                        (until_then > 0).then(|| last_start(&groups[until_then]))
                    )
                ),
            );
        }
        None if whole.to > span.to => breaker.say(
            whole.to,
            "breaker_open",
            format!(
                "Calls to {route} do not go on in the {} until {}: the circuit breaker was not seen to close.",
                seconds(whole.to - span.to),
                if whole.to < seen.end {
                    "the next fault"
                } else {
                    "the load ends"
                }
            ),
        ),
        None => {}
    }
    breaker
}

/// Calls that were let through, and after which calls stopped again.
fn probe_text(route: &str, probes: &[Vec<&Call>]) -> String {
    let first = &probes[0];
    let calls = match first.len() {
        1 => "One call".to_owned(),
        some => format!("{some} calls"),
    };
    let fate = match (first.len(), first.iter().filter(|it| it.failed).count()) {
        (_, 0) => String::new(),
        (1, _) => " and fails".to_owned(),
        (all, failed) if all == failed => " and fail".to_owned(),
        (_, failed) => format!(", of which {failed} fail"),
    };
    let more = match (probes.len(), probes.last().and_then(|it| it.last())) {
        (1, _) | (_, None) => String::new(),
        (times, Some(last)) => format!(
            " That happens {times} times until {} ({} in all).",
            seconds(last.start),
            count_of(probes.iter().map(Vec::len).sum(), "call")
        ),
    };
    format!(
        "{calls} to {route} {} through{fate}; then calls stop again. From that it is inferred that the circuit breaker was \
         half-open.{more}",
        if first.len() == 1 { "goes" } else { "go" }
    )
}

/// Why a breaker closes so long after the fault. `probe` is when the last call before was let through.
fn late(route: &str, closed: u64, off: u64, probe: Option<u64>) -> String {
    if closed < off {
        return String::new();
    }
    let probed = match probe {
        None => "; no call came in between to find out that it was well",
        Some(at) if at < off => "; the call before came while the fault was still on",
        Some(_) => "",
    };
    format!(
        " That is {} since the fault on {route} is off{probed}.",
        seconds(closed - off)
    )
}

/// Pages that made no call after calls went on, at `since`: a breaker that tries an upstream lets few calls through.
fn still_without(asked_for: &[u64], since: u64) -> String {
    let Some(last) = asked_for.iter().max() else {
        return String::new();
    };
    let pages = asked_for.len();
    format!(
        " {} asked for after it began still {} no call, the last one {} later.",
        match pages {
            1 => "1 page".to_owned(),
            some => format!("{some} pages"),
        },
        if pages == 1 { "makes" } else { "make" },
        seconds(last - since)
    )
}

impl Breaker {
    fn say(&mut self, at: u64, what: &str, text: String) {
        self.moments.push(Moment::new(at, what, text));
    }
}

pub(super) fn plural(count: usize, word: &str) -> String {
    match count {
        1 => word.to_owned(),
        _ => format!("{word}s"),
    }
}

pub(super) fn count_of(count: usize, word: &str) -> String {
    format!("{count} {}", plural(count, word))
}
