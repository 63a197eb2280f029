//! Counters with a bound.

use std::sync::atomic::{AtomicU64, Ordering};

/// Adds one unless `limit` is reached, by compare-and-swap.
pub(crate) fn take_below(counter: &AtomicU64, limit: u64) -> bool {
    counter
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < limit).then(|| count + 1)
        })
        .is_ok()
}
