//! What one fault does to one direction of a connection, measured.

use std::time::{Duration, Instant};

use brownout_fault::Effects;
use brownout_telemetry::Histogram;

use crate::shaping::stage::Report;

/// Counts in the fault itself and in the metrics of its kind on the route.
#[derive(Debug, Clone)]
pub(in crate::shaping) struct StreamReport {
    effects: Effects,
    /// The metric `fault.delay`; `None` if the kind has no metrics on the route.
    delay: Option<Histogram>,
}

impl StreamReport {
    pub(in crate::shaping) fn new(effects: Effects, delay: Option<Histogram>) -> Self {
        Self { effects, delay }
    }
}

impl Report for StreamReport {
    /// It counted as injected when it was chosen for the connection.
    fn acted(&mut self) {}

    fn held(&mut self, asked: Option<Duration>, since: Instant, now: Instant) {
        let achieved = now.saturating_duration_since(since);
        self.effects.note_delay(asked, achieved);
        if let Some(delay) = &self.delay {
            delay.record(achieved);
        }
    }

    fn passed(&mut self, bytes: usize, took: Duration) {
        self.effects.note_bytes(bytes as u64, took);
    }
}
