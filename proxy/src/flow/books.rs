//! What the faults of one direction of a connection do, as metrics.

use std::sync::Arc;

use brownout_fault::{Acting, Considered};
use smallvec::SmallVec;

use crate::route::Route;

/// Counts connections, by kind of fault. Dropping it ends those that count as active.
#[derive(Debug)]
pub(super) struct Books {
    route: Arc<Route>,
    active: SmallVec<[&'static str; 2]>,
}

impl Books {
    pub(super) fn new(route: Arc<Route>) -> Self {
        let active = SmallVec::new();
        Self { route, active }
    }

    /// Counts what became of faults.
    pub(super) fn note(&self, considered: &[Considered]) {
        self.route.count_outcomes(considered);
    }

    /// These act now, and no others.
    pub(super) fn set_active(&mut self, acting: impl Iterator<Item = Acting>) {
        let now: SmallVec<[&'static str; 2]> = acting.map(|acting| acting.kind).collect();
        self.count(&now, |active| active.add(1));
        let before = std::mem::replace(&mut self.active, now);
        self.count(&before, |active| active.sub(1));
    }

    fn count(&self, kinds: &[&'static str], change: impl Fn(&brownout_telemetry::Gauge)) {
        for metrics in kinds.iter().filter_map(|kind| self.route.faults(kind)) {
            change(&metrics.active);
        }
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        self.set_active(std::iter::empty());
    }
}
