//! What is armed, compiled: immutable, read by every exchange.

mod armed;
mod by_route;
mod consider;
mod group_position;
mod path_prefix;
mod planned;
pub(crate) mod streams;

pub(crate) use self::armed::{ArmedFault, Arming};

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use self::{by_route::ByRoute, planned::PlannedFault};
use crate::{
    injection::{Considered, Injection, MatchOutcome},
    subject::Subject,
};

/// Everything that is armed, as one immutable value.
///
/// Requests on a route look only at the faults of that route.
#[derive(Debug, Default)]
pub struct FaultPlan {
    revision: u64,
    requests: ByRoute,
    streams: ByRoute,
    /// Those that act on listeners and so on no request.
    listening: Vec<PlannedFault>,
}

impl FaultPlan {
    /// Compiles `faults`, given in the order of their creation.
    pub(crate) fn new(revision: u64, faults: &[Arc<ArmedFault>]) -> Self {
        let (listening, mut sorted): (Vec<PlannedFault>, Vec<PlannedFault>) =
            PlannedFault::all(faults)
                .into_iter()
                .partition(|planned| planned.fault.spec().fault.refuses());
        // Stable: inside a phase and a priority the order of creation stays.
        let mut streams: Vec<PlannedFault> = sorted
            .iter()
            .filter(|planned| planned.fault.spec().acts_on_streams())
            .cloned()
            .collect();
        streams.sort_by_key(|planned| -planned.fault.spec().priority);
        sorted.retain(|planned| planned.fault.spec().acts_on_requests());
        sorted.sort_by_key(|planned| (planned.fault.phase(), -planned.fault.spec().priority));
        Self {
            revision,
            requests: ByRoute::new(sorted),
            streams: ByRoute::new(streams),
            listening,
        }
    }

    /// Whether new connections to a route are refused.
    #[must_use]
    pub fn refuses(&self, route: &str, now: Instant) -> bool {
        let mut here = self
            .listening
            .iter()
            .filter(|planned| planned.fault.spec().route.include(route));
        here.any(|planned| planned.fault.intensity(now, &planned.position).is_some())
    }

    /// Counts that a route stopped listening, for the faults that refuse its connections. Which were counted.
    pub fn note_refused(&self, route: &str, now: Instant) -> SmallVec<[Considered; 2]> {
        let mut considered = SmallVec::new();
        for planned in &self.listening {
            let fault = &planned.fault;
            if fault.spec().route.include(route)
                && fault.intensity(now, &planned.position).is_some()
            {
                fault.counters().count_match();
                fault.counters().take_injection(None);
                considered.push(Considered {
                    kind: fault.kind(),
                    outcome: MatchOutcome::Injected,
                });
            }
        }
        considered
    }

    /// When the answer of [`refuses`](Self::refuses) may change by itself; `None` if it does not.
    pub(crate) fn look_again(&self, now: Instant) -> Option<Instant> {
        /// How exactly a wave of refusals is kept.
        const STEP: Duration = Duration::from_millis(10);
        let next = |planned: &PlannedFault| {
            let starts_at = planned.fault.lifetime().starts_at.instant;
            if starts_at > now {
                Some(starts_at)
            } else {
                (!planned.fault.is_steady()).then_some(now + STEP)
            }
        };
        self.listening.iter().filter_map(next).min()
    }

    /// The number of the change that made this plan; grows by one with each.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether some fault may act on requests, of whatever route. If not, nobody needs to [decide](Self::decide).
    #[must_use]
    pub fn has_request_faults(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Says what is done to one request.
    ///
    /// Does no I/O and reads no clock. It allocates nothing as long as at most two faults of the route match, at
    /// most eight are meant for paths that begin as this one, and those that act do so before the request is forwarded.
    /// Its one side effect is in the counters of the faults: matches are counted and injections taken.
    /// To be called once for each request.
    #[must_use]
    pub fn decide(&self, subject: &Subject<'_>, now: Instant) -> Injection {
        let mut injection = Injection::default();
        for planned in self.requests.fitting(subject.route, subject.path) {
            planned
                .fault
                .consider(&planned.position, subject, now, &mut injection);
        }
        injection
    }
}
