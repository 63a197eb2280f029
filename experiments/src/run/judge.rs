//! Expectations against what was measured.

mod events;
mod evidence;
mod measure;
mod numbers;

use std::{collections::BTreeMap, time::Duration};

use self::numbers::{counted, is_certain, margin, micros, plain, shown, threshold_text};
pub(crate) use self::numbers::{margin as margin_of, threshold_text as text_of_threshold};

use super::{
    PhaseRecord,
    account::CallLog,
    control::FaultState,
    event::{Judgement, JudgementKind, JudgementVerdict as Told},
    interval::{needed, wilson},
    journal::{JournalError, JournalPage},
    recording::{Recording, SECOND, Span},
};
use crate::{
    expectation::{Condition, FaultCounter, Measure, Op, Other, Subject, Threshold, Unit},
    experiment::{Asked, Expected, Predicate},
};

/// Windows of rates move by this.
const STEP: u64 = SECOND / 10;
/// A breaker is taken to be open where the rate is below this share of the baseline.
const OPEN_SHARE: f64 = 0.05;

/// All that an expectation may be judged by.
pub(crate) struct View<'v> {
    pub(crate) recording: &'v Recording,
    /// Whose pages are known, and what they are called.
    pub(crate) asked: Vec<(Asked, &'v str)>,
    /// What answers are looked at for; their order is that of the bits of a page.
    pub(crate) predicates: &'v [Predicate],
    /// The time that is judged.
    pub(crate) span: Span,
    /// Pages are those that ended in that time, also if they were to be sent before: for guards.
    pub(crate) by_end: bool,
    /// The steady state.
    pub(crate) baseline: Option<Span>,
    /// What the phase's faults did.
    pub(crate) faults: &'v BTreeMap<String, FaultState>,
    /// All calls so far, where what is judged is over and they were read since.
    pub(crate) calls: Option<&'v CallLog>,
    /// Single attempts of that time, on the run's clock.
    pub(crate) journal: Result<&'v JournalPage, &'v JournalError>,
    /// The phases that are over, the one that is judged last; a guard's is not among them.
    pub(crate) phases: &'v [PhaseRecord],
    pub(crate) min_samples: u64,
    pub(crate) confidence: f64,
}

/// A measured number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    /// How many requests it was made from.
    pub(crate) samples: u64,
    /// Of a share: how many of the samples.
    pub(crate) hits: Option<u64>,
}

/// What was found for one expectation.
struct Found {
    verdict: Told,
    observed: String,
    expected: String,
    baseline: Option<String>,
    margin: Option<f64>,
    samples: u64,
    interval: Option<String>,
    proven: Option<bool>,
    why: Option<String>,
}

impl View<'_> {
    /// Judges one expectation of the phase.
    pub(crate) fn judge(&self, phase: &str, expected: &Expected) -> Judgement {
        let found = self.find(expected).unwrap_or_else(|why| Found {
            verdict: Told::Inconclusive,
            observed: "unknown".to_owned(),
            expected: threshold_text(expected, None),
            baseline: None,
            margin: None,
            samples: 0,
            interval: None,
            proven: None,
            why: Some(why),
        });
        Judgement {
            phase: phase.to_owned(),
            kind: JudgementKind::Expectation,
            text: expected.expectation.text.clone(),
            line: expected.line,
            column: expected.column,
            verdict: found.verdict,
            observed: found.observed,
            expected: found.expected,
            baseline: found.baseline,
            margin: found.margin,
            samples: found.samples,
            interval: found.interval,
            proven: found.proven,
            why: found.why,
            at_ms: self.span.to / 1_000,
            repetition: None,
        }
    }

    /// Whether a guard's condition is met now; what was measured then.
    pub(crate) fn trips(&self, guard: &Expected) -> Option<String> {
        let Subject::Hop { name, measure } = &guard.expectation.subject else {
            return None;
        };
        let measured = self.measure(name, measure, self.span).ok()?;
        if measured.samples < self.min_samples {
            return None;
        }
        let (op, threshold, _) = self.resolve(guard).ok()?;
        let trips = op.holds(measured.value, threshold);
        trips.then(|| guard.expectation.unit().show(measured.value))
    }

    fn find(&self, expected: &Expected) -> Result<Found, String> {
        let expectation = &expected.expectation;
        match (&expectation.subject, &expectation.condition) {
            (Subject::Fault { id, counter }, _) => self.fault(expected, id, *counter),
            (
                Subject::Hop {
                    name,
                    measure: Measure::Answered,
                },
                _,
            ) => self.answered_within(name, expectation.within.unwrap_or_default()),
            (
                Subject::Hop {
                    name,
                    measure: Measure::BreakerOpens,
                },
                _,
            ) => self.breaker_opens(name, expectation.within.unwrap_or_default()),
            (Subject::Hop { name, .. }, Condition::FullJitter { base, cap }) => {
                self.full_jitter(name, *base, *cap)
            }
            (Subject::Hop { name, measure }, _) => match expectation.within {
                Some(within) => self.holds_within(expected, name, measure, within),
                None => {
                    let measured = self.measure(name, measure, self.span)?;
                    self.compare(expected, measure, measured)
                }
            },
        }
    }

    fn compare(
        &self,
        expected: &Expected,
        measure: &Measure,
        measured: Measured,
    ) -> Result<Found, String> {
        let (op, threshold, baseline) = self.resolve(expected)?;
        let unit = expected.expectation.unit();
        let holds = op.holds(measured.value, threshold);
        let interval = measured
            .hits
            .and_then(|hits| wilson(hits, measured.samples, self.confidence));
        let mut why = None;
        let mut verdict = if holds { Told::Passed } else { Told::Failed };
        if let Some(lacks) = self.lacks_samples(measure, measured) {
            verdict = Told::Inconclusive;
            why = Some(lacks);
        } else if let (false, Some((low, high))) = (holds, interval)
            && low <= threshold
            && threshold <= high
            && !is_certain(op, threshold)
        {
            verdict = Told::Inconclusive;
            let limit = unit.show(threshold);
            let samples = measured.samples;
            why = Some(match self.needed(measured, threshold) {
                Some(needed) => format!(
                    "{samples} requests are too few to tell it from {limit}; about {needed} with the same share would"
                ),
                None => format!("{samples} requests are too few to tell it from {limit}"),
            });
        }
        let proven = interval
            .filter(|_| verdict == Told::Passed)
            .map(|(low, high)| is_certain(op, threshold) || threshold < low || high < threshold);
        if let (Some(false), Some(needed)) = (proven, self.needed(measured, threshold)) {
            why = Some(format!(
                "{} requests are too few to prove it; about {needed} with the same share would",
                measured.samples
            ));
        }
        Ok(Found {
            verdict,
            observed: unit.show(measured.value),
            expected: threshold_text(expected, Some(threshold)),
            baseline: baseline.map(|it| unit.show(it)),
            margin: margin(op, measured.value, threshold),
            samples: measured.samples,
            interval: interval
                .map(|(low, high)| format!("{} to {}", unit.show(low), unit.show(high))),
            proven,
            why,
        })
    }

    /// How many requests would tell a share from a threshold.
    fn needed(&self, measured: Measured, threshold: f64) -> Option<u64> {
        needed(measured.hits?, measured.samples, threshold, self.confidence)
    }

    /// Why there are too few samples for this measure.
    fn lacks_samples(&self, measure: &Measure, measured: Measured) -> Option<String> {
        let samples = measured.samples;
        if matches!(
            measure,
            Measure::Requests
                | Measure::Rate
                | Measure::PeakRate
                | Measure::Served
                | Measure::Unfinished
                | Measure::Tail
                | Measure::Caller(_)
        ) {
            return None;
        }
        if samples == 0 {
            return Some("there was no request to measure".to_owned());
        }
        if let Measure::Latency(quantile) = measure
            && (samples as f64) * (1.0 - quantile.0) < 1.0 - 1e-9
        {
            let needed = (1.0 / (1.0 - quantile.0)).round();
            return Some(format!(
                "of {samples} requests that quantile is the longest; it needs {needed}"
            ));
        }
        (samples < self.min_samples && !matches!(measure, Measure::Evidence(_))).then(|| {
            format!(
                "{samples} requests are fewer than the {} that it needs",
                self.min_samples
            )
        })
    }

    /// The comparison with its threshold as a number, and the baseline that went into it.
    fn resolve(&self, expected: &Expected) -> Result<(Op, f64, Option<f64>), String> {
        let Condition::Compare { op, threshold } = &expected.expectation.condition else {
            return Err("it has no comparison".to_owned());
        };
        let op = *op;
        match threshold {
            Threshold::Value(value) => Ok((op, *value, None)),
            Threshold::Times(factor, other) => {
                let value = self.other(&expected.expectation.subject, other)?;
                Ok((op, factor * value, Some(value)))
            }
            Threshold::Baseline(factor) => {
                let baseline = self.baseline_of(&expected.expectation.subject)?;
                Ok((op, factor * baseline, Some(baseline)))
            }
        }
    }

    /// What else a measure is compared with.
    fn other(&self, subject: &Subject, other: &Other) -> Result<f64, String> {
        let Subject::Hop {
            name: own,
            measure: own_measure,
        } = subject
        else {
            return Err("what a fault did is compared with numbers alone".to_owned());
        };
        match other {
            Other::Hop { name, measure, .. } => {
                self.measure(name, measure, self.span).map(|it| it.value)
            }
            Other::Phase(phase) => {
                let found = self.phases.iter().rev().find(|it| it.is_named(phase));
                let value = found.and_then(|it| it.value(own, own_measure));
                value.ok_or_else(|| format!("the phase `{phase}` has not measured it"))
            }
            Other::Run(run, _) => Err(format!("the run `{run}` is another one")),
        }
    }

    fn baseline_of(&self, subject: &Subject) -> Result<f64, String> {
        let (Subject::Hop { name, measure }, Some(span)) = (subject, self.baseline) else {
            return Err("there is no baseline".to_owned());
        };
        let measured = self.measure(name, measure, span)?;
        if let Some(lacks) = self.lacks_samples(measure, measured) {
            return Err(format!("the baseline is not known: {lacks}"));
        }
        Ok(measured.value)
    }

    /// The condition must hold from a moment no later than `within` until the end of the phase.
    fn holds_within(
        &self,
        expected: &Expected,
        hop: &str,
        measure: &Measure,
        within: Duration,
    ) -> Result<Found, String> {
        let (op, threshold, baseline) = self.resolve(expected)?;
        let unit = expected.expectation.unit();
        let latest = self.span.from + micros(within);
        let starts = (self.span.from..=latest).step_by(usize::try_from(STEP).unwrap_or(1));
        let mut last = None;
        let mut since = None;
        for from in starts {
            let rest = Span { from, ..self.span };
            let measured = self.measure(hop, measure, rest)?;
            last = Some(measured);
            if measured.value.is_finite() && op.holds(measured.value, threshold) {
                since = Some(from - self.span.from);
                break;
            }
        }
        let measured = last.unwrap_or(plain(f64::NAN, 0));
        let lacks = self.lacks_samples(measure, measured);
        let verdict = match (&lacks, since) {
            (Some(_), _) => Told::Inconclusive,
            (None, Some(_)) => Told::Passed,
            (None, None) => Told::Failed,
        };
        let observed = match since {
            Some(0) => format!("{} from the start on", unit.show(measured.value)),
            Some(since) => format!(
                "{} from {} on",
                unit.show(measured.value),
                Unit::Time.show(since as f64 / SECOND as f64)
            ),
            None => format!(
                "{} even from {} on",
                unit.show(measured.value),
                shown(within)
            ),
        };
        Ok(Found {
            verdict,
            observed,
            expected: threshold_text(expected, Some(threshold)),
            baseline: baseline.map(|it| unit.show(it)),
            margin: margin(op, measured.value, threshold),
            samples: measured.samples,
            interval: None,
            proven: None,
            why: lacks,
        })
    }

    fn fault(&self, expected: &Expected, id: &str, counter: FaultCounter) -> Result<Found, String> {
        let counters = self.faults.get(id).and_then(|it| it.counters);
        let counters = counters.ok_or_else(|| format!("what `{id}` did could not be read"))?;
        let value = match counter {
            FaultCounter::Injected => counters.injected,
            FaultCounter::Matched => counters.matched,
            FaultCounter::ClientGaveUp => counters.client_gave_up,
        };
        let (op, threshold, _) = self.resolve(expected)?;
        let verdict = if op.holds(value as f64, threshold) {
            Told::Passed
        } else {
            Told::Failed
        };
        Ok(Found {
            verdict,
            observed: value.to_string(),
            expected: threshold_text(expected, Some(threshold)),
            baseline: None,
            margin: margin(op, value as f64, threshold),
            samples: counters.matched,
            interval: None,
            proven: None,
            why: None,
        })
    }

    /// Windows of one second inside a time, each a step behind the one before; the whole time where it is shorter.
    fn windows(&self, span: Span) -> impl Iterator<Item = Span> + use<> {
        let last = span.to.saturating_sub(SECOND).max(span.from);
        let step = usize::try_from(STEP).unwrap_or(1);
        (span.from..=last).step_by(step).map(move |from| Span {
            from,
            to: (from + SECOND).min(span.to),
        })
    }
}

#[cfg(test)]
mod tests;
