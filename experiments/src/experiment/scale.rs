//! An experiment in another time: shorter, or all of it slower or faster.

use std::time::Duration;

use brownout_fault::units::{parse_duration, show_duration};
use serde_json::Value;

use super::{Expected, Experiment, PlannedFault};
use crate::expectation::{Condition, Threshold, Unit};

impl Experiment {
    /// Its phases last so long in all, in the proportion of the file. Where the file is one script
    /// ([`scales`](super::Demo::scales)), every other time in it is scaled along.
    pub fn set_length(&mut self, length: Duration) {
        let now: Duration = self.phases.iter().filter_map(|it| it.duration).sum();
        if now.is_zero() {
            return;
        }
        let factor = length.as_secs_f64() / now.as_secs_f64();
        if self.demo.as_ref().is_some_and(|it| it.scales) {
            self.scale(factor);
            return;
        }
        for phase in &mut self.phases {
            phase.duration = phase.duration.map(|it| times(it, factor));
            if let Some(tail) = &mut phase.tail {
                tail.limit = phase
                    .duration
                    .unwrap_or_default()
                    .mul_f64(2.5)
                    .max(Duration::from_secs(20));
            }
        }
        self.make_room();
    }

    /// Every time in it, so many times as long: phases, faults, time-outs and waits of policies, and what is expected of
    /// times. What the services themselves take stays as it is.
    pub fn scale(&mut self, factor: f64) {
        for phase in &mut self.phases {
            phase.duration = phase.duration.map(|it| times(it, factor));
            phase.leave_after = phase.leave_after.map(|it| times(it, factor));
            if let Some(tail) = &mut phase.tail {
                tail.limit = times(tail.limit, factor);
            }
            phase.faults.iter_mut().for_each(|it| it.scale(factor));
            let expected = phase.expect.iter_mut().chain(&mut phase.after);
            expected.for_each(|it| it.scale(factor));
        }
        if let Some(demo) = &mut self.demo {
            demo.time_scale *= factor;
        }
        self.make_room();
    }

    /// The wall clock leaves room for what the run takes now.
    pub fn make_room(&mut self) {
        let needed = self.expected_length() + Duration::from_secs(60);
        self.timeout = self.timeout.max(needed);
    }
}

impl PlannedFault {
    fn scale(&mut self, factor: f64) {
        let Some(members) = self.body.as_object_mut() else {
            return;
        };
        for (key, value) in members {
            if !["id", "route", "match", "note", "group"].contains(&key.as_str()) {
                scale_texts(value, factor);
            }
        }
    }
}

/// Scales every duration among the texts of a value.
fn scale_texts(value: &mut Value, factor: f64) {
    match value {
        Value::String(text) => {
            if let Ok(duration) = parse_duration(text) {
                *text = show_duration(times(duration, factor));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| scale_texts(it, factor)),
        Value::Object(members) => members.values_mut().for_each(|it| scale_texts(it, factor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Expected {
    fn scale(&mut self, factor: f64) {
        let unit = self.expectation.unit();
        let it = &mut self.expectation;
        it.within = it.within.map(|span| times(span, factor));
        if let Condition::Compare {
            op,
            threshold: Threshold::Value(value),
        } = &mut it.condition
            && unit == Unit::Time
        {
            *value *= factor;
            let subject = it.text.split(['<', '>', '=']).next().unwrap_or_default();
            it.text = format!("{} {} {}", subject.trim(), op.as_str(), unit.show(*value));
        }
    }
}

/// To whole ms: what is shorter than that no timer keeps.
fn times(span: Duration, factor: f64) -> Duration {
    let millis = (span.as_secs_f64() * factor * 1_000.0).round();
    Duration::from_secs_f64(millis.max(1.0) / 1_000.0)
}
