//! `pulses`: a fault is on in the windows given.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    read::{Object, Problem, one_or_many},
    units::{DURATION_MAX, duration, duration_up_to, show_duration},
};

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

    pub(crate) fn to_value(self) -> Value {
        json!({ "start": show_duration(self.start), "for": show_duration(self.span) })
    }

    pub(crate) fn is_on(self, at: Duration) -> bool {
        at.checked_sub(self.start)
            .is_some_and(|into| into < self.span)
    }
}
