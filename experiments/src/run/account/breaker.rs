//! A circuit breaker as it is seen from outside: pages go on, and calls stop after some have failed.

use super::{Call, Moment, Seen, seconds};
use crate::run::recording::Span;

/// So many pages must have been served without a call.
const PAGES_MIN: usize = 5;
/// A shorter time without a call is no sign of anything, in µs.
const SILENCE_MIN: u64 = 400_000;

/// What a breaker did on one route.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    pub(super) moments: Vec<Moment>,
    /// Whether calls stopped.
    pub(super) opened: bool,
}

/// Looks for silences of a route from `span.from` on, until the time after the faults is over.
pub(super) fn read(seen: &Seen<'_>, route: &str, span: Span, after: Span, usual: f64) -> Breaker {
    let routes = [route.to_owned()];
    let whole = Span {
        from: span.from,
        to: after.to,
    };
    let calls = seen.calls_on(&routes, whole);
    let mut breaker = Breaker::default();
    let silent = |from: u64, to: u64| {
        let pages = seen.pages_in(Span { from, to }).count();
        let expected = pages as f64 * usual;
        (to.saturating_sub(from) >= SILENCE_MIN && expected >= PAGES_MIN as f64).then_some(pages)
    };
    // Groups of calls with a silence between each and the next.
    let mut groups: Vec<Vec<&Call>> = Vec::new();
    for call in &calls {
        let last = groups.last().and_then(|it| it.last());
        match last {
            Some(last) if silent(last.start, call.start).is_none() => {
                groups.last_mut().expect("there is a last call").push(call);
            }
            _ => groups.push(vec![call]),
        }
    }
    let Some((first, rest)) = groups.split_first() else {
        return breaker;
    };
    let last_start = |group: &[&Call]| group.last().map_or(span.from, |it| it.start);
    let failed = first
        .iter()
        .filter(|it| it.failed && it.start >= span.from)
        .count();
    let next = rest.first().map_or(whole.to, |it| it[0].start);
    let Some(pages) = silent(last_start(first), next).filter(|_| failed > 0) else {
        return breaker;
    };
    breaker.opened = true;
    let opened = first.last().map_or(span.from, |it| it.end.min(next));
    breaker.say(
        opened,
        "breaker_open",
        format!(
            "The circuit breaker for {route} opens: after {failed} failed {}, {pages} pages in {} make no call.",
            plural(failed, "call"),
            seconds(next - opened)
        ),
    );
    let closing = rest.split_last().and_then(|(last, probes)| {
        let goes_on = silent(last_start(last), whole.to).is_none();
        (goes_on && last.iter().any(|it| it.good)).then_some((last, probes))
    });
    let probes = closing.map_or(rest, |(_, probes)| probes);
    if let Some(probe) = probes.first() {
        let count: usize = probes.iter().map(Vec::len).sum();
        let all = probes.len();
        let until = match all {
            1 => String::new(),
            _ => format!(
                " It does so {all} times until {} ({count} calls in all).",
                seconds(last_start(&probes[all - 1]))
            ),
        };
        breaker.say(
            probe[0].start,
            "half_open",
            format!(
                "Half-open: {} to {route} is let through{}, and the breaker opens again.{until}",
                count_of(probe.len(), "call"),
                if probe.iter().any(|it| it.failed) {
                    " and fails"
                } else {
                    ""
                }
            ),
        );
    }
    match closing {
        Some((last, _)) => {
            let good = last.iter().find(|it| it.good).expect("it has a good call");
            if last[0].start < good.start {
                breaker.say(
                    last[0].start,
                    "half_open",
                    format!("Half-open: calls to {route} are let through again."),
                );
            }
            breaker.say(
                good.end,
                "breaker_closed",
                format!("The circuit breaker for {route} closes: a call is answered, and calls go on."),
            );
        }
        None if whole.to > span.to => breaker.say(
            whole.to,
            "breaker_open",
            format!("The circuit breaker for {route} was not seen to close before the end of what was measured."),
        ),
        None => {}
    }
    breaker
}

impl Breaker {
    fn say(&mut self, at: u64, what: &str, text: String) {
        self.moments.push(Moment {
            at_ms: at / 1_000,
            what: what.to_owned(),
            text,
        });
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
