//! Samples by second, and their latency.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::sample::{ErrorKind, Outcome, Sample};

/// The longest latency that is told apart; longer ones count as this.
const LATENCY_MAX: Duration = Duration::from_secs(60 * 60);

/// What became of the requests of one run.
#[derive(Debug, Clone)]
pub struct Timeline {
    seconds: Vec<Second>,
    served: Histogram<u64>,
    kinds: Kinds,
    statuses: BTreeMap<u16, u64>,
}

/// What became of the requests that ended within one second. `served` and `errors` make up all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Whole answers with a 2xx.
    pub served: u64,
    /// Those of them that lacked something.
    pub degraded: u64,
    /// Answers with another status, and requests without a whole answer.
    pub errors: u64,
}

/// Requests without a whole answer, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// Requests for which no connection could be made.
    pub connect: u64,
    /// The connection was reset.
    pub reset: u64,
    /// The client's own time was over.
    pub timeout: u64,
    /// The connection was closed before the whole answer was there.
    pub incomplete: u64,
    /// Failures of any other kind.
    pub other: u64,
}

/// How long served pages took, in milliseconds; exact to three digits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median of latency, in ms.
    pub p50_ms: f64,
    /// The 95th percentile of latency, in ms.
    pub p95_ms: f64,
    /// The 99th percentile of latency, in ms.
    pub p99_ms: f64,
    /// The longest latency, in ms.
    pub max_ms: f64,
}

impl Timeline {
    /// For a run of this length. Its last second may be shorter than one.
    ///
    /// # Panics
    /// When memory does not hold its seconds, 24 bytes each.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        let begun = u64::from(length.subsec_nanos() > 0);
        let seconds = usize::try_from(length.as_secs() + begun).expect("its seconds can be held");
        Self {
            seconds: vec![Second::default(); seconds.max(1)],
            served: Histogram::new_with_bounds(1, micros(LATENCY_MAX), 3)
                .expect("1 µs to 1 h in three digits is a range that it takes"),
            kinds: Kinds::default(),
            statuses: BTreeMap::new(),
        }
    }

    /// Adds a sample. What ended after the run counts as of its last second.
    pub fn record(&mut self, sample: &Sample) {
        let last = self.seconds.len() - 1;
        let index = usize::try_from(sample.ended.as_secs()).map_or(last, |it| it.min(last));
        let second = &mut self.seconds[index];
        if sample.is_served() {
            second.served += 1;
            second.degraded += u64::from(sample.degraded);
            self.served.saturating_record(micros(sample.latency));
            return;
        }
        second.errors += 1;
        match sample.outcome {
            Outcome::Answered(status) => *self.statuses.entry(status.as_u16()).or_default() += 1,
            Outcome::Failed(kind) => *self.kinds.of(kind) += 1,
        }
    }

    /// All seconds of the run, also those in which nothing ended.
    #[must_use]
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// All seconds together.
    #[must_use]
    pub fn total(&self) -> Second {
        let add = |sum: Second, it: &Second| Second {
            served: sum.served + it.served,
            degraded: sum.degraded + it.degraded,
            errors: sum.errors + it.errors,
        };
        self.seconds.iter().fold(Second::default(), add)
    }

    /// Requests without a whole answer, by the reason.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Answers that are none of 2xx, by status.
    #[must_use]
    pub fn statuses(&self) -> &BTreeMap<u16, u64> {
        &self.statuses
    }

    /// How long served pages took; `None` if none was.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        if self.served.is_empty() {
            return None;
        }
        let at = |quantile| millis(self.served.value_at_quantile(quantile));
        Some(Latency {
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: millis(self.served.max()),
        })
    }
}

impl Kinds {
    /// Each with its name, in the order of a request's life.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("connect", self.connect),
            ("reset", self.reset),
            ("timeout", self.timeout),
            ("incomplete", self.incomplete),
            ("other", self.other),
        ]
    }

    fn of(&mut self, kind: ErrorKind) -> &mut u64 {
        match kind {
            ErrorKind::Connect => &mut self.connect,
            ErrorKind::Reset => &mut self.reset,
            ErrorKind::Timeout => &mut self.timeout,
            ErrorKind::Incomplete => &mut self.incomplete,
            ErrorKind::Other => &mut self.other,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sample(ended_ms: u64, latency_ms: u64, outcome: Outcome) -> Sample {
        Sample {
            ended: Duration::from_millis(ended_ms),
            latency: Duration::from_millis(latency_ms),
            outcome,
            degraded: false,
        }
    }

    fn page(ended_ms: u64, latency_ms: u64) -> Sample {
        sample(ended_ms, latency_ms, Outcome::Answered(StatusCode::OK))
    }

    fn timeline(length: &str, samples: &[Sample]) -> Timeline {
        let length = brownout_fault::units::parse_duration(length).unwrap();
        let mut timeline = Timeline::new(length);
        for sample in samples {
            timeline.record(sample);
        }
        timeline
    }

    #[test]
    fn a_request_belongs_to_the_second_in_which_it_ended() {
        let samples = [page(0, 0), page(999, 990), page(1_000, 1), page(2_500, 1)];

        let timeline = timeline("2.5s", &samples);

        let served: Vec<u64> = timeline.seconds().iter().map(|it| it.served).collect();
        assert_eq!(served, [2, 1, 1]);
    }

    #[test]
    fn silent_seconds_are_seconds() {
        assert_eq!(timeline("3s", &[]).seconds(), [Second::default(); 3]);
    }

    #[test]
    fn a_degraded_page_is_served() {
        let degraded = Sample {
            degraded: true,
            ..page(100, 10)
        };

        let total = timeline("1s", &[degraded, page(200, 10)]).total();

        assert_eq!((total.served, total.degraded, total.errors), (2, 1, 0));
    }

    #[test]
    fn errors_are_told_apart_by_kind_and_by_status() {
        let answered = |status: u16| Outcome::Answered(StatusCode::from_u16(status).unwrap());
        let samples = [
            sample(0, 1, Outcome::Failed(ErrorKind::Reset)),
            sample(0, 1, Outcome::Failed(ErrorKind::Reset)),
            sample(0, 1, Outcome::Failed(ErrorKind::Timeout)),
            sample(0, 1, answered(500)),
            sample(0, 1, answered(302)),
        ];

        let timeline = timeline("1s", &samples);

        let expected = Kinds {
            reset: 2,
            timeout: 1,
            ..Kinds::default()
        };
        assert_eq!(timeline.kinds(), expected);
        assert_eq!(*timeline.statuses(), BTreeMap::from([(302, 1), (500, 1)]));
        assert_eq!(timeline.total().errors, 5);
    }

    #[test]
    fn latency_is_that_of_served_pages_in_three_digits() {
        let failed = sample(0, 60_000, Outcome::Failed(ErrorKind::Timeout));
        let mut samples: Vec<Sample> = (1..=1_000).map(|ms| page(0, ms)).collect();
        samples.push(failed);

        let latency = timeline("1s", &samples).latency().unwrap();

        for (measured, exact) in [
            (latency.p50_ms, 500.0),
            (latency.p95_ms, 950.0),
            (latency.p99_ms, 990.0),
            (latency.max_ms, 1_000.0),
        ] {
            assert!((measured / exact - 1.0).abs() < 0.001, "{measured}");
        }
    }

    #[test]
    fn nothing_served_has_no_latency() {
        let failed = sample(0, 1, Outcome::Failed(ErrorKind::Reset));

        assert_eq!(timeline("1s", &[failed]).latency(), None);
    }

    fn any_sample() -> impl Strategy<Value = Sample> {
        let kind = prop_oneof![
            Just(ErrorKind::Connect),
            Just(ErrorKind::Reset),
            Just(ErrorKind::Timeout),
            Just(ErrorKind::Incomplete),
            Just(ErrorKind::Other),
        ];
        let answered = (200..600_u16).prop_map(|it| StatusCode::from_u16(it).unwrap());
        let outcome = prop_oneof![
            answered.prop_map(Outcome::Answered),
            kind.prop_map(Outcome::Failed),
        ];
        let span = || (0..20_000_000_000_u64).prop_map(Duration::from_nanos);
        (span(), span(), outcome, any::<bool>()).prop_map(|(ended, latency, outcome, degraded)| {
            Sample {
                ended,
                latency,
                outcome,
                degraded,
            }
        })
    }

    proptest! {
        #[test]
        fn no_sample_is_lost_or_counted_twice(
            length_ms in 1..15_000_u64,
            samples in vec(any_sample(), 0..200),
        ) {
            let mut timeline = Timeline::new(Duration::from_millis(length_ms));
            for sample in &samples {
                timeline.record(sample);
            }

            let total = timeline.total();
            prop_assert_eq!(total.served + total.errors, samples.len() as u64);
            let failed: u64 = timeline.kinds().named().iter().map(|(_, count)| count).sum();
            let refused: u64 = timeline.statuses().values().sum();
            prop_assert_eq!(failed + refused, total.errors);
            prop_assert_eq!(timeline.served.len(), total.served);
            prop_assert_eq!(timeline.seconds().len() as u64, length_ms.div_ceil(1_000));
            prop_assert!(timeline.seconds().iter().all(|it| it.degraded <= it.served));
        }
    }
}
