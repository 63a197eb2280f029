//! The calls of a run, one by one, as the proxy's journal told them. What reports say of calls on routes is counted here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use brownout_wire::RequestEnd;

use crate::{
    forensics::AttemptRecord,
    run::{
        SecondOfHop,
        journal::{JournalError, JournalPage},
        recording::{SECOND, Span, exact, share},
        scrape::HopCounters,
    },
};

/// One call on a route.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// The place of its route in [`CallLog::routes`].
    pub(super) route: usize,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Whether it had a whole answer below 500, and no fault's.
    pub(super) good: bool,
    pub(super) failed: bool,
    /// Whether a fault acted on it.
    pub(super) injected: bool,
    pub(super) status: Option<u16>,
    pub(super) ended: RequestEnd,
    /// The page it was for: a place in `Seen::pages`.
    pub(super) page: Option<u64>,
    /// Whether it was for a page that was cut off when the load ended.
    pub(super) is_cut_off: bool,
    /// What it asks for: a hash of its fingerprint.
    pub(super) asks: u64,
}

/// All calls of the run so far, as the journal told them.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    pub(super) routes: Vec<String>,
    pub(super) calls: BTreeMap<u64, Call>,
    /// Ids of pages of calls, by the number of the call.
    pub(super) ids: HashMap<u64, u128>,
    /// The numbers of the calls that a fault acted on, by its id.
    struck: BTreeMap<String, BTreeSet<u64>>,
    pub(super) unknown: Option<String>,
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
        self.struck.clear();
    }

    /// What is measured ends at `end`: calls that began later are left out, and those that ended later had not ended then.
    pub(crate) fn cut(&mut self, end: u64) {
        self.calls.retain(|_, it| it.start <= end);
        for call in self.calls.values_mut().filter(|it| it.end > end) {
            call.end = end;
            call.ended = RequestEnd::StillOpen;
            (call.good, call.failed) = (false, false);
        }
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
        for id in &attempt.faults {
            let of_fault = self.struck.entry(id.clone()).or_default();
            of_fault.insert(attempt.number);
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
            is_cut_off: false,
            asks: hash_of(&attempt.fingerprint),
        };
        self.calls.insert(attempt.number, call);
    }

    /// What was counted of the calls that began on a route within a time; none where that is unknown.
    pub(crate) fn count(&self, route: &str, span: Span) -> Option<RouteCount> {
        if self.unknown.is_some() {
            return None;
        }
        let route = self.routes.iter().position(|it| it == route)?;
        let own = self.calls.values();
        let own = own.filter(|it| it.route == route && span.has(it.start));
        let mut count = RouteCount::default();
        for call in own {
            count.add(call);
        }
        Some(count)
    }

    /// When the first call began that a fault acted on, of those since `since`.
    pub(super) fn first_struck(&self, fault: &str, since: u64) -> Option<u64> {
        let numbers = self.struck.get(fault)?;
        let calls = numbers.iter().filter_map(|it| self.calls.get(it));
        calls.map(|it| it.start).filter(|it| *it >= since).min()
    }

    /// What ended on a route in each second, until `end`; none where that is unknown.
    pub(crate) fn seconds(&self, route: &str, end: u64) -> Option<Vec<SecondOfHop>> {
        if self.unknown.is_some() {
            return None;
        }
        let index = self.routes.iter().position(|it| it == route);
        let seconds = usize::try_from(end.div_ceil(SECOND)).ok()?;
        let mut counts = vec![RouteCount::default(); seconds];
        let own = self.calls.values().filter(|it| Some(it.route) == index);
        for call in own.filter(|it| it.ended != RequestEnd::StillOpen) {
            let second = usize::try_from(call.end / SECOND).ok();
            if let Some(count) = second.and_then(|it| counts.get_mut(it)) {
                count.add(call);
            }
        }
        let told = (0..).zip(&counts).map(|(second, count)| SecondOfHop {
            hop: route.to_owned(),
            second,
            requests: count.ended as f64,
            errors: count.errors as f64,
            degraded: 0.0,
            p50_ms: None,
            p99_ms: None,
            mean_ms: count.mean_ms(),
        });
        Some(told.collect())
    }
}

/// What was counted of calls on one route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RouteCount {
    /// Those that began.
    pub(crate) calls: u64,
    /// Those of them that ended.
    pub(crate) ended: u64,
    /// Those that ended without a whole answer, or with one of 500 and above.
    pub(crate) errors: u64,
    /// How long those that ended took together, in µs.
    took: u64,
}

impl From<RouteCount> for HopCounters {
    fn from(count: RouteCount) -> Self {
        Self {
            requests: count.calls as f64,
            ended: count.ended as f64,
            errors: count.errors as f64,
            latency_sum: count.took as f64 / SECOND as f64,
            latency_count: count.ended as f64,
        }
    }
}

impl RouteCount {
    fn add(&mut self, call: &Call) {
        self.calls += 1;
        if call.ended != RequestEnd::StillOpen {
            self.ended += 1;
            self.errors += u64::from(call.is_error());
            self.took += call.end.saturating_sub(call.start);
        }
    }

    /// Errors as a share of those that ended.
    pub(crate) fn error_rate(&self) -> f64 {
        let count = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
        exact(share(count(self.errors), count(self.ended)))
    }

    /// The mean latency of those that ended, in ms.
    pub(crate) fn mean_ms(&self) -> Option<f64> {
        (self.ended > 0).then(|| exact(self.took as f64 / self.ended as f64 / 1_000.0))
    }
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// An id of a page, which is a trace id of 32 hex digits where the load made it.
pub(super) fn id_of(text: &str) -> Option<u128> {
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

impl Call {
    /// No whole answer, or a status of 500 and above: as the proxy counts errors of a route.
    pub(super) fn is_error(&self) -> bool {
        match (self.ended, self.status) {
            (RequestEnd::Answered | RequestEnd::BadRequest | RequestEnd::Fault, Some(status)) => {
                status >= 500
            }
            _ => true,
        }
    }

    /// How the client saw it fail.
    pub(super) fn failure(&self) -> String {
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
