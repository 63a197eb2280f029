//! The metrics of the faults on one direction of a connection.

use std::sync::Arc;

use brownout_fault::{Acting, Considered};
use smallvec::SmallVec;

use crate::route::Route;

/// Counts connections by kind of fault. Dropping it ends those that count as active.
#[derive(Debug)]
pub(super) struct StreamMetrics {
    route: Arc<Route>,
    active: SmallVec<[&'static str; 2]>,
}

impl StreamMetrics {
    pub(super) fn new(route: Arc<Route>) -> Self {
        let active = SmallVec::new();
        Self { route, active }
    }

    /// Counts outcomes that are new.
    pub(super) fn count_outcomes(&self, considered: &[Considered]) {
        self.route.count_outcomes(considered);
    }

    /// Notes which faults act now; those before do so no longer, unless they are among them.
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

impl Drop for StreamMetrics {
    fn drop(&mut self) {
        self.set_active(std::iter::empty());
    }
}
