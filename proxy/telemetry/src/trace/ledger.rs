use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{
    metrics::{Counter, Histogram, Metrics},
    names,
};

/// What became of every span of the process, and the limit on those that wait.
///
/// At any moment ended = exported + failed + dropped + waiting; after the shutdown none waits.
#[derive(Debug)]
pub(crate) struct Ledger {
    ended: Counter,
    exported: Counter,
    failed: Counter,
    dropped: Counter,
    pub(super) export_time: Histogram,
    /// Queued or on their way to the collector.
    waiting: AtomicU64,
    /// How many spans may wait in the process. Some 1 to 2 KB each.
    waiting_max: u64,
    given_up: AtomicBool,
    /// Whether it was said that the collector takes nothing, since it last took something.
    told: AtomicBool,
}

impl Ledger {
    pub(crate) fn new(metrics: &Metrics, waiting_max: u64) -> Self {
        Self {
            ended: metrics.counter(names::TELEMETRY_SPANS_ENDED, &[]),
            exported: metrics.counter(names::TELEMETRY_SPANS_EXPORTED, &[]),
            failed: metrics.counter(names::TELEMETRY_SPANS_FAILED, &[]),
            dropped: metrics.counter(names::TELEMETRY_SPANS_DROPPED, &[]),
            export_time: metrics.histogram(names::TELEMETRY_EXPORT_TIME, &[]),
            waiting: AtomicU64::new(0),
            waiting_max,
            given_up: AtomicBool::new(false),
            told: AtomicBool::new(false),
        }
    }

    pub(super) fn waiting_max(&self) -> u64 {
        self.waiting_max
    }

    /// Counts a span that ended. Tells whether there is room for it; if not it is dropped.
    pub(super) fn admit(&self) -> bool {
        self.ended.add(1);
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.waiting_max {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.dropped.add(1);
        false
    }

    /// Counts the end of an export.
    pub(super) fn settle(&self, spans: u64, delivered: bool) {
        let taken = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                waiting.checked_sub(spans)
            });
        if taken.is_err() {
            return; // Given up meanwhile, and counted as dropped.
        }
        if delivered {
            self.exported.add(spans);
            self.told.store(false, Ordering::Relaxed);
        } else {
            self.failed.add(spans);
        }
    }

    /// Says in the log that the collector takes nothing, once until it has taken something again.
    pub(super) fn tell_undelivered(&self, endpoint: &str, cause: &dyn std::fmt::Display) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                endpoint,
                %cause,
                "the collector at {endpoint} does not take traces: {cause}; telemetry.spans_failed counts on"
            );
        }
    }

    /// Drops whatever still waits, and tells how many that were.
    pub(super) fn give_up(&self) -> u64 {
        self.given_up.store(true, Ordering::Relaxed);
        let left = self.waiting.swap(0, Ordering::Relaxed);
        self.dropped.add(left);
        left
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(ledger: &Ledger) -> [u64; 4] {
        [
            &ledger.ended,
            &ledger.exported,
            &ledger.failed,
            &ledger.dropped,
        ]
        .map(Counter::total)
    }

    #[test]
    fn every_span_is_counted_once() {
        let ledger = Ledger::new(&Metrics::new(), 100);
        for _ in 0..10 {
            assert!(ledger.admit());
        }

        ledger.settle(4, true);
        ledger.settle(3, false);
        let left = ledger.give_up();
        ledger.settle(3, true);

        assert_eq!(left, 3);
        assert_eq!(totals(&ledger), [10, 4, 3, 3]);
    }

    #[test]
    fn spans_beyond_the_limit_are_dropped_until_others_are_settled() {
        let ledger = Ledger::new(&Metrics::new(), 100);
        for _ in 0..100 {
            assert!(ledger.admit());
        }

        assert!(!ledger.admit());
        ledger.settle(1, true);
        assert!(ledger.admit());

        assert_eq!(totals(&ledger), [102, 1, 0, 1]);
    }
}
