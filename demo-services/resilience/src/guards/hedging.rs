//! When a client hedges: after how long, and whether the budget permits it.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::policy::HedgePolicy;

/// Hedges are paid for by the attempts of so long.
const BUDGET_TTL: Duration = Duration::from_secs(10);
/// Fewer answers than this have no percentile worth going by.
const ANSWERS_MIN: u64 = 100;
/// A percentile is over the last answers: as many as this, up to twice as many.
const ANSWERS: u64 = 1000;
const LONGEST_US: u64 = 60 * 60 * 1_000_000;

pub(crate) struct Hedging {
    after: Duration,
    max: u32,
    budget: TpsBudget,
    times: Option<Mutex<Times>>,
}

impl Hedging {
    pub(super) fn new(policy: &HedgePolicy) -> Self {
        Self {
            after: policy.after,
            max: policy.max,
            budget: TpsBudget::new(BUDGET_TTL, policy.min_per_sec, policy.budget),
            times: policy
                .percentile
                .map(|percentile| Mutex::new(Times::new(percentile))),
        }
    }

    /// An attempt pays in.
    pub(crate) fn deposit(&self) {
        self.budget.deposit();
    }

    /// Whether an attempt that has sent so many requests may send one more; it is paid for then.
    pub(crate) fn permits(&self, sent: u32) -> bool {
        sent < self.max && self.budget.withdraw()
    }

    /// How long to wait for an answer before the next request.
    pub(crate) fn delay(&self) -> Duration {
        let Some(times) = &self.times else {
            return self.after;
        };
        let times = times.lock().unwrap_or_else(PoisonError::into_inner);
        times.delay.unwrap_or(self.after)
    }

    /// Remembers how long a good answer took.
    pub(crate) fn answered(&self, took: Duration) {
        if let Some(times) = &self.times {
            let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
            times.record(took);
        }
    }
}

impl fmt::Debug for Hedging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedging")
            .field("delay", &self.delay())
            .field("max", &self.max)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// The times of the last good answers: some that fill up, and the full ones before them.
struct Times {
    percentile: f64,
    filling: Histogram<u32>,
    full: Histogram<u32>,
    /// Read at every hundredth answer: reading a histogram takes longer than a call should.
    delay: Option<Duration>,
}

impl Times {
    fn new(percentile: f64) -> Self {
        // Two digits: a delay within one percent. Their room is taken here, once.
        let empty = || Histogram::new_with_bounds(1, LONGEST_US, 2).expect("these bounds are good");
        Self {
            percentile,
            filling: empty(),
            full: empty(),
            delay: None,
        }
    }

    fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        self.filling.saturating_record(us.max(1));
        let filled = self.filling.len();
        if filled >= ANSWERS {
            std::mem::swap(&mut self.filling, &mut self.full);
            self.filling.reset();
        }
        if filled.is_multiple_of(ANSWERS_MIN) {
            let of = if self.full.is_empty() {
                &self.filling
            } else {
                &self.full
            };
            self.delay = Some(Duration::from_micros(
                of.value_at_percentile(self.percentile),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p90() -> Hedging {
        Hedging::new(&HedgePolicy {
            after: Duration::from_secs(2),
            percentile: Some(90.0),
            ..HedgePolicy::default()
        })
    }

    #[test]
    fn until_there_are_a_hundred_answers_the_fixed_delay_holds() {
        let hedging = p90();

        (0..99).for_each(|_| hedging.answered(Duration::from_millis(10)));
        assert_eq!(hedging.delay(), Duration::from_secs(2));
        hedging.answered(Duration::from_millis(10));

        assert!(hedging.delay() < Duration::from_millis(11));
    }

    #[test]
    fn the_delay_is_the_percentile_of_the_last_answers_within_a_percent() {
        let hedging = p90();
        for ms in 1..=100 {
            hedging.answered(Duration::from_millis(ms));
        }
        let within =
            |delay: Duration, ms: f64| (delay.as_secs_f64() * 1000.0 / ms - 1.0).abs() < 0.01;
        assert!(within(hedging.delay(), 90.0), "{:?}", hedging.delay());

        for _ in 0..2000 {
            hedging.answered(Duration::from_millis(300));
        }

        assert!(within(hedging.delay(), 300.0), "{:?}", hedging.delay());
    }
}
