//! What a run is held to: one typed condition on one measure.
//!
//! An expectation is one line of text, such as `edge.p99 < 1.5x baseline within 10s`. Its grammar:
//!
//! ```text
//! expectation = subject comparison [ "within" duration | "for" duration ]
//! subject     = hop "." measure | "fault(" id ")." counter
//! comparison  = ( "<" | "<=" | ">" | ">=" | "==" ) ( value | factor "x" other )
//! other       = "baseline" | hop "." measure | phase | run [ "/" phase ]
//! ```
//!
//! `answered` and `breaker_opens` are events: they have no comparison and need `within`. `backoff is full_jitter(base
//! 100ms, cap 2s)` names a form. A value carries its unit: `%` for shares, a duration for times, `/s` for rates.

mod measure;
mod parse;
mod value;

use std::{fmt, time::Duration};

pub(crate) use self::value::show_span;
pub use self::{
    measure::{CallerCounter, EvidenceMeasure, FaultCounter, Measure, Quantile, Source},
    parse::{Names, WrongExpectation},
    value::Unit,
};

/// A condition on what a run measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The expectation as it was written.
    pub text: String,
    /// The load, route or fault, and the measure of it.
    pub subject: Subject,
    /// What it is held to.
    pub condition: Condition,
    /// The condition must hold from at most this long after the phase began until its end.
    pub within: Option<Duration>,
    /// For a guard: the measure is taken over the last so long.
    pub sustained: Option<Duration>,
}

/// The subject of an expectation: a measure of a hop, or a counter of a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// A measure of the load or of a route.
    Hop {
        /// The route's name, or what the load is called.
        name: String,
        /// The measure.
        measure: Measure,
    },
    /// A counter of a fault.
    Fault {
        /// Its id in the file.
        id: String,
        /// The counter.
        counter: FaultCounter,
    },
}

/// What a measure is held to.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A number on one side of another.
    Compare {
        /// The comparison.
        op: Op,
        /// The value that it is compared with.
        threshold: Threshold,
    },
    /// An event that must happen in time: the expectation's `within`.
    Happens,
    /// Waits between attempts of this form.
    FullJitter {
        /// The upper bound of the first wait.
        base: Duration,
        /// The upper bound of every wait.
        cap: Duration,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`, for counts.
    Equal,
}

/// The other side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Threshold {
    /// A number in the measure's base unit: a share from 0 to 1, seconds, requests a second, or a count.
    Value(f64),
    /// So many times what the steady state measured.
    Baseline(f64),
    /// So many times something else that was measured.
    Times(f64, Other),
}

/// What else a measure is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Other {
    /// A measure of a hop over the same time.
    Hop {
        /// As written.
        text: String,
        /// The hop.
        name: String,
        /// The measure.
        measure: Measure,
    },
    /// The same measure in an earlier phase of the same run.
    Phase(String),
    /// The same measure in another run: its name, and its phase where that is another than this one.
    Run(String, Option<String>),
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hop { text, .. } => f.write_str(text),
            Self::Phase(name) | Self::Run(name, None) => f.write_str(name),
            Self::Run(name, Some(phase)) => write!(f, "{name}/{phase}"),
        }
    }
}

impl Op {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Equal => "==",
        }
    }

    /// Whether `observed` is on the right side of `threshold`.
    #[must_use]
    pub fn holds(self, observed: f64, threshold: f64) -> bool {
        match self {
            Self::Less => observed < threshold,
            Self::AtMost => observed <= threshold,
            Self::Greater => observed > threshold,
            Self::AtLeast => observed >= threshold,
            Self::Equal => (observed - threshold).abs() < f64::EPSILON,
        }
    }
}

impl Expectation {
    /// The unit of what is measured.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match &self.subject {
            Subject::Hop { measure, .. } => measure.unit(),
            Subject::Fault { .. } => Unit::Count,
        }
    }

    /// Whether it compares with the steady state.
    #[must_use]
    pub fn needs_baseline(&self) -> bool {
        let relative = matches!(
            self.condition,
            Condition::Compare {
                threshold: Threshold::Baseline(_),
                ..
            }
        );
        let opens = matches!(
            &self.subject,
            Subject::Hop {
                measure: Measure::BreakerOpens,
                ..
            }
        );
        relative || opens
    }

    /// The other run that it compares with: its name, and the phase there.
    #[must_use]
    pub fn other_run(&self) -> Option<(&str, Option<&str>)> {
        match &self.condition {
            Condition::Compare {
                threshold: Threshold::Times(_, Other::Run(name, phase)),
                ..
            } => Some((name, phase.as_deref())),
            Condition::Compare { .. } | Condition::Happens | Condition::FullJitter { .. } => None,
        }
    }

    /// Whether it is about single attempts, which the proxy's journal tells.
    #[must_use]
    pub fn needs_evidence(&self) -> bool {
        match &self.subject {
            Subject::Hop { measure, .. } => matches!(measure, Measure::Evidence(_)),
            Subject::Fault { .. } => false,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
