//! `wave`: a fault is on for a part of each period.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    read::{Object, Problem},
    units::{DURATION_MAX, duration, duration_up_to, show_duration},
};

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

    pub(crate) fn to_value(self) -> Value {
        json!({
            "period": show_duration(self.period),
            "duty": self.duty,
            "phase": show_duration(self.phase),
        })
    }

    pub(crate) fn is_on(self, at: Duration) -> bool {
        let into = (at + self.phase).as_nanos() % self.period.as_nanos();
        into < self.period.mul_f64(self.duty).as_nanos()
    }
}
