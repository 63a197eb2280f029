//! What one fault does to one direction of a connection, measured.

use std::time::{Duration, Instant};

use brownout_fault::Effects;
use brownout_telemetry::Histogram;

/// Writes into the fault's own books and into the metrics of its kind on the route.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    effects: Effects,
    /// `fault.delay`; `None` where nobody counts.
    delay: Option<Histogram>,
}

impl Meter {
    pub(super) fn new(effects: Effects, delay: Option<Histogram>) -> Self {
        Self { effects, delay }
    }

    /// Notes what was held from `since` until `now`, and how long it was to be held unless it was let go before.
    pub(super) fn held(&self, asked: Option<Duration>, since: Instant, now: Instant) {
        let achieved = now.saturating_duration_since(since);
        self.effects.note_delay(asked, achieved);
        if let Some(delay) = &self.delay {
            delay.record(achieved);
        }
    }

    /// Notes bytes that passed.
    pub(super) fn passed(&self, bytes: usize) {
        self.paced(bytes, Duration::ZERO);
    }

    /// Notes bytes that passed, and the time they took.
    pub(super) fn paced(&self, bytes: usize, took: Duration) {
        self.effects.note_bytes(bytes as u64, took);
    }
}
