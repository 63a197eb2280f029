//! The adaptive bound: how many attempts may be under way while they are still answered quickly.
//!
//! The algorithm is the Vegas of Netflix's concurrency-limits, with its numbers: the queue at the dependency is taken to
//! be `limit * (1 - shortest / taken)`. There is a crate for it, congestion-limiter; it never forgets the shortest
//! answer time it saw, so it throttles for ever after a dependency has become slower for good, and spawns a task
//! whenever the bound shrinks.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    outcome::{ErrorKind, Outcome},
    policy::AdaptivePolicy,
};

#[derive(Debug)]
pub(super) struct Adaptive(Mutex<Bound>);

#[derive(Debug)]
struct Bound {
    vegas: Vegas,
    in_flight: u32,
}

impl Adaptive {
    pub(super) fn new(policy: &AdaptivePolicy) -> Self {
        Self(Mutex::new(Bound {
            vegas: Vegas::new(policy),
            in_flight: 0,
        }))
    }

    /// A place below the bound, if there is one.
    pub(super) fn enter(&self) -> Option<Place<'_>> {
        self.with(|bound| {
            if bound.in_flight >= bound.vegas.limit {
                return None;
            }
            bound.in_flight += 1;
            Some(Place {
                adaptive: self,
                entered: Instant::now(),
                in_flight: bound.in_flight,
            })
        })
    }

    pub(super) fn limit(&self) -> u32 {
        self.with(|bound| bound.vegas.limit)
    }

    fn with<R>(&self, act: impl FnOnce(&mut Bound) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Dropped, it is free again, and nothing is learnt.
#[derive(Debug)]
pub(super) struct Place<'a> {
    adaptive: &'a Adaptive,
    entered: Instant,
    /// With itself.
    in_flight: u32,
}

impl Place<'_> {
    pub(super) fn leave(self, outcome: Outcome) {
        let taken = self.entered.elapsed();
        let overloaded = match outcome {
            Outcome::Error(ErrorKind::Timeout) | Outcome::Status(429 | 503) => true,
            Outcome::Success | Outcome::Status(_) => false,
            // A failure that is no sign of too much work is often quick, and would pass for good health.
            Outcome::Ignored | Outcome::Error(_) => return,
        };
        self.adaptive
            .with(|bound| bound.vegas.learn(taken, self.in_flight, overloaded));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.adaptive.with(|bound| bound.in_flight -= 1);
    }
}

/// The rules, without lock and clock.
#[derive(Debug)]
struct Vegas {
    limit: u32,
    min: u32,
    max: u32,
    /// The shortest answer time since the last probe: that of a dependency without a queue.
    shortest: Option<Duration>,
    /// Answers until the shortest time is looked for anew.
    until_probe: u32,
}

/// The shortest time is looked for anew every so many answers, times the limit.
const PROBE_EVERY: u32 = 30;

impl Vegas {
    fn new(policy: &AdaptivePolicy) -> Self {
        Self {
            limit: policy.initial,
            min: policy.min,
            max: policy.max,
            shortest: None,
            until_probe: policy.initial.saturating_mul(PROBE_EVERY),
        }
    }

    /// Learns from one answer: the time it took, and how many were under way when it was asked for.
    fn learn(&mut self, taken: Duration, in_flight: u32, overloaded: bool) {
        if self.until_probe == 0 && !overloaded {
            self.until_probe = self.limit.saturating_mul(PROBE_EVERY);
            self.shortest = None;
        }
        self.until_probe = self.until_probe.saturating_sub(1);
        let step = self.limit.checked_ilog10().unwrap_or(0).max(1);
        let (alpha, beta) = (3 * step, 6 * step);
        if overloaded {
            return self.go_to(self.limit.saturating_sub(step));
        }
        let Some(shortest) = self.shortest.filter(|shortest| *shortest <= taken) else {
            self.shortest = Some(taken);
            return;
        };
        // A bound that is not used says nothing about a higher one.
        if in_flight.saturating_mul(2) < self.limit {
            return;
        }
        let queue = self.queue(shortest, taken);
        if queue <= step {
            self.go_to(self.limit.saturating_add(beta));
        } else if queue < alpha {
            self.go_to(self.limit.saturating_add(step));
        } else if queue > beta {
            self.go_to(self.limit.saturating_sub(step));
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the limit"
    )]
    fn queue(&self, shortest: Duration, taken: Duration) -> u32 {
        if taken.is_zero() {
            return 0;
        }
        let share = 1.0 - shortest.as_secs_f64() / taken.as_secs_f64();
        (f64::from(self.limit) * share).ceil().max(0.0) as u32
    }

    fn go_to(&mut self, limit: u32) {
        self.limit = limit.clamp(self.min, self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vegas() -> Vegas {
        Vegas::new(&AdaptivePolicy::default())
    }

    const MS: Duration = Duration::from_millis(1);

    /// A dependency that works on `servers` requests at once, each for 10 ms; the bound is always used up.
    fn settle(vegas: &mut Vegas, servers: u32, answers: u32) {
        for _ in 0..answers {
            let queued = f64::from(vegas.limit.max(servers)) / f64::from(servers);
            vegas.learn((10 * MS).mul_f64(queued), vegas.limit, false);
        }
    }

    #[test]
    fn it_finds_what_the_dependency_can_do_at_once() {
        let mut vegas = vegas();

        settle(&mut vegas, 100, 500);

        // Vegas keeps a queue of between alpha and beta: at 100, steps of 2, from 6 to 12.
        assert!((100..=115).contains(&vegas.limit), "{}", vegas.limit);
    }

    #[test]
    fn it_shrinks_when_the_dependency_does() {
        let mut vegas = vegas();
        settle(&mut vegas, 100, 500);

        settle(&mut vegas, 20, 150);

        assert!((20..=40).contains(&vegas.limit), "{}", vegas.limit);
    }

    #[test]
    fn it_forgets_a_time_that_is_gone_for_good() {
        let mut vegas = vegas();
        vegas.learn(MS, 20, false);
        for _ in 0..100 {
            vegas.learn(20 * MS, vegas.limit, false);
        }
        assert!(vegas.limit < 20, "{}", vegas.limit);

        for _ in 0..2000 {
            vegas.learn(20 * MS, vegas.limit, false);
        }

        assert!(vegas.limit > 20, "{}", vegas.limit);
    }

    #[test]
    fn a_bound_that_is_not_used_does_not_grow() {
        let mut vegas = vegas();

        for _ in 0..1000 {
            vegas.learn(10 * MS, 9, false);
        }

        assert_eq!(vegas.limit, 20);
    }

    #[test]
    fn overload_brings_it_down_to_its_minimum_and_no_lower() {
        let mut vegas = vegas();

        for _ in 0..1000 {
            vegas.learn(10 * MS, 1, true);
        }

        assert_eq!(vegas.limit, 1);
    }

    #[test]
    fn it_stops_at_its_maximum() {
        let mut vegas = vegas();

        for _ in 0..1000 {
            vegas.learn(10 * MS, vegas.limit, false);
        }

        assert_eq!(vegas.limit, 1000);
    }
}
