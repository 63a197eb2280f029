//! Numbers, margins and thresholds as text.

use std::time::Duration;

use super::Measured;
use crate::{
    expectation::{Condition, Op, Threshold},
    experiment::Expected,
    run::recording::exact,
};

/// Whether a threshold is the end of its scale, so that one hit decides.
pub(crate) fn is_certain(op: Op, threshold: f64) -> bool {
    match op {
        Op::AtMost | Op::Equal if threshold <= 0.0 => true,
        Op::AtLeast | Op::Equal if threshold >= 1.0 => true,
        _ => false,
    }
}

/// How much room was left, as a share of the threshold.
pub(crate) fn margin(op: Op, observed: f64, threshold: f64) -> Option<f64> {
    if threshold == 0.0 || !observed.is_finite() {
        return None;
    }
    match op {
        Op::Less | Op::AtMost => Some(exact((threshold - observed) / threshold)),
        Op::Greater | Op::AtLeast => Some(exact((observed - threshold) / threshold)),
        Op::Equal => None,
    }
}

pub(crate) fn threshold_text(expected: &Expected, resolved: Option<f64>) -> String {
    let expectation = &expected.expectation;
    let unit = expectation.unit();
    let limit = expectation
        .within
        .map_or_else(String::new, |it| format!(" within {}", shown(it)));
    match &expectation.condition {
        Condition::Compare { op, threshold } => {
            let number = match (threshold, resolved) {
                (Threshold::Value(value), _) => unit.show(*value),
                (Threshold::Baseline(factor), Some(value)) => {
                    format!("{} ({factor}x baseline)", unit.show(value))
                }
                (Threshold::Baseline(factor), None) => format!("{factor}x baseline"),
                (Threshold::Times(factor, other), Some(value)) => {
                    format!("{} ({factor}x {other})", unit.show(value))
                }
                (Threshold::Times(factor, other), None) => format!("{factor}x {other}"),
            };
            format!("{} {number}{limit}", op.as_str())
        }
        Condition::Happens => limit.trim_start().to_owned(),
        Condition::FullJitter { base, cap } => {
            format!(
                "full jitter up to {}, at most {}",
                shown(*base),
                shown(*cap)
            )
        }
    }
}

pub(crate) fn shown(span: Duration) -> String {
    brownout_fault::units::show_duration(span)
}

pub(crate) fn plain(value: f64, samples: u64) -> Measured {
    Measured {
        value,
        samples,
        hits: None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, made whole"
)]
pub(crate) fn counted(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
