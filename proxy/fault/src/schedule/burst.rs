//! Faults that come in bursts (Gilbert 1960, Elliott 1963): a good and a bad state, and chances to change.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    read::{Object, Problem},
    roll::{Dice, Roll},
    units::{duration, show_duration},
    written::written,
};

/// In the bad state the percent applies, in the good one nothing happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Burst {
    /// Changes with each match.
    Matches {
        /// The chance that a good match is followed by a bad one, above 0 and up to 1.
        p_bad: f64,
        /// The chance that a bad match is followed by a good one, above 0 and up to 1.
        p_good: f64,
    },
    /// Changes with time: both spans are exponential, of these means.
    Time {
        /// How long it is bad.
        mean_burst: Duration,
        /// How long it is good.
        mean_gap: Duration,
    },
}

impl Burst {
    /// Shorter means would be noise, not bursts, and cost too many draws.
    const MEAN_MIN: Duration = Duration::from_millis(10);
    const FORMS: &'static str = "give `p_bad` and `p_good`, or `mean_burst` and `mean_gap`";

    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["p_bad", "p_good", "mean_burst", "mean_gap"])?;
        let chance = |value: &Value| match value.as_f64() {
            Some(chance) if chance > 0.0 && chance <= 1.0 => Ok(chance),
            _ => Err(Problem::here("must be a number above 0 and up to 1")),
        };
        let mean = |value: &Value| match duration(value)? {
            mean if mean < Self::MEAN_MIN => Err(Problem::here("must be at least 10ms")),
            mean => Ok(mean),
        };
        let by_match = object.has("p_bad") || object.has("p_good");
        let by_time = object.has("mean_burst") || object.has("mean_gap");
        match (by_match, by_time) {
            (true, false) => Ok(Self::Matches {
                p_bad: object.required("p_bad", chance)?,
                p_good: object.required("p_good", chance)?,
            }),
            (false, true) => Ok(Self::Time {
                mean_burst: object.required("mean_burst", mean)?,
                mean_gap: object.required("mean_gap", mean)?,
            }),
            (true, true) | (false, false) => Err(Problem::here(Self::FORMS)),
        }
    }

    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Matches { p_bad, p_good } => json!({ "p_bad": p_bad, "p_good": p_good }),
            Self::Time {
                mean_burst,
                mean_gap,
            } => written([
                ("mean_burst", Some(json!(show_duration(mean_burst)))),
                ("mean_gap", Some(json!(show_duration(mean_gap)))),
            ]),
        }
    }

    /// Whether it is bad at the time `at`; always so when matches decide.
    ///
    /// Time is cut into windows, each of which is walked from a beginning of its own: so the answer is a function
    /// of the time alone, and a fault that was not asked for a day costs no more than one that is asked often.
    pub(crate) fn is_on(self, at: Duration, dice: &Dice) -> bool {
        const CYCLES: u32 = 16;
        let Self::Time {
            mean_burst,
            mean_gap,
        } = self
        else {
            return true;
        };
        let cycle = mean_burst.saturating_add(mean_gap);
        let window = cycle.saturating_mul(CYCLES).as_nanos();
        let number = u64::try_from(at.as_nanos() / window).unwrap_or(u64::MAX);
        let into = as_f64(at.as_nanos() % window);
        let mut roll = dice.side_roll(b"burst", number);

        let mut bad = unit(&mut roll) < mean_burst.as_secs_f64() / cycle.as_secs_f64();
        let mut walked = 0.0;
        loop {
            let mean = if bad { mean_burst } else { mean_gap };
            walked += -unit(&mut roll).ln() * as_f64(mean.as_nanos());
            if walked > into {
                return bad;
            }
            bad = !bad;
        }
    }
}

/// Whether a burst by match is in its bad state. Each state follows from the one before, so matches step it in order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BurstState {
    bad: bool,
}

impl BurstState {
    /// Steps to the match number `count`. Whether it is bad.
    pub(crate) fn step(&mut self, burst: Burst, dice: &Dice, count: u64) -> bool {
        let Burst::Matches { p_bad, p_good } = burst else {
            return true;
        };
        let chance = if self.bad { p_good } else { p_bad };
        if unit(&mut dice.side_roll(b"burst", count)) <= chance {
            self.bad = !self.bad;
        }
        self.bad
    }
}

/// Uniform above 0 and up to 1.
fn unit(roll: &mut Roll) -> f64 {
    as_f64(u128::from(roll.draw() >> 11) + 1) / as_f64(1 << 53)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "spans and 53 random bits: the loss is far below what is drawn"
)]
fn as_f64(number: u128) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_by_match_have_the_asked_lengths() {
        let burst = Burst::Matches {
            p_bad: 0.01,
            p_good: 0.2,
        };
        let dice = Dice::new(7, "burst-1");
        let mut walk = BurstState::default();
        let bad: Vec<bool> = (0..200_000).map(|n| walk.step(burst, &dice, n)).collect();

        let share = bad.iter().filter(|bad| **bad).count();
        let bursts = bad.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        // 0.01 / (0.01 + 0.2) of the matches are bad, five in a row on average.
        assert!(
            (8_500..10_500).contains(&share),
            "{share} of 200000 are bad"
        );
        assert!((4..=6).contains(&(share / bursts)), "{share} in {bursts}");
    }

    #[test]
    fn bursts_in_time_have_the_asked_share_and_are_the_same_whenever_one_asks() {
        let burst = Burst::Time {
            mean_burst: Duration::from_secs(5),
            mean_gap: Duration::from_secs(15),
        };
        let dice = Dice::new(7, "burst-1");
        let at = |n: u64| burst.is_on(Duration::from_millis(n * 500), &dice);

        let forward: Vec<bool> = (0..100_000).map(at).collect();
        let mut backward: Vec<bool> = (0..100_000).rev().map(at).collect();
        backward.reverse();

        assert_eq!(forward, backward);
        let share = forward.iter().filter(|bad| **bad).count();
        assert!((22_000..28_000).contains(&share), "{share} of 100000");
        let changes = forward.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // 50,000 s in cycles of 20 s: 2,500 bursts, two changes each.
        assert!((4_000..6_000).contains(&changes), "{changes} changes");
    }

    #[test]
    fn half_a_form_is_refused() {
        for value in [
            json!({}),
            json!({ "p_bad": 0.1 }),
            json!({ "p_bad": 0.1, "mean_gap": "1s" }),
            json!({ "p_bad": 0, "p_good": 1 }),
            json!({ "mean_burst": "1ms", "mean_gap": "1s" }),
        ] {
            assert!(Burst::read(&value).is_err(), "{value}");
        }
    }
}
