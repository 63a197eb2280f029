//! When a fault struck.

use std::time::{Duration, Instant};

/// When a fault struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strikes {
    /// The first time that it had an effect.
    pub first: Option<Instant>,
    /// The last time so far, exact to a microsecond.
    pub last: Option<Instant>,
}

/// The time of something, in microseconds since something else that came first.
pub(crate) fn micros_between(first: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(first).as_micros()).unwrap_or(u64::MAX)
}

/// The reverse of [`micros_between`].
pub(crate) fn micros_after(first: Instant, micros: u64) -> Instant {
    first
        .checked_add(Duration::from_micros(micros))
        .unwrap_or(first)
}
