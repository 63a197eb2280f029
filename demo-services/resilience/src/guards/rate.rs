//! The rate limiter: so many permits in each period, and a place in a later one for those who can wait.
//!
//! The rules are resilience4j's `AtomicRateLimiter`, in whole nanoseconds. Where it differs: a call that is dropped
//! while it waits gives its permit back.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::policy::RateLimitPolicy;

#[derive(Debug)]
pub(super) struct RateLimiter {
    began: Instant,
    timeout: Duration,
    periods: Mutex<Periods>,
    waiting: AtomicU32,
}

impl RateLimiter {
    /// One whose first period begins now.
    pub(super) fn starting_now(policy: RateLimitPolicy) -> Self {
        Self {
            began: Instant::now(),
            timeout: policy.timeout,
            periods: Mutex::new(Periods::new(policy.limit, policy.period)),
            waiting: AtomicU32::new(0),
        }
    }

    /// Takes a permit, waiting for it if need be; false if there is none in time.
    pub(super) async fn acquire(&self, time_left: Option<Duration>) -> bool {
        let patience = time_left.map_or(self.timeout, |left| left.min(self.timeout));
        let now = self.began.elapsed();
        let Some(wait) = self.with(|periods| periods.reserve(now, patience)) else {
            return false;
        };
        if !wait.is_zero() {
            let waiting = Waiting::new(self);
            sleep(wait).await;
            waiting.served();
        }
        true
    }

    pub(super) fn permits(&self) -> i64 {
        let now = self.began.elapsed();
        self.with(|periods| {
            periods.go_to(now);
            periods.permits
        })
    }

    pub(super) fn wait_for_one(&self) -> Duration {
        let now = self.began.elapsed();
        let wait = self.with(|periods| {
            periods.go_to(now);
            periods.wait_for_one(now)
        });
        Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn with<R>(&self, act: impl FnOnce(&mut Periods) -> R) -> R {
        act(&mut self.periods.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A call that waits for its permit, and gives it back if it is dropped.
struct Waiting<'r> {
    limiter: &'r RateLimiter,
    served: bool,
}

impl<'r> Waiting<'r> {
    fn new(limiter: &'r RateLimiter) -> Self {
        limiter.waiting.fetch_add(1, Ordering::Relaxed);
        Self {
            limiter,
            served: false,
        }
    }

    fn served(mut self) {
        self.served = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.limiter.waiting.fetch_sub(1, Ordering::Relaxed);
        if !self.served {
            self.limiter.with(|periods| periods.permits += 1);
        }
    }
}

/// The rules, without lock and clock: every step is given the time since the first period began.
#[derive(Debug)]
struct Periods {
    limit: i64,
    period_ns: u128,
    /// The period that `permits` are of.
    current: u128,
    /// Below 0 while permits of later periods are reserved.
    permits: i64,
}

impl Periods {
    fn new(limit: u32, period: Duration) -> Self {
        Self {
            limit: limit.into(),
            period_ns: period.as_nanos().max(1),
            current: 0,
            permits: limit.into(),
        }
    }

    fn go_to(&mut self, now: Duration) {
        let period = now.as_nanos() / self.period_ns;
        let passed = i64::try_from(period.saturating_sub(self.current)).unwrap_or(i64::MAX);
        let gained = passed.saturating_mul(self.limit);
        self.permits = self.permits.saturating_add(gained).min(self.limit);
        self.current = self.current.max(period);
    }

    /// Takes a permit and says how long to wait for it; takes none if that is longer than `patience`.
    fn reserve(&mut self, now: Duration, patience: Duration) -> Option<Duration> {
        self.go_to(now);
        let wait = self.wait_for_one(now);
        if wait > patience.as_nanos() {
            return None;
        }
        self.permits -= 1;
        Some(Duration::from_nanos(
            u64::try_from(wait).unwrap_or(u64::MAX),
        ))
    }

    fn wait_for_one(&self, now: Duration) -> u128 {
        if self.permits >= 1 {
            return 0;
        }
        let to_the_next = (self.current + 1) * self.period_ns - now.as_nanos();
        // Whole periods after the next one, whose permits are taken as well.
        let missing = 1 - (self.permits + self.limit);
        let further = u128::try_from(missing.max(0)).unwrap_or(0);
        let limit = u128::try_from(self.limit).unwrap_or(1);
        to_the_next + further.div_ceil(limit) * self.period_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// So many milliseconds, less or more ten nanoseconds.
    const A_BIT: Duration = Duration::from_nanos(10);

    #[test]
    fn rl1_and_rl2_a_permit_of_the_next_period_is_reserved_within_the_timeout() {
        let mut periods = Periods::new(1, ms(250));
        let mut reserve = |now| periods.reserve(now, ms(250));

        assert_eq!(reserve(ms(250) - A_BIT), Some(ms(0)));
        assert_eq!(reserve(ms(250)), Some(ms(0)));
        assert_eq!(reserve(ms(250)), Some(ms(250)));
        assert_eq!(reserve(ms(250)), None);

        assert_eq!(reserve(ms(500)), Some(ms(250)));
        assert_eq!(reserve(ms(1500) + A_BIT), Some(ms(0)));
        assert_eq!(reserve(ms(1500) + A_BIT), Some(ms(250) - A_BIT));
    }

    #[test]
    fn rl1_reserved_permits_are_below_zero() {
        let mut periods = Periods::new(1, ms(250));
        periods.reserve(ms(250), ms(250)).unwrap();
        periods.reserve(ms(250), ms(250)).unwrap();

        assert_eq!(periods.permits, -1);
    }

    #[test]
    fn rl3_without_a_timeout_nobody_waits() {
        let mut periods = Periods::new(1, ms(250));
        let mut reserve = |now| periods.reserve(now, ms(0)).is_some();

        assert!(reserve(ms(250)));
        assert!(!reserve(ms(250)));
        assert!(!reserve(ms(500) - Duration::from_nanos(1)));
        assert!(reserve(ms(500)));
    }

    #[test]
    fn rl4_a_new_period_has_all_its_permits_at_once() {
        let mut periods = Periods::new(10, ms(1000));
        let mut admitted = |now| {
            (0..12)
                .filter(|_| periods.reserve(now, ms(0)).is_some())
                .count()
        };

        assert_eq!([admitted(ms(500)), admitted(ms(1000))], [10, 10]);
    }

    #[test]
    fn unused_permits_are_lost() {
        let mut periods = Periods::new(3, ms(10));
        periods.go_to(ms(1_000_000_000));

        assert_eq!(periods.permits, 3);
    }

    #[test]
    fn a_long_line_of_reservations_is_served_in_order() {
        let mut periods = Periods::new(2, ms(100));
        let waits: Vec<_> = (0..7)
            .map(|_| periods.reserve(ms(0), ms(10_000)).unwrap().as_millis())
            .collect();

        assert_eq!(waits, [0, 0, 100, 100, 200, 200, 300]);
    }
}
