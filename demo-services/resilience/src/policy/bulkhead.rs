//! `[bulkhead]`

use std::time::Duration;

use super::{
    Refusal, Written,
    section::{Section, duration, integer},
    show,
};

/// `[bulkhead]`: how many attempts may be under way at once, so that one slow dependency does not take everything.
///
/// All workers of a client share it, first come, first served. What finds no place in time is refused: nothing is sent,
/// the breaker is not told, and it is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkheadPolicy {
    /// `max_concurrent`: attempts at once, hedges included. Default 25; from 1 to 100,000.
    pub max_concurrent: u32,
    /// `max_wait`: how long to wait for a place. Default `"0s"`, which refuses at once; up to 1 h. It is part of the
    /// attempt's time.
    pub max_wait: Duration,
}

impl Default for BulkheadPolicy {
    fn default() -> Self {
        Self {
            max_concurrent: 25,
            max_wait: Duration::ZERO,
        }
    }
}

impl BulkheadPolicy {
    pub(super) fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let policy = Self {
            max_concurrent: section
                .get("max_concurrent", integer)
                .unwrap_or(default.max_concurrent),
            max_wait: section
                .get("max_wait", duration)
                .unwrap_or(default.max_wait),
        };
        section.finish_with(policy, Self::refusals, SYNONYMS)
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let hour = Duration::from_secs(60 * 60);
        let found = [
            (
                "max_concurrent",
                show::beyond(self.max_concurrent, 1..=100_000),
            ),
            (
                "max_wait",
                show::outside(self.max_wait, Duration::ZERO..=hour),
            ),
        ];
        let found = found.into_iter();
        found.filter_map(|(key, why)| Some((key, why?))).collect()
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("bulkhead");
        out.plain("max_concurrent", self.max_concurrent);
        out.text("max_wait", &show::duration(self.max_wait));
    }
}

/// resilience4j's names.
const SYNONYMS: &[(&str, &str)] = &[
    ("max_concurrent_calls", "max_concurrent"),
    ("max_wait_duration", "max_wait"),
];
