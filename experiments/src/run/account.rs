//! What happened in a run, read from its pages and from single calls in the proxy's journal.
//!
//! Everything here is evidence: what cannot be read from pages and calls is said to be unknown, with the reason.

mod breaker;
mod callers;
mod outage;
mod saved;

use std::collections::{BTreeMap, HashMap};

use brownout_wire::RequestEnd;
use serde::{Deserialize, Serialize};

use super::{
    journal::{JournalError, JournalPage},
    recording::{Page, Span},
};
use crate::forensics::AttemptRecord;

/// What happened: who calls whom, and the story of each outage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The routes that carried calls.
    pub routes: Vec<RouteAccount>,
    /// Each phase with faults.
    pub outages: Vec<Outage>,
    /// Why nothing is known of single calls; none where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_unknown: Option<String>,
}

/// Where a route stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAccount {
    /// Its name.
    pub route: String,
    /// Calls during the run.
    pub calls: u64,
    /// Those that carried the id of one of the load's pages.
    pub of_pages: u64,
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
    /// Whether readers of the page noticed, in a few words.
    pub readers: String,
    /// What kept the page up.
    pub saved: Vec<Saved>,
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

/// What kept pages up, or why that is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// `fallback`, `retry`, `breaker`, `nothing`, `not_needed` or `undetermined`.
    pub by: String,
    /// How that is known.
    pub text: String,
}

/// One call on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    /// The place of its route in [`CallLog::routes`].
    route: usize,
    start: u64,
    end: u64,
    /// Whether it had a whole answer below 500, and no fault's.
    good: bool,
    failed: bool,
    /// Whether a fault acted on it.
    injected: bool,
    status: Option<u16>,
    ended: RequestEnd,
    /// The page it was for: a place in [`Seen::pages`].
    page: Option<u64>,
}

/// All calls of the run so far, as the journal told them.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    routes: Vec<String>,
    calls: BTreeMap<u64, Call>,
    /// Ids of pages of calls, by the number of the call.
    ids: HashMap<u64, u128>,
    unknown: Option<String>,
}

impl CallLog {
    /// More calls than this are not kept: about 20 MB.
    const CALLS_MAX: usize = 200_000;

    /// Takes what a reading told.
    pub(crate) fn add(&mut self, page: &Result<JournalPage, JournalError>) {
        let page = match page {
            Ok(page) if page.lost > 0 => {
                let lost = page.lost;
                return self.give_up(format!(
                    "{lost} calls were overwritten before they were read"
                ));
            }
            Ok(page) => page,
            Err(error) => return self.give_up(error.to_string()),
        };
        if self.calls.len() + page.attempts.len() > Self::CALLS_MAX {
            return self.give_up(format!("there were more than {} calls", Self::CALLS_MAX));
        }
        for attempt in &page.attempts {
            self.add_one(attempt);
        }
    }

    /// Knows nothing of single calls from now on.
    pub(crate) fn give_up(&mut self, why: String) {
        self.unknown.get_or_insert(why);
        self.calls.clear();
        self.ids.clear();
    }

    /// Whether calls are still of use.
    pub(crate) fn is_known(&self) -> bool {
        self.unknown.is_none()
    }

    fn add_one(&mut self, attempt: &AttemptRecord) {
        if self.unknown.is_some() {
            return;
        }
        let known = self.routes.iter().position(|it| *it == attempt.route);
        let route = known.unwrap_or_else(|| {
            self.routes.push(attempt.route.clone());
            self.routes.len() - 1
        });
        let failed = attempt.is_failed();
        let injected = !attempt.faults.is_empty();
        if let Some(id) = attempt.page_id().and_then(id_of) {
            self.ids.insert(attempt.number, id);
        }
        let call = Call {
            route,
            start: attempt.t_head,
            end: attempt.ended(),
            good: !failed && attempt.end == RequestEnd::Answered,
            failed,
            injected,
            status: attempt.status,
            ended: attempt.end,
            page: None,
        };
        self.calls.insert(attempt.number, call);
    }

    /// How many calls began on a route within a time, and how many of those that ended had no whole answer or one of 500
    /// and above, as a share; none where that is unknown.
    pub(crate) fn count(&self, route: &str, span: Span) -> Option<(u64, f64)> {
        if self.unknown.is_some() {
            return None;
        }
        let route = self.routes.iter().position(|it| it == route)?;
        let own = self.calls.values();
        let own = own.filter(|it| it.route == route && span.has(it.start));
        let (mut all, mut ended, mut errors) = (0, 0, 0);
        for call in own {
            all += 1;
            if call.ended != RequestEnd::StillOpen {
                ended += 1;
                errors += usize::from(call.is_error());
            }
        }
        Some((all, super::recording::share(errors, ended)))
    }
}

/// An id of a page, which is a trace id of 32 hex digits where the load made it.
fn id_of(text: &str) -> Option<u128> {
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

/// A phase with faults, as it was run.
#[derive(Debug, Clone)]
pub(crate) struct FaultPhase {
    pub(crate) name: String,
    pub(crate) span: Span,
    /// What its faults do and where, in words, and when each was on.
    pub(crate) faults: Vec<(String, Span)>,
    /// The routes that they are on.
    pub(crate) routes: Vec<String>,
}

/// All that an account is made from.
pub(crate) struct Seen<'s> {
    pub(crate) calls: CallLog,
    /// The load's pages.
    pub(crate) pages: Vec<Page>,
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
    /// When the run ended.
    pub(crate) end: u64,
}

/// Puts together what happened.
pub(crate) fn account(mut seen: Seen<'_>) -> Account {
    seen.join();
    let routes = callers::routes(&seen);
    let outages = (0..seen.phases.len()).map(|index| outage::tell(&seen, index));
    Account {
        outages: outages.collect(),
        routes,
        calls_unknown: seen.calls.unknown,
    }
}

impl Seen<'_> {
    /// Says of each call which page it was for.
    fn join(&mut self) {
        self.pages.sort_unstable_by_key(|it| it.number);
        let pages: HashMap<u128, u64> = (0..)
            .zip(&self.pages)
            .filter_map(|(index, page)| Some((id_of(&(self.trace_id)(page.number))?, index)))
            .collect();
        let ids = std::mem::take(&mut self.calls.ids);
        for (number, call) in &mut self.calls.calls {
            call.page = ids.get(number).and_then(|id| pages.get(id)).copied();
        }
    }

    /// The calls on some routes that began within a time, in the order of their begin.
    fn calls_on(&self, routes: &[String], span: Span) -> Vec<&Call> {
        let is_on = |it: &&Call| routes.contains(&self.calls.routes[it.route]);
        let all = self.calls.calls.values();
        let mut calls: Vec<&Call> = all.filter(|it| span.has(it.start)).filter(is_on).collect();
        calls.sort_by_key(|it| it.start);
        calls
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

impl Call {
    /// No whole answer, or a status of 500 and above: as the proxy counts errors of a route.
    fn is_error(&self) -> bool {
        match (self.ended, self.status) {
            (RequestEnd::Answered | RequestEnd::BadRequest | RequestEnd::Fault, Some(status)) => {
                status >= 500
            }
            _ => true,
        }
    }

    /// How the client saw it fail.
    fn failure(&self) -> String {
        match (self.ended, self.status) {
            (RequestEnd::Answered | RequestEnd::BadRequest | RequestEnd::Fault, Some(status)) => {
                format!("status {status}")
            }
            (RequestEnd::Fault, None) => "no answer, as the fault ended the call".to_owned(),
            (RequestEnd::UpstreamError, _) => "the upstream gave no whole answer".to_owned(),
            (RequestEnd::StillOpen, _) => "no answer yet".to_owned(),
            _ => "its client gave up".to_owned(),
        }
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
