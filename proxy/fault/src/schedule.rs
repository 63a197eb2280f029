//! How a fault's strength changes over time: ramps, waves, pulses, random rounds and bursts.
//!
//! All of it is a function of the time since the fault's start (and, for bursts by match, of the number of the match), so
//! a schedule is the same on a stepped clock, and nothing is kept between requests.

mod burst;
mod intensity;
mod lifetime;
mod nemesis;
mod pulse;
mod ramp;
mod wave;

pub use self::{
    burst::Burst,
    lifetime::{Moment, State},
    nemesis::{Nemesis, Targets},
    pulse::Pulse,
    ramp::{Ramp, RampOf, RampShape},
    wave::Wave,
};
pub(crate) use self::{
    burst::BurstState, intensity::Intensity, lifetime::Lifetime, nemesis::GroupIndex,
};

use std::time::Duration;

use serde_json::Value;

use crate::roll::Dice;

/// Changes of a fault's strength over time. The fault acts only while all of them let it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// Grows to full strength after the start, and fades before the end.
    pub ramp: Option<Ramp>,
    /// On for a part of each period.
    pub wave: Option<Wave>,
    /// On in these windows only; empty means always. At most 100.
    pub pulses: Vec<Pulse>,
    /// On for a while in each round, at a random time.
    pub nemesis: Option<Nemesis>,
    /// On in random bursts.
    pub burst: Option<Burst>,
}

impl Schedule {
    /// Whether it changes nothing: the fault acts with full strength all the time.
    pub(crate) fn is_steady(&self) -> bool {
        *self == Self::default()
    }

    /// The strength at the time `at` since the start; `left` is the time until the end, if there is one. `None` while
    /// the fault is off.
    pub(crate) fn intensity(
        &self,
        at: Duration,
        left: Option<Duration>,
        dice: &Dice,
        group: GroupIndex,
    ) -> Option<Intensity> {
        let on = self.wave.is_none_or(|wave| wave.is_on(at))
            && (self.pulses.is_empty() || self.pulses.iter().any(|pulse| pulse.is_on(at)))
            && self
                .nemesis
                .is_none_or(|nemesis| nemesis.is_on(at, dice, group))
            && self.burst.is_none_or(|burst| burst.is_on(at, dice));
        if !on {
            return None;
        }
        let ramped = self.ramp.map(|ramp| ramp.intensity(at, left));
        Some(ramped.unwrap_or(Intensity::FULL))
    }

    /// The members it has in a written fault.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let pulses: Vec<Value> = self.pulses.iter().map(|pulse| pulse.to_value()).collect();
        let members = [
            ("ramp", self.ramp.map(Ramp::to_value)),
            ("wave", self.wave.map(Wave::to_value)),
            (
                "pulses",
                (!pulses.is_empty()).then_some(Value::Array(pulses)),
            ),
            ("nemesis", self.nemesis.map(Nemesis::to_value)),
            ("burst", self.burst.map(Burst::to_value)),
        ];
        members
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
    }
}
