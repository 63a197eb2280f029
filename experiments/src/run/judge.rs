//! Expectations against what was measured.

mod events;
mod evidence;
mod numbers;

use std::{collections::BTreeMap, time::Duration};

use self::numbers::{counted, is_certain, margin, micros, plain, shown, threshold_text};
pub(crate) use self::numbers::{margin as margin_of, threshold_text as text_of_threshold};

use super::{
    CallerRecord, PhaseRecord,
    account::CallLog,
    control::FaultState,
    event::{Judgement, JudgementKind, JudgementVerdict as Told},
    interval::wilson,
    journal::{JournalError, JournalPage},
    recording::{Page, PageLog, Recording, SECOND, Span, answered, ranked, share},
};
use crate::{
    expectation::{
        Condition, EvidenceMeasure, FaultCounter, Measure, Op, Other, Subject, Threshold, Unit,
    },
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
            why = Some(format!(
                "{} requests are too few to tell it from {}",
                measured.samples,
                unit.show(threshold)
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
            proven: interval
                .filter(|_| verdict == Told::Passed)
                .map(|(low, high)| {
                    is_certain(op, threshold) || threshold < low || high < threshold
                }),
            why,
        })
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

    /// The measure over a time.
    fn measure(&self, hop: &str, measure: &Measure, span: Span) -> Result<Measured, String> {
        let pages = self.pages_of(hop);
        match measure {
            Measure::Evidence(EvidenceMeasure::Amplification) if self.caller(hop).is_some() => {
                let caller = self.caller(hop).ok_or_else(String::new)?;
                let value = caller.amplification().ok_or("there was no call")?;
                Ok(plain(value, caller.calls))
            }
            Measure::Evidence(evidence) => self.evidence(hop, *evidence),
            Measure::Tail | Measure::Caller(_) => {
                let phase = self.phases.last().ok_or("no phase is over")?;
                let value = phase.value(hop, measure);
                let value = value.ok_or_else(|| match measure {
                    Measure::Tail => format!("the tail of `{hop}` was not watched"),
                    _ => format!("no service told of calls to `{hop}`"),
                })?;
                Ok(plain(value, counted(value)))
            }
            Measure::CallsPerPage => {
                let counted = self.route(hop, span)?;
                let pages = self.recording.pages_in(span).count();
                if self.asked.is_empty() {
                    return Err("the pages are not known where others make the load".to_owned());
                }
                let value = if pages == 0 {
                    0.0
                } else {
                    counted.requests / pages as f64
                };
                Ok(plain(value, pages as u64))
            }
            Measure::BreakerOpens | Measure::Answered => Err("it is an event".to_owned()),
            Measure::PeakRate if let Some(pages) = pages => {
                let mut starts: Vec<u64> = pages.pages_in(span).map(|it| it.intended).collect();
                starts.sort_unstable();
                let in_second = |begin: &u64| {
                    let first = starts.partition_point(|it| it < begin);
                    starts.partition_point(|it| *it < begin + SECOND) - first
                };
                let peak = starts.iter().map(in_second).max().unwrap_or(0);
                Ok(plain(peak as f64, starts.len() as u64))
            }
            Measure::PeakRate => {
                let rates = self
                    .windows(span)
                    .map(|window| self.route(hop, window).map(|it| it.requests));
                let peak = rates.collect::<Result<Vec<f64>, String>>()?;
                let all = self.route(hop, span)?.requests;
                Ok(plain(peak.into_iter().fold(0.0, f64::max), counted(all)))
            }
            _ => match pages {
                Some(pages) => Ok(self.measure_pages(pages, measure, span)),
                None => self.measure_route(hop, measure, span),
            },
        }
    }

    /// What services counted of their calls to a hop in the phase that is judged.
    fn caller(&self, hop: &str) -> Option<&CallerRecord> {
        self.phases.last()?.callers.iter().find(|it| it.hop == hop)
    }

    /// The pages of the load, or of the watched endpoint, if that is what a hop is.
    fn pages_of(&self, hop: &str) -> Option<&PageLog> {
        let found = self.asked.iter().find(|(_, name)| *name == hop);
        found.map(|(asked, _)| self.recording.of(*asked))
    }

    fn measure_pages(&self, log: &PageLog, measure: &Measure, span: Span) -> Measured {
        let pages: Vec<&Page> = match self.by_end {
            true => log.pages_ended_since(span.from).collect(),
            false => log.pages_in(span).collect(),
        };
        let all = pages.len() as u64;
        let errors = || pages.iter().filter(|it| it.is_error()).count();
        let part = |hits: usize, of: usize| Measured {
            value: share(hits, of),
            samples: of as u64,
            hits: Some(hits as u64),
        };
        match measure {
            Measure::ErrorRate => part(errors(), pages.len()),
            Measure::SuccessRate => part(pages.len() - errors(), pages.len()),
            Measure::FallbackRate(predicate) => {
                let bit = self.predicates.iter().position(|it| it == predicate);
                let fits = |page: &&&Page| bit.is_some_and(|bit| page.fits >> bit & 1 == 1);
                let whole = pages.iter().filter(|it| it.is_answered());
                part(whole.clone().filter(fits).count(), whole.count())
            }
            Measure::Latency(_) | Measure::Mean | Measure::Max => {
                let mut latencies = answered(&pages);
                latencies.sort_unstable();
                let seconds = |micros: u64| micros as f64 / SECOND as f64;
                let value = match measure {
                    Measure::Latency(quantile) => ranked(&latencies, quantile.0).map(seconds),
                    Measure::Max => latencies.last().copied().map(seconds),
                    _ => {
                        let sum: u64 = latencies.iter().sum();
                        (!latencies.is_empty()).then(|| seconds(sum) / latencies.len() as f64)
                    }
                };
                plain(value.unwrap_or(f64::NAN), latencies.len() as u64)
            }
            Measure::Served => {
                let served = pages.iter().filter(|it| it.is_served()).count();
                plain(served as f64, all)
            }
            Measure::Unfinished => plain(log.unfinished_in(span) as f64, all),
            Measure::Rate => plain(all as f64 / span.seconds().max(1e-6), all),
            Measure::Requests
            | Measure::PeakRate
            | Measure::CallsPerPage
            | Measure::BreakerOpens
            | Measure::Answered
            | Measure::Tail
            | Measure::Caller(_)
            | Measure::Evidence(_) => plain(all as f64, all),
        }
    }

    fn measure_route(&self, hop: &str, measure: &Measure, span: Span) -> Result<Measured, String> {
        // What came after the load had left is in the record of the phase alone.
        if let (Measure::Requests, Some(phase)) = (measure, self.phases.last())
            && phase.tail.is_some()
            && span == self.span
            && let Some(value) = phase.value(hop, measure)
        {
            return Ok(plain(value, counted(value)));
        }
        let found = self.route(hop, span)?;
        let (ended, errors) = (counted(found.ended), counted(found.errors));
        let part = |hits: u64| Measured {
            value: share(
                usize::try_from(hits).unwrap_or(usize::MAX),
                usize::try_from(ended).unwrap_or(usize::MAX),
            ),
            samples: ended,
            hits: Some(hits),
        };
        Ok(match measure {
            Measure::ErrorRate => part(errors.min(ended)),
            Measure::SuccessRate => part(ended.saturating_sub(errors)),
            Measure::Mean => plain(
                found.latency_sum / found.latency_count.max(1.0),
                counted(found.latency_count),
            ),
            Measure::Rate => plain(
                found.requests / span.seconds().max(1e-6),
                counted(found.requests),
            ),
            Measure::Requests => plain(found.requests.round(), counted(found.requests)),
            Measure::FallbackRate(_)
            | Measure::Latency(_)
            | Measure::Max
            | Measure::PeakRate
            | Measure::CallsPerPage
            | Measure::BreakerOpens
            | Measure::Answered
            | Measure::Served
            | Measure::Unfinished
            | Measure::Tail
            | Measure::Caller(_)
            | Measure::Evidence(_) => return Err("is not known of a route".to_owned()),
        })
    }

    /// What was counted on a route: from single calls where these are known, as in the tables of reports; else from the
    /// counters of the proxy, which are read ten times a second.
    fn route(&self, hop: &str, span: Span) -> Result<super::scrape::HopCounters, String> {
        if let Some(count) = self.calls.and_then(|it| it.count(hop, span)) {
            return Ok(count.into());
        }
        let found = self.recording.hop_in(hop, span);
        found.ok_or_else(|| format!("the proxy told nothing of the route `{hop}`"))
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
