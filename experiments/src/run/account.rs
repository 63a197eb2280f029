//! What happened in a run, read from its pages and from single calls in the proxy's journal.
//!
//! Everything here is evidence: what cannot be read from pages and calls is said to be unknown, with the reason.

mod breaker;
mod callers;
mod calls;
mod effect;
mod join;
mod noticed;
mod outage;
mod saved;
mod waits;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub(crate) use self::calls::CallLog;
use self::{calls::Call, join::RouteJoin};
use super::{
    event::HopSummary,
    recording::{Page, Span},
};
use crate::forensics::join::JoinedBy;

/// What happened: who calls whom, and the story of each outage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The routes that carried calls.
    pub routes: Vec<RouteAccount>,
    /// Each phase with faults.
    pub outages: Vec<Outage>,
    /// The times of the run that belong to no phase, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<Between>,
    /// The load's pages; none where others made the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<PageCount>,
    /// When faults acted on a call for the first time, where single calls are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_injected: Vec<FirstInjected>,
    /// How a fallback page is known, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Why nothing is known of single calls; none where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_unknown: Option<String>,
}

/// A time of the run that belongs to no phase: the load goes on, while pages end, counts are read and faults armed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Between {
    /// What it is between, in words.
    pub name: String,
    /// When it began, in ms since the run began.
    pub from_ms: u64,
    /// When it ended.
    pub to_ms: u64,
    /// What was measured in it, as for a phase.
    pub hops: Vec<HopSummary>,
}

/// How many pages the load asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCount {
    /// All that were to be sent.
    pub asked: u64,
    /// Those that ended. Each is in one phase, or in one time between phases.
    pub ended: u64,
    /// Those that were cut off when the load ended. They are in no other number.
    pub cut_off: u64,
}

/// When a fault acted on a call for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstInjected {
    /// The fault.
    pub id: String,
    /// In which phase.
    pub phase: String,
    /// When the call began, in ms since the run began.
    pub at_ms: u64,
}

/// Where a route stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAccount {
    /// Its name.
    pub route: String,
    /// Calls during the run.
    pub calls: u64,
    /// Those that were joined to one of the load's pages that ended.
    pub of_pages: u64,
    /// Those that were joined to a page that was cut off when the load ended.
    #[serde(default)]
    pub of_cut_off: u64,
    /// How calls were joined to pages: `totals` where most of them were not, so that nothing is said of single pages' calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_by: Option<JoinedBy>,
    /// The route whose upstream made most of these calls; none for calls of what the load asks directly, or where
    /// that is unknown (`of_pages` is 0 then).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_by: Option<String>,
}

/// The story of one phase with faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// The phase.
    pub phase: String,
    /// When its faults were on, in ms since the run began.
    pub from_ms: u64,
    /// When they were off again.
    pub to_ms: u64,
    /// What happened, in order.
    pub moments: Vec<Moment>,
    /// Who noticed, in sentences.
    pub noticed: Vec<String>,
    /// What users of the page saw, in a few words.
    pub readers: String,
    /// When users saw it; none where they did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// What kept the page up.
    pub saved: Vec<Saved>,
    /// How long clients waited before they tried again, for each route with faults whose calls are joined to pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry_waits: Vec<RetryWaits>,
}

/// How long clients of a route waited before they tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryWaits {
    /// The route.
    pub route: String,
    /// From the end of a failed call to the start of the next one for the same page, in ms; at most 1,000 of them.
    pub waits_ms: Vec<f64>,
}

/// What users saw of an outage: from the first page that it changed to the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// When the first such page ended, in ms since the run began.
    pub from_ms: u64,
    /// When the last one ended.
    pub to_ms: u64,
    /// Pages that failed.
    pub failed: u64,
    /// Pages that were a fallback.
    pub fallback: u64,
    /// Whole pages that took longer than those before the fault.
    pub slow: u64,
    /// Whether the last page of the run was still one of them.
    pub goes_on: bool,
}

/// Something that happened at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, in ms since the run began.
    pub at_ms: u64,
    /// What: `fault_on`, `fault_off`, `first_error`, `breaker_open`, `half_open`, `breaker_closed`, `first_fallback`,
    /// `last_fallback`, `first_failed_page`, `last_failed_page`, `first_good_call`.
    pub what: String,
    /// In words.
    pub text: String,
}

impl Moment {
    /// At a time in µs since the run began.
    fn new(at: u64, what: &str, text: String) -> Self {
        Self {
            at_ms: at / 1_000,
            what: what.to_owned(),
            text,
        }
    }
}

/// What kept pages up, or why that is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// `fallback`, `retry` or `breaker` for what kept pages up; `breaker_seen` for a breaker that is not shown to have
    /// helped, `no_breaker` where none was seen; else `nothing`, `not_needed` or `undetermined`.
    pub by: String,
    /// How that is known.
    pub text: String,
}

/// A phase with faults, as it was run.
#[derive(Debug, Clone)]
pub(crate) struct FaultPhase {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) faults: Vec<PhaseFault>,
    /// The routes that they are on.
    pub(crate) routes: Vec<String>,
    /// How often services said that their breakers for a route went open, where they told.
    pub(crate) breakers_opened: Vec<(String, u64)>,
}

/// A fault of a phase.
#[derive(Debug, Clone)]
pub(crate) struct PhaseFault {
    pub(crate) id: String,
    /// What it does and where, in words.
    pub(crate) what: String,
    /// When it was on.
    pub(crate) on: Span,
}

/// All that an account is made from.
pub(crate) struct Seen<'s> {
    pub(crate) calls: CallLog,
    /// The load's pages that ended.
    pub(crate) pages: Vec<Page>,
    /// The numbers of those that were cut off when the load ended, and when they were to be sent.
    pub(crate) cut_off: Vec<(u64, u64)>,
    /// Whether another endpoint was asked meanwhile.
    pub(crate) is_watched: bool,
    /// How the calls of each route were joined to pages, in the order of [`CallLog::routes`]; filled by [`Seen::join`].
    pub(crate) joined: Vec<RouteJoin>,
    /// The trace id of a page by its number.
    pub(crate) trace_id: &'s dyn Fn(u64) -> String,
    /// How a fallback's answer is known, in words.
    pub(crate) fallback: String,
    /// What the load is called, if there is one.
    pub(crate) load: Option<String>,
    /// Where it goes, as written.
    pub(crate) load_to: String,
    /// The steady state.
    pub(crate) steady: Option<Span>,
    pub(crate) phases: Vec<FaultPhase>,
    /// Until when faults of before may be seen to have an effect: the load's end.
    pub(crate) end: u64,
    /// The times that belong to no phase.
    pub(crate) between: Vec<Between>,
}

/// Puts together what happened.
pub(crate) fn account(mut seen: Seen<'_>) -> Account {
    seen.join();
    let first_injected = seen.find_first_injected();
    let routes = callers::routes(&seen);
    let outages = (0..seen.phases.len()).map(|index| outage::tell(&seen, &routes, index));
    let (ended, cut_off) = (seen.pages.len() as u64, seen.cut_off.len() as u64);
    Account {
        outages: outages.collect(),
        pages: seen.load.is_some().then_some(PageCount {
            asked: ended + cut_off,
            ended,
            cut_off,
        }),
        routes,
        first_injected,
        fallback: Some(seen.fallback),
        between: seen.between,
        calls_unknown: seen.calls.unknown,
    }
}

impl Seen<'_> {
    /// Finds when each fault acted for the first time. It was on then: arming it takes a moment, and a call may come before
    /// the answer that it is armed.
    fn find_first_injected(&mut self) -> Vec<FirstInjected> {
        let mut found = Vec::new();
        let mut over = 0;
        for phase in &mut self.phases {
            for fault in &mut phase.faults {
                let first = self.calls.first_struck(&fault.id, over);
                if let Some(first) = first.filter(|it| *it < fault.on.to) {
                    fault.on.from = fault.on.from.min(first);
                    found.push(FirstInjected {
                        id: fault.id.clone(),
                        phase: phase.name.clone(),
                        at_ms: first / 1_000,
                    });
                }
            }
            over = phase.span.to;
        }
        found
    }

    /// The calls on some routes that began within a time, in the order of their begin.
    fn calls_on(&self, routes: &[String], span: Span) -> Vec<&Call> {
        let is_on = |it: &&Call| routes.contains(&self.calls.routes[it.route]);
        let all = self.calls.calls.values();
        let mut calls: Vec<&Call> = all.filter(|it| span.has(it.start)).filter(is_on).collect();
        calls.sort_by_key(|it| it.start);
        calls
    }

    /// The pages that have a call on one of some routes, whenever that began: places in [`Seen::pages`].
    fn pages_with_calls(&self, routes: &[String]) -> HashSet<u64> {
        let is_on = |it: &&Call| routes.contains(&self.calls.routes[it.route]);
        let calls = self.calls.calls.values().filter(is_on);
        calls.filter_map(|it| it.page).collect()
    }

    fn pages_in(&self, span: Span) -> impl Iterator<Item = (u64, &Page)> {
        let all = (0..).zip(&self.pages);
        all.filter(move |(_, it)| span.has(it.intended))
    }

    /// The time after a phase with faults in which no fault was on.
    fn after(&self, index: usize) -> Span {
        let next = self.phases.get(index + 1);
        let from = self.phases[index].span.to;
        Span {
            from,
            to: next.map_or(self.end, |it| it.span.from).max(from),
        }
    }
}

impl FaultPhase {
    /// When the first of its faults was on: no later than the phase began.
    fn on_from(&self) -> u64 {
        let from = self.faults.iter().map(|it| it.on.from);
        from.fold(self.span.from, u64::min)
    }
}

fn seconds(micros: u64) -> String {
    crate::expectation::Unit::Time.show(micros as f64 / 1e6)
}

fn percent(part: usize, all: usize) -> String {
    crate::expectation::Unit::Share.show(super::recording::share(part, all))
}

#[cfg(test)]
mod tests;
