//! How long to wait before the next try.

use std::time::Duration;

use rand::{Rng, RngExt};

/// No wait is longer than this, whatever a formula says.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait before the n-th retry, or before an open breaker is tried for the n-th time.
///
/// All waits are whole milliseconds, at most 24 hours; every step of the growth is cut to whole milliseconds,
/// as in resilience4j.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first wait, before any jitter.
    pub base: Duration,
    /// How waits grow from one to the next.
    pub growth: Growth,
    /// What chance does to them.
    pub jitter: Jitter,
}

/// How waits grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Growth {
    /// Each wait is `base`.
    Fixed,
    /// The n-th wait is `base` times `multiplier` to the power n - 1.
    Exponential {
        /// The factor from one wait to the next.
        multiplier: f64,
        /// No wait is longer.
        cap: Option<Duration>,
    },
}

/// What chance does to a wait of `d`, which clients that failed together need lest they come back together.
///
/// The names full, equal and decorrelated are those of "Exponential Backoff And Jitter" (AWS, 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// Nothing.
    None,
    /// Uniform from `d - factor * d` to `d + factor * d`, at least 1 ms, then capped: resilience4j's.
    Randomized {
        /// From 0 to 1.
        factor: f64,
    },
    /// Uniform from 0 to `d`, where `d` is capped first.
    Full,
    /// Uniform from half of `d` to `d`, where `d` is capped first.
    Equal,
    /// Uniform from `base` to twice the multiplier times the previous wait, then capped. The mean grows by the
    /// multiplier; 1.5 gives the factor 3 of the paper. Needs exponential growth.
    Decorrelated,
}

impl Backoff {
    /// The wait number `n`, counted from 1, given the `previous` one of the same call.
    pub fn wait(&self, n: u32, previous: Option<Duration>, chance: &mut impl Rng) -> Duration {
        let base = whole_ms(self.base);
        let (grown, multiplier, cap) = match self.growth {
            Growth::Fixed => (base, 1.0, None),
            Growth::Exponential { multiplier, cap } => (grow(base, multiplier, n), multiplier, cap),
        };
        let cap = whole_ms(cap.unwrap_or(WAIT_MAX));
        let ms = match self.jitter {
            Jitter::None => grown.min(cap),
            Jitter::Randomized { factor } => {
                let spread = scale(grown, factor);
                let (low, high) = (grown - spread, grown + spread);
                chance.random_range(low.max(1)..=high.max(1)).min(cap)
            }
            Jitter::Full => chance.random_range(0..=grown.min(cap)),
            Jitter::Equal => {
                let most = grown.min(cap);
                most - chance.random_range(0..=most / 2)
            }
            Jitter::Decorrelated => {
                let previous = previous.map_or(base, whole_ms);
                let high = scale(previous, 2.0 * multiplier);
                chance.random_range(base..=high.max(base)).min(cap)
            }
        };
        Duration::from_millis(ms)
    }
}

/// `base` times `multiplier`, n - 1 times, each product cut to whole milliseconds.
fn grow(base: u64, multiplier: f64, n: u32) -> u64 {
    let mut ms = base;
    for _ in 1..n {
        let next = scale(ms, multiplier);
        if next == ms {
            break;
        }
        ms = next;
    }
    ms
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "cutting is the rule; a day in milliseconds is exact in a double"
)]
fn scale(ms: u64, factor: f64) -> u64 {
    ((ms as f64 * factor) as u64).min(whole_ms(WAIT_MAX))
}

fn whole_ms(duration: Duration) -> u64 {
    let ms = duration.min(WAIT_MAX).as_millis();
    u64::try_from(ms).expect("a day in milliseconds fits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance;

    const NO_CAP: Option<Duration> = None;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn exponential(base: u64, multiplier: f64, cap: Option<Duration>, jitter: Jitter) -> Backoff {
        let growth = Growth::Exponential { multiplier, cap };
        Backoff {
            base: ms(base),
            growth,
            jitter,
        }
    }

    fn fixed(base: u64, jitter: Jitter) -> Backoff {
        Backoff {
            base: ms(base),
            growth: Growth::Fixed,
            jitter,
        }
    }

    fn waits(backoff: Backoff, ns: std::ops::RangeInclusive<u32>) -> Vec<u128> {
        let mut chance = chance::draw(0, 0, 0);
        ns.map(|n| backoff.wait(n, None, &mut chance).as_millis())
            .collect()
    }

    fn draws(backoff: Backoff, n: u32, count: usize) -> Vec<u64> {
        let mut chance = chance::draw(42, 0, 0);
        (0..count)
            .map(|_| whole_ms(backoff.wait(n, None, &mut chance)))
            .collect()
    }

    #[test]
    fn i1_fixed() {
        assert_eq!(waits(fixed(500, Jitter::None), 1..=4), [500; 4]);
    }

    #[test]
    fn i2_exponential_is_cut_to_whole_milliseconds_at_each_step() {
        assert_eq!(
            waits(exponential(100, 1.5, NO_CAP, Jitter::None), 1..=10),
            [100, 150, 225, 337, 505, 757, 1135, 1702, 2553, 3829]
        );
    }

    #[test]
    fn i3_exponential_with_resilience4j_defaults() {
        assert_eq!(
            waits(exponential(500, 1.5, NO_CAP, Jitter::None), 1..=8),
            [500, 750, 1125, 1687, 2530, 3795, 5692, 8538]
        );
    }

    #[test]
    fn i4_exponential_is_capped_last() {
        assert_eq!(
            waits(
                exponential(100, 2.0, Some(ms(100_000)), Jitter::None),
                9..=13
            ),
            [25_600, 51_200, 100_000, 100_000, 100_000]
        );
    }

    #[test]
    fn i5_randomized_reaches_both_ends() {
        let drawn = draws(fixed(100, Jitter::Randomized { factor: 0.5 }), 1, 1_000_000);

        assert_eq!(
            (drawn.iter().min(), drawn.iter().max()),
            (Some(&50), Some(&150))
        );
    }

    #[test]
    fn i6_randomized_is_at_least_one_millisecond() {
        let drawn = draws(fixed(100, Jitter::Randomized { factor: 1.0 }), 1, 1_000_000);

        assert_eq!(
            (drawn.iter().min(), drawn.iter().max()),
            (Some(&1), Some(&200))
        );
    }

    #[test]
    fn i7_full_jitter_is_uniform_up_to_the_capped_wait() {
        let backoff = exponential(100, 2.0, Some(ms(1000)), Jitter::Full);

        for (n, most) in (1..).zip([100, 200, 400, 800, 1000, 1000]) {
            let drawn = draws(backoff, n, 100_000);

            assert!(drawn.iter().all(|wait| *wait <= most), "attempt {n}");
            let mean = drawn.iter().sum::<u64>() as f64 / drawn.len() as f64;
            let half = most as f64 / 2.0;
            assert!((mean - half).abs() < half * 0.02, "attempt {n}: {mean}");
        }
    }

    #[test]
    fn equal_jitter_keeps_half() {
        let drawn = draws(
            exponential(100, 2.0, Some(ms(1000)), Jitter::Equal),
            3,
            10_000,
        );

        assert_eq!(
            (drawn.iter().min(), drawn.iter().max()),
            (Some(&200), Some(&400))
        );
    }

    #[test]
    fn exponential_random_is_capped_after_the_draw() {
        let jitter = Jitter::Randomized { factor: 0.5 };
        let drawn = draws(exponential(100, 2.0, Some(ms(150)), jitter), 2, 10_000);

        // From [100, 300]: most draws meet the cap, which a cap before the draw would spread over [75, 225].
        assert_eq!(
            (drawn.iter().min(), drawn.iter().max()),
            (Some(&100), Some(&150))
        );
        assert!(drawn.iter().filter(|wait| **wait == 150).count() > 7_000);
    }

    #[test]
    fn decorrelated_jitter_reaches_from_base_to_three_times_the_previous_wait() {
        let backoff = exponential(100, 1.5, Some(ms(900)), Jitter::Decorrelated);
        let mut chance = chance::draw(42, 0, 0);
        let mut after = |previous| {
            let drawn = || backoff.wait(2, previous, &mut chance);
            let drawn: Vec<_> = std::iter::repeat_with(drawn).take(100_000).collect();
            (drawn.iter().min().copied(), drawn.iter().max().copied())
        };

        assert_eq!(after(None), (Some(ms(100)), Some(ms(300))));
        assert_eq!(after(Some(ms(200))), (Some(ms(100)), Some(ms(600))));
        assert_eq!(after(Some(ms(800))), (Some(ms(100)), Some(ms(900))));
    }

    #[test]
    fn an_endless_exponential_ends_at_a_day() {
        let mut chance = chance::draw(0, 0, 0);

        let wait = exponential(100, 10.0, NO_CAP, Jitter::None).wait(u32::MAX, None, &mut chance);

        assert_eq!(wait, WAIT_MAX);
    }

    #[test]
    fn no_base_means_no_wait() {
        assert_eq!(
            waits(exponential(0, 2.0, NO_CAP, Jitter::Full), 1..=4),
            [0; 4]
        );
    }
}
