//! What is armed, compiled: immutable, read by every exchange.

mod armed;
mod by_route;
mod consider;
mod explain;
mod group_position;
mod path_prefix;
mod planned;
pub(crate) mod streams;

pub(crate) use self::armed::{ArmedFault, Arming};
pub use self::explain::{Explained, Verdict};

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use self::{by_route::ByRoute, planned::PlannedFault};
use crate::{
    faults::AtListener,
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
        let (mut listening, mut sorted): (Vec<PlannedFault>, Vec<PlannedFault>) =
            PlannedFault::all(faults)
                .into_iter()
                .partition(|planned| planned.fault.spec().fault.at_listener().is_some());
        listening.sort_by_key(|planned| -planned.fault.spec().priority);
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

    /// What becomes of new connections to a route; `None` when they are accepted. The first of several faults says it.
    #[must_use]
    pub fn at_listener(&self, route: &str, now: Instant) -> Option<AtListener> {
        let first = self.at_listener_of(route, now).next();
        first.and_then(|fault| fault.spec().fault.at_listener())
    }

    fn at_listener_of(&self, route: &str, now: Instant) -> impl Iterator<Item = &ArmedFault> {
        let here = self.listening.iter().filter(move |planned| {
            planned.fault.spec().route.include(route)
                && planned.fault.intensity(now, &planned.position).is_some()
        });
        here.map(|planned| &*planned.fault)
    }

    /// Counts that the listeners of a route do `what` from now on, for the faults that want it; others that want something
    /// else are skipped. Which were counted.
    pub fn note_at_listener(
        &self,
        route: &str,
        what: AtListener,
        now: Instant,
    ) -> SmallVec<[Considered; 2]> {
        let mut considered = SmallVec::new();
        for fault in self.at_listener_of(route, now) {
            fault.counters().count_match();
            let on_route = fault.on_route(route);
            if let Some(counted) = &on_route {
                counted.count_match();
            }
            let outcome = if fault.spec().fault.at_listener() == Some(what) {
                fault.counters().take_injection(None);
                if let Some(counted) = &on_route {
                    counted.count_injection();
                }
                fault.counters().note_strike(None, now);
                MatchOutcome::Injected
            } else {
                fault.counters().count_skipped();
                MatchOutcome::Skipped
            };
            considered.push(Considered {
                kind: fault.kind(),
                outcome,
            });
        }
        considered
    }

    /// When the answer of [`at_listener`](Self::at_listener) may change by itself; `None` if it does not.
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
