//! Chance that repeats: every draw is a function of (seed, name, call, attempt), whatever runs beside it.

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

/// A seed of its own for each name, so that clients with one seed do not wait in step.
pub(crate) fn seed_for(seed: u64, name: &str) -> u64 {
    name.bytes()
        .fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)))
}

/// The generator for the draw number `attempt` of the call number `call`.
pub(crate) fn draw(seed: u64, call: u64, attempt: u32) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(mix(mix(seed ^ call) ^ u64::from(attempt)))
}

/// One step of `SplitMix64` (Steele, Lea, Flood 2014).
fn mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn the_same_call_draws_the_same_number() {
        let seed = seed_for(7, "recommendations");

        assert_eq!(
            draw(seed, 3, 1).random::<u64>(),
            draw(seed, 3, 1).random::<u64>()
        );
    }

    #[test]
    fn name_call_and_attempt_each_change_the_draw() {
        let here = draw(seed_for(7, "recommendations"), 3, 1).random::<u64>();

        for other in [
            draw(seed_for(8, "recommendations"), 3, 1),
            draw(seed_for(7, "popular_items"), 3, 1),
            draw(seed_for(7, "recommendations"), 4, 1),
            draw(seed_for(7, "recommendations"), 3, 2),
        ] {
            assert_ne!(here, other.clone().random::<u64>());
        }
    }
}
