//! How strong a fault is over time: ramps, waves, pulses, and a nemesis that turns it on and off by chance.
//!
//! Everything here is a function of the time since the fault's start, so a schedule of half an hour is the
//! same on a stepped clock, and nothing has to be kept between requests.

use std::time::Duration;

use serde_json::{Value, json};

use super::burst::Burst;
use crate::{
    faults::written,
    read::{Object, Problem, one_or_many, text, unknown, whole},
    roll::Dice,
    units::{DURATION_MAX, duration, duration_up_to, show_duration},
};

/// Changes of a fault's strength over time. All of them must let it through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Course {
    /// Grows to full strength and fades before the end.
    pub ramp: Option<Ramp>,
    /// On and off in even steps.
    pub wave: Option<Wave>,
    /// On in these windows alone; empty for always.
    pub pulses: Vec<Pulse>,
    /// On and off by chance.
    pub nemesis: Option<Nemesis>,
    /// Strikes in bursts.
    pub burst: Option<Burst>,
}

/// Strength between nothing and full, and of what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Force {
    /// What the percent is multiplied with.
    pub(crate) percent: f64,
    /// What the magnitude is multiplied with.
    pub(crate) value: f64,
}

impl Force {
    pub(crate) const FULL: Self = Self {
        percent: 1.0,
        value: 1.0,
    };
}

/// A fault's place among the faults of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) index: u64,
    pub(crate) of: u64,
}

impl Seat {
    pub(crate) const ALONE: Self = Self { index: 0, of: 1 };
}

impl Course {
    pub(crate) fn is_steady(&self) -> bool {
        *self == Self::default()
    }

    /// The strength at the time `at` since the start; `left` until the end, if there is one. `None` while off.
    pub(crate) fn force(
        &self,
        at: Duration,
        left: Option<Duration>,
        dice: &Dice,
        seat: Seat,
    ) -> Option<Force> {
        let on = self.wave.is_none_or(|wave| wave.is_on(at))
            && (self.pulses.is_empty() || self.pulses.iter().any(|pulse| pulse.is_on(at)))
            && self
                .nemesis
                .is_none_or(|nemesis| nemesis.is_on(at, dice, seat))
            && self.burst.is_none_or(|burst| burst.is_on(at, dice));
        if !on {
            return None;
        }
        Some(self.ramp.map_or(Force::FULL, |ramp| ramp.force(at, left)))
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

/// Grows to full strength after the start, and fades before the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// How long it grows.
    pub up: Duration,
    /// How long it fades before the ttl is over.
    pub down: Duration,
    /// By which curve.
    pub shape: RampShape,
    /// What it scales.
    pub of: RampOf,
}

/// The curve of a [`Ramp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RampShape {
    /// Evenly.
    Linear,
    /// In so many even steps, at least 2.
    Steps(u32),
    /// Slowly first, then faster: a thousandfold from end to end.
    Exponential,
}

/// What a [`Ramp`] scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RampOf {
    /// How many requests are hit.
    Percent,
    /// How hard they are hit.
    Value,
}

impl Ramp {
    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["up", "down", "shape", "steps", "of"])?;
        let up = object.optional("up", duration)?.unwrap_or_default();
        let down = object.optional("down", duration)?.unwrap_or_default();
        if up.is_zero() && down.is_zero() {
            return Err(Problem::here("needs `up` or `down`, longer than 0s"));
        }
        let steps = object.optional("steps", whole(2, 1_000))?;
        let shape = object.optional("shape", |value| match text(value)? {
            word @ ("linear" | "steps" | "exponential") => Ok(word.to_owned()),
            other => {
                let known = ["linear", "steps", "exponential"];
                Err(Problem::here(unknown("shape", other, &known)))
            }
        })?;
        let shape = match (shape.as_deref(), steps) {
            (None | Some("steps"), Some(steps)) => {
                RampShape::Steps(u32::try_from(steps).unwrap_or(u32::MAX))
            }
            (Some("steps"), None) => return Err(Problem::at("steps", "is required with it")),
            (Some(_), Some(_)) => return Err(Problem::at("steps", "goes with shape \"steps\"")),
            (Some("exponential"), None) => RampShape::Exponential,
            (None | Some(_), None) => RampShape::Linear,
        };
        let of = object.optional("of", |value| match text(value)? {
            "percent" => Ok(RampOf::Percent),
            "value" => Ok(RampOf::Value),
            other => Err(Problem::here(unknown(
                "scale",
                other,
                &["percent", "value"],
            ))),
        })?;
        Ok(Self {
            up,
            down,
            shape,
            of: of.unwrap_or(RampOf::Percent),
        })
    }

    fn to_value(self) -> Value {
        let (shape, steps) = match self.shape {
            RampShape::Linear => ("linear", None),
            RampShape::Steps(steps) => ("steps", Some(json!(steps))),
            RampShape::Exponential => ("exponential", None),
        };
        let of = match self.of {
            RampOf::Percent => "percent",
            RampOf::Value => "value",
        };
        written([
            ("up", Some(json!(show_duration(self.up)))),
            ("down", Some(json!(show_duration(self.down)))),
            ("shape", Some(json!(shape))),
            ("steps", steps),
            ("of", Some(json!(of))),
        ])
    }

    fn force(self, at: Duration, left: Option<Duration>) -> Force {
        let share = |part: Duration, of: Duration| {
            if part >= of {
                1.0
            } else {
                part.as_secs_f64() / of.as_secs_f64()
            }
        };
        let grown = share(at, self.up);
        let fading = left.map_or(1.0, |left| share(left, self.down));
        let scale = self.curve(grown.min(fading));
        match self.of {
            RampOf::Percent => Force {
                percent: scale,
                ..Force::FULL
            },
            RampOf::Value => Force {
                value: scale,
                ..Force::FULL
            },
        }
    }

    fn curve(self, share: f64) -> f64 {
        match self.shape {
            RampShape::Linear => share,
            RampShape::Steps(steps) => (share * f64::from(steps)).floor() / f64::from(steps),
            RampShape::Exponential => (1_000_f64.powf(share) - 1.0) / 999.0,
        }
    }
}

/// On for a part of each period: flapping.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wave {
    /// How long one on and off takes.
    pub period: Duration,
    /// The part of it that is on, between 0 and 1.
    pub duty: f64,
    /// How far into a period it starts.
    pub phase: Duration,
}

impl Wave {
    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["period", "duty", "phase"])?;
        let period = object
            .optional("period", duration_up_to(DURATION_MAX))?
            .unwrap_or(Duration::from_secs(20));
        let duty = object.optional("duty", |value| match value.as_f64() {
            Some(duty) if duty > 0.0 && duty < 1.0 => Ok(duty),
            _ => Err(Problem::here("must be a number between 0 and 1")),
        })?;
        let phase = object.optional("phase", duration)?.unwrap_or_default();
        if phase >= period {
            let detail = format!("is not below the period ({})", show_duration(period));
            return Err(Problem::at("phase", detail));
        }
        Ok(Self {
            period,
            duty: duty.unwrap_or(0.5),
            phase,
        })
    }

    fn to_value(self) -> Value {
        json!({
            "period": show_duration(self.period),
            "duty": self.duty,
            "phase": show_duration(self.phase),
        })
    }

    fn is_on(self, at: Duration) -> bool {
        let into = (at + self.phase).as_nanos() % self.period.as_nanos();
        into < self.period.mul_f64(self.duty).as_nanos()
    }
}

/// A window in which the fault is on, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// When it begins.
    pub start: Duration,
    /// How long it lasts.
    pub span: Duration,
}

impl Pulse {
    /// The most windows of one fault.
    const COUNT_MAX: usize = 100;

    pub(crate) fn read_all(value: &Value) -> Result<Vec<Self>, Problem> {
        let pulses = one_or_many(Self::read)(value)?;
        if pulses.len() > Self::COUNT_MAX {
            return Err(Problem::here("has more than 100 windows"));
        }
        Ok(pulses)
    }

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["start", "for"])?;
        Ok(Self {
            start: object.required("start", duration)?,
            span: object.required("for", duration_up_to(DURATION_MAX))?,
        })
    }

    fn to_value(self) -> Value {
        json!({ "start": show_duration(self.start), "for": show_duration(self.span) })
    }

    fn is_on(self, at: Duration) -> bool {
        at.checked_sub(self.start)
            .is_some_and(|into| into < self.span)
    }
}

/// Turns a fault on for a while in each round, at a time drawn by chance (Jepsen's name for it). In a group it
/// chooses in each round whom it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nemesis {
    /// How long a round is.
    pub every: Duration,
    /// How much later than the round's beginning it may strike.
    pub jitter: Duration,
    /// How long it strikes.
    pub span: Duration,
    /// Whom in a group.
    pub targets: Targets,
}

/// How many of a group a [`Nemesis`] strikes in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// One of them.
    One,
    /// Less than half of them, but at least one.
    Minority,
    /// All of them.
    All,
}

impl Nemesis {
    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["every", "jitter", "for", "targets"])?;
        let every = object
            .optional("every", duration_up_to(DURATION_MAX))?
            .unwrap_or(Duration::from_secs(10));
        let jitter = object.optional("jitter", duration)?.unwrap_or_default();
        let span = object
            .optional("for", duration_up_to(DURATION_MAX))?
            .unwrap_or(every / 2);
        if jitter.saturating_add(span) > every {
            return Err(Problem::here(format!(
                "`jitter` and `for` together are longer than a round ({})",
                show_duration(every)
            )));
        }
        let targets = object.optional("targets", |value| match text(value)? {
            "one" => Ok(Targets::One),
            "minority" => Ok(Targets::Minority),
            "all" => Ok(Targets::All),
            other => {
                let known = ["one", "minority", "all"];
                Err(Problem::here(unknown("choice", other, &known)))
            }
        })?;
        Ok(Self {
            every,
            jitter,
            span,
            targets: targets.unwrap_or(Targets::All),
        })
    }

    fn to_value(self) -> Value {
        let targets = match self.targets {
            Targets::One => "one",
            Targets::Minority => "minority",
            Targets::All => "all",
        };
        json!({
            "every": show_duration(self.every),
            "jitter": show_duration(self.jitter),
            "for": show_duration(self.span),
            "targets": targets,
        })
    }

    fn is_on(self, at: Duration, dice: &Dice, seat: Seat) -> bool {
        let round = u64::try_from(at.as_nanos() / self.every.as_nanos()).unwrap_or(u64::MAX);
        let into = at.as_nanos() % self.every.as_nanos();
        let mut roll = dice.side_roll(b"nemesis", round);
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let strikes = u128::from(roll.up_to(jitter));
        if into < strikes || into >= strikes + self.span.as_nanos() {
            return false;
        }
        let struck = match self.targets {
            Targets::All => return true,
            Targets::One => 1,
            Targets::Minority => (seat.of.saturating_sub(1) / 2).max(1),
        };
        // The lowest lots are struck: every member draws the lots of all and so knows its rank.
        let lots = |mut roll: crate::roll::Roll| (0..seat.of).map(move |_| roll.draw());
        let mine = lots(roll.clone()).nth(usize::try_from(seat.index).unwrap_or(0));
        let before = lots(roll).filter(|lot| Some(*lot) < mine).count();
        (before as u64) < struck
    }
}
