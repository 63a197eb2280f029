use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// A number that goes up and down.
///
/// Cloning gives another handle to the same number.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<Line>);

/// Aligned as a counter's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicI64);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.0.store(value, Ordering::Relaxed);
    }

    /// Raises the value by `n`.
    pub fn add(&self, n: i64) {
        self.0.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Lowers the value by `n`.
    pub fn sub(&self, n: i64) {
        self.0.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.0.load(Ordering::Relaxed)
    }
}
