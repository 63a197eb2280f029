//! Whether somebody met the faults of a phase. One that nobody met proves nothing.

use std::collections::BTreeMap;

use brownout_fault::{AtListener, FaultSpec, Routes};
use brownout_wire::{CountersAnswer, RouteAnswer};

use super::Story;
use crate::{
    experiment::{Phase, PlannedFault},
    run::{
        Judgement, JudgementKind, JudgementVerdict, control::FaultState, recording::Recording,
        recording::Span,
    },
};

/// How many calls a route must have had before, in as long a time, so that their absence says something.
const USUAL_MIN: f64 = 3.0;

/// What a fault came to, in words.
struct Met {
    verdict: JudgementVerdict,
    observed: String,
    why: Option<String>,
}

impl Met {
    fn yes(observed: String) -> Self {
        Self {
            verdict: JudgementVerdict::Passed,
            observed,
            why: None,
        }
    }

    fn unknown(observed: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            verdict: JudgementVerdict::Inconclusive,
            observed: observed.into(),
            why: Some(why.into()),
        }
    }
}

/// The SYNs that the routes of faults have left unanswered so far, by the fault's id.
pub(super) type UnansweredSyns = BTreeMap<String, u64>;

impl Story<'_> {
    /// What the routes of each `blackhole` at "syn" have left unanswered so far.
    pub(super) async fn unanswered_syns(&self, faults: &[PlannedFault]) -> UnansweredSyns {
        let faults: Vec<(&PlannedFault, Routes)> = faults
            .iter()
            .filter_map(|it| Some((it, at_listener(it, AtListener::Ignore)?)))
            .collect();
        if faults.is_empty() {
            return BTreeMap::new();
        }
        let Ok(routes) = self.proxy.client.routes().await else {
            return BTreeMap::new();
        };
        let of = |those: &Routes| {
            let met = routes.iter().filter(|it| those.include(&it.name));
            met.map(|it: &RouteAnswer| it.unanswered_syns).sum()
        };
        let faults = faults.iter();
        faults
            .map(|(it, those)| (it.id.clone(), of(those)))
            .collect()
    }

    /// Judges whether somebody met each fault of a phase.
    pub(super) fn judge_met(
        &mut self,
        name: &str,
        phase: &Phase,
        states: &BTreeMap<String, FaultState>,
        span: Span,
    ) {
        for fault in &phase.faults {
            let counters = states.get(&fault.id).and_then(|it| it.counters);
            let met = if let Some(routes) = at_listener(fault, AtListener::Refuse) {
                self.refused(&routes, span)
            } else if at_listener(fault, AtListener::Ignore).is_some() {
                unanswered(counters)
            } else {
                counted(counters)
            };
            self.judged(Judgement {
                phase: name.to_owned(),
                kind: JudgementKind::FaultStruck,
                text: format!("fault {} was injected", fault.id),
                line: fault.line,
                column: 1,
                verdict: met.verdict,
                observed: met.observed,
                expected: "at least once".to_owned(),
                baseline: None,
                margin: None,
                samples: counters.map_or(0, |it| it.matched),
                interval: None,
                proven: None,
                why: met.why,
                at_ms: span.to / 1_000,
                repetition: None,
            });
        }
    }

    /// The kernel tells nobody of the connections that it refuses. That calls were refused shows in the calls that are missing.
    fn refused(&self, routes: &Routes, span: Span) -> Met {
        let before = self.baseline.unwrap_or(Span {
            from: 0,
            to: span.from,
        });
        let recording = self.shared.recording();
        let routes = recording.routes().filter(|it| routes.include(it));
        let mut found = None;
        for route in routes {
            let met = missing_calls(&recording, route, before, span);
            if met.verdict == JudgementVerdict::Passed {
                return met;
            }
            found.get_or_insert(met);
        }
        found.unwrap_or_else(|| Met::unknown("unknown", "what its route counted could not be read"))
    }
}

/// Whether a route had less than half of its usual calls, while its listener refused connections.
fn missing_calls(recording: &Recording, route: &str, before: Span, span: Span) -> Met {
    let calls = |span| recording.hop_in(route, span).map(|it| it.requests);
    let (Some(had), Some(has)) = (calls(before), calls(span)) else {
        return Met::unknown(
            "unknown",
            format!("what `{route}` counted could not be read"),
        );
    };
    // A load that waits for its pages asks for less while they are slow.
    let pages = |span| recording.pages_in(span).count() as f64;
    let share = match pages(before) {
        0.0 => span.seconds() / before.seconds().max(1e-6),
        of_before => pages(span) / of_before,
    };
    let usual = had * share;
    let observed = format!("{has:.0} calls came to {route}, of {usual:.0} as usual");
    if usual < USUAL_MIN {
        Met::unknown(
            observed,
            "too few calls came before it, so nobody may have tried to connect: let a `[steady]` phase with calls go before",
        )
    } else if has < usual / 2.0 {
        Met::yes(observed)
    } else {
        Met::unknown(
            observed,
            "calls went on over connections that were open before, which it leaves alone: arm `reset` beside it, or use `reset` instead",
        )
    }
}

/// How often somebody tried to connect while nobody answered: each SYN, also one that is sent again. None where that is not known.
pub(super) fn connects(
    id: &str,
    before: &UnansweredSyns,
    after: &UnansweredSyns,
) -> Option<CountersAnswer> {
    let count = after.get(id)?.saturating_sub(*before.get(id)?);
    Some(CountersAnswer {
        matched: count,
        injected: count,
        skipped: 0,
        overflow: 0,
        active: 0,
        client_gave_up: 0,
    })
}

/// What a `blackhole` at "syn" came to.
fn unanswered(counters: Option<CountersAnswer>) -> Met {
    match counters {
        Some(it) if it.injected > 0 => Met::yes(format!("{} SYNs were not answered", it.injected)),
        Some(_) => Met::unknown(
            "never",
            "nobody tried to connect: calls over connections that were open before went on, and `reset` beside it ends those",
        ),
        None => Met::unknown("unknown", "what its route counted could not be read"),
    }
}

fn counted(counters: Option<CountersAnswer>) -> Met {
    match counters {
        Some(it) if it.injected > 0 => {
            Met::yes(format!("{} of {} matched calls", it.injected, it.matched))
        }
        Some(it) if it.matched == 0 => Met::unknown(
            "never",
            "no request came that it is for: look at its route and `match`",
        ),
        Some(it) => Met::unknown(
            "never",
            format!("{} requests matched, and all were spared", it.matched),
        ),
        None => Met::unknown("unknown", "what it did could not be read"),
    }
}

/// The routes whose listening sockets a fault makes do that; none for another fault.
fn at_listener(fault: &PlannedFault, what: AtListener) -> Option<Routes> {
    let spec = FaultSpec::read(&fault.body).ok()?;
    (spec.fault.at_listener() == Some(what)).then_some(spec.route)
}
