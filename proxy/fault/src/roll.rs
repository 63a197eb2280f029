//! Chance that repeats: every draw is a function of (seed, fault id, count).

use std::hash::Hasher;

use rand_core::{Infallible, TryRng};
use siphasher::sip::SipHasher13;

/// A fault's own sequence of rolls, one for each match.
///
/// No generator is shared, so the roll for the n-th match is the same whatever runs beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice {
    seed: u64,
    fault: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64, fault_id: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(seed, 0);
        hasher.write(fault_id.as_bytes());
        Self {
            seed,
            fault: hasher.finish(),
        }
    }

    /// The roll for the match number `count`, counted from 0.
    pub(crate) fn roll(&self, count: u64) -> Roll {
        self.hash(&[&count.to_le_bytes()])
    }

    /// The roll for everything that has this key: always the same.
    pub(crate) fn keyed_roll(&self, key: &[u8]) -> Roll {
        self.hash(&[b"key", key])
    }

    /// A roll beside those of the matches, for `what`.
    pub(crate) fn side_roll(&self, what: &[u8], count: u64) -> Roll {
        self.hash(&[what, &count.to_le_bytes()])
    }

    fn hash(&self, parts: &[&[u8]]) -> Roll {
        let mut hasher = SipHasher13::new_with_keys(self.seed, self.fault);
        for part in parts {
            hasher.write(part);
        }
        Roll {
            state: hasher.finish(),
        }
    }
}

/// The chance of one decision: a short sequence of uniform numbers.
///
/// `SplitMix64` (Steele, Lea, Flood 2014), started from SipHash-1-3 over (seed, fault id, count). It implements
/// [`TryRng`], so distributions of the `rand` family draw from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    state: u64,
}

impl Roll {
    /// A number uniform over all of `u64`.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number uniform over 0 to `max`, both included.
    pub fn up_to(&mut self, max: u64) -> u64 {
        let wide = u128::from(self.draw()) * (u128::from(max) + 1);
        u64::try_from(wide >> 64).unwrap_or(max)
    }
}

impl TryRng for Roll {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.draw() >> 32).expect("32 bits are left"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw())
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_fault_and_count_give_the_same_roll() {
        let dice = Dice::new(42, "latency-1");

        assert_eq!(
            dice.roll(7).draw(),
            Dice::new(42, "latency-1").roll(7).draw()
        );
        assert_ne!(dice.roll(7).draw(), dice.roll(8).draw());
        assert_ne!(
            dice.roll(7).draw(),
            Dice::new(42, "latency-2").roll(7).draw()
        );
        assert_ne!(
            dice.roll(7).draw(),
            Dice::new(43, "latency-1").roll(7).draw()
        );
    }

    #[test]
    fn rolls_stay_what_they_were_when_this_was_written() {
        let mut roll = Dice::new(42, "abort-1").roll(0);

        assert_eq!(
            [roll.draw(), roll.draw()],
            [15_654_413_827_836_324_761, 15_349_448_505_026_080_307],
            "a change here makes every recorded seed a lie"
        );
    }

    #[test]
    fn a_bounded_roll_reaches_both_ends() {
        let dice = Dice::new(1, "x");
        let drawn: Vec<u64> = (0..1000).map(|count| dice.roll(count).up_to(3)).collect();

        for wanted in 0..=3 {
            let hits = drawn.iter().filter(|n| **n == wanted).count();
            assert!(
                (200..300).contains(&hits),
                "{wanted} came {hits} times of 1000"
            );
        }
    }
}
