use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use histogram::{AtomicHistogram, Config};

/// 32 buckets for each power of two of microseconds up to 2³⁷ (38 hours): 1056 buckets, 8.4 KB.
const GROUPING_POWER: u8 = 5;
const MAX_VALUE_POWER: u8 = 37;
const LONGEST_US: u64 = (1 << MAX_VALUE_POWER) - 1;

/// How long things took.
///
/// Cloning gives another handle to the same histogram. Only bucket counts are kept, in
/// microseconds: exact up to 63 µs, above that within 1.6 % when read back. Anything longer than
/// 38 hours counts as 38 hours. The buckets, 8.4 KB, are made with the first record: most faults
/// never meet most routes.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<OnceLock<AtomicHistogram>>);

/// What a histogram held when it was read.
///
/// A record made while it was read is either in it or in the next one, never lost.
#[derive(Debug, Clone)]
pub struct Distribution(Option<histogram::Histogram>);

impl Histogram {
    /// Counts one duration. Lock-free, some ten nanoseconds.
    pub fn record(&self, duration: Duration) {
        let us = duration
            .as_secs()
            .saturating_mul(1_000_000)
            .saturating_add(u64::from(duration.subsec_micros()));
        let buckets = self
            .0
            .get_or_init(|| AtomicHistogram::with_config(&config()));
        let counted = buckets.increment(us.min(LONGEST_US));
        debug_assert!(counted.is_ok(), "the longest value has a bucket");
    }

    /// All that was recorded since the start.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        Distribution(self.0.get().map(AtomicHistogram::load))
    }
}

impl Distribution {
    /// Of nothing.
    pub(crate) const EMPTY: Self = Self(None);

    /// What was recorded since `before`, which was read from the same histogram.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let (Some(now), Some(before)) = (&self.0, &before.0) else {
            return self.clone();
        };
        let since = now.wrapping_sub(before);
        Self(Some(since.expect("all histograms are laid out alike")))
    }

    /// How many durations were recorded. Exact.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().flat_map(histogram::Histogram::as_slice).sum()
    }

    /// The smallest duration that at least the share `q` of all does not exceed, or `None` when
    /// nothing was recorded or `q` is not within 0 to 1. Within 1.6 %.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let bucket = self.0.as_ref()?.quantile_bucket(q).ok()??;
        Some(Duration::from_micros(bucket.start().midpoint(bucket.end())))
    }

    /// The longest duration. Within 1.6 %.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.quantile(1.0)
    }

    /// The mean duration. Within 1.6 %.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let (mut count, mut sum_us) = (0, 0.0);
        let buckets = self.0.iter().flatten();
        for bucket in buckets.filter(|bucket| bucket.count() > 0) {
            count += bucket.count();
            sum_us += bucket.start().midpoint(bucket.end()) as f64 * bucket.count() as f64;
        }
        (count > 0).then(|| Duration::from_secs_f64(sum_us / count as f64 / 1e6))
    }
}

impl Distribution {
    /// Durations and how often each was recorded, the shortest first: the middles of at most `max` groups of
    /// neighbouring buckets. Together they have every record.
    pub(crate) fn durations(&self, max: usize) -> Vec<(Duration, u64)> {
        let buckets: Vec<(f64, u64)> = self
            .0
            .iter()
            .flatten()
            .filter(|bucket| bucket.count() > 0)
            .map(|bucket| (bucket.start().midpoint(bucket.end()) as f64, bucket.count()))
            .collect();
        let group = buckets.len().div_ceil(max).max(1);
        let together = |buckets: &[(f64, u64)]| {
            let count = buckets.iter().map(|(_, count)| count).sum::<u64>();
            let sum_us: f64 = buckets.iter().map(|(us, count)| us * *count as f64).sum();
            (Duration::from_secs_f64(sum_us / count as f64 / 1e6), count)
        };
        buckets.chunks(group).map(together).collect()
    }
}

fn config() -> Config {
    Config::new(GROUPING_POWER, MAX_VALUE_POWER).expect("the powers are within the crate's bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_their_bound_over_the_whole_range() {
        let mut us = 1.0_f64;
        while us < LONGEST_US as f64 {
            let histogram = Histogram::default();
            let recorded = Duration::from_secs_f64(us / 1e6);

            histogram.record(recorded);

            let read = histogram.distribution().max().expect("one was recorded");
            // Half a microsecond more: they are counted whole.
            let bound = recorded.as_secs_f64() * 0.0157 + 1e-6;
            assert!(
                (read.as_secs_f64() - recorded.as_secs_f64()).abs() <= bound,
                "{recorded:?} came back as {read:?}"
            );
            us *= 1.07;
        }
    }

    #[test]
    fn durations_beyond_the_last_bucket_count_as_the_longest() {
        let histogram = Histogram::default();

        histogram.record(Duration::MAX);

        let read = histogram.distribution();
        assert_eq!(read.count(), 1);
        assert!(read.max() > Some(Duration::from_secs(37 * 3600)));
    }

    #[test]
    fn an_empty_distribution_has_no_quantiles_and_no_mean() {
        let empty = Histogram::default().distribution();

        assert_eq!(empty.count(), 0);
        assert_eq!(empty.quantile(0.5), None);
        assert_eq!(empty.max(), None);
        assert_eq!(empty.mean(), None);
    }

    #[test]
    fn a_share_outside_0_to_1_has_no_quantile() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(1));

        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(histogram.distribution().quantile(q), None, "{q}");
        }
    }

    #[test]
    fn quantiles_and_mean_of_known_values() {
        let histogram = Histogram::default();
        for us in 1..=50 {
            histogram.record(Duration::from_micros(us));
        }

        let read = histogram.distribution();

        assert_eq!(read.quantile(0.5), Some(Duration::from_micros(25)));
        assert_eq!(read.quantile(0.9), Some(Duration::from_micros(45)));
        assert_eq!(read.max(), Some(Duration::from_micros(50)));
        assert_eq!(read.mean(), Some(Duration::from_nanos(25_500)));
    }
}
