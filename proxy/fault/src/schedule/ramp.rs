//! `ramp`: a fault grows to full strength after its start, and fades before its end.

use std::time::Duration;

use serde_json::{Value, json};

use super::intensity::Intensity;
use crate::{
    read::{Object, Problem, text, unknown, whole},
    units::{duration, show_duration},
    written::written,
};

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

    pub(crate) fn to_value(self) -> Value {
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

    pub(crate) fn intensity(self, at: Duration, left: Option<Duration>) -> Intensity {
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
            RampOf::Percent => Intensity {
                percent: scale,
                ..Intensity::FULL
            },
            RampOf::Value => Intensity {
                value: scale,
                ..Intensity::FULL
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
