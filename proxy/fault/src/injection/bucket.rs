//! Budgets of bytes over time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A token bucket of bytes: so many a second, with a burst that may go at once.
///
/// Bytes that the burst does not cover take their time before they go: the first ones, and after a rest, too. The
/// bucket is kept as a time, the one at which what was taken is paid (GCRA, ATM Forum 1996), so a late timer is made
/// up for by the next reservation. Streams may share one.
#[derive(Debug)]
pub struct Bucket {
    rate: u64,
    burst: u64,
    /// When all that was taken is paid; `None` until the first reservation.
    paid_at: Mutex<Option<Instant>>,
}

/// Bytes that a [`Bucket`] has promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// So many bytes may go, at least one.
    pub bytes: u64,
    /// Not before this time.
    pub at: Instant,
}

impl Bucket {
    /// Full slots a second: a slow stream still moves in small, even steps (Envoy's rule).
    const SLOTS: u64 = 16;
    /// A stream that asks so much later than it could have was late, and the time is made up for. Later than that and
    /// than the burst lasts it has rested, and has only the burst.
    const GRACE: Duration = Duration::from_millis(20);

    /// A full bucket of `rate` bytes a second, at least 1.
    #[must_use]
    pub fn new(rate: u64, burst: u64) -> Self {
        Self {
            rate: rate.max(1),
            burst,
            paid_at: Mutex::new(None),
        }
    }

    /// Bytes a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Reserves up to `wanted` bytes, at least 1, for a stream that has them to send since the time `now`. That may lie
    /// in the past: their time counts from then on, unless others have taken it.
    ///
    /// Streams that share a bucket get their turns in the order in which they ask, so none of them starves. Only one
    /// reservation at a time is to be open for each stream.
    pub fn reserve(&self, wanted: u64, now: Instant) -> Reservation {
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = self.time_of(self.burst);
        let is_rested = |paid| now.saturating_duration_since(paid) > burst.max(Self::GRACE);
        let paid = match *paid_at {
            Some(paid) if !is_rested(paid) => paid,
            _ => now.checked_sub(burst).unwrap_or(now),
        };
        let slot = (self.rate / Self::SLOTS).max(1);
        let saved = self.bytes_in(now.saturating_duration_since(paid));
        // A burst of less than a slot goes at once. Otherwise it waits for a whole slot, not for a byte.
        let is_burst = (1..=saved).contains(&self.burst);
        let ready = if is_burst { saved } else { saved.max(slot) };
        let bytes = wanted.min(ready);
        let paid = paid + self.time_of(bytes);
        *paid_at = Some(paid);
        let at = paid.max(now);
        Reservation { bytes, at }
    }

    /// Gives bytes back that were reserved and not sent.
    pub fn give_back(&self, bytes: u64) {
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(paid) = *paid_at {
            *paid_at = paid.checked_sub(self.time_of(bytes));
        }
    }

    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The most bytes whose [`time_of`](Self::time_of) is not longer than `span`.
    fn bytes_in(&self, span: Duration) -> u64 {
        let bytes = ((span.as_nanos() + 1) * u128::from(self.rate) - 1) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Buckets by name, made when first asked for.
#[derive(Debug, Default)]
pub struct Buckets(Mutex<HashMap<String, Arc<Bucket>>>);

impl Buckets {
    pub(crate) fn named(&self, name: &str, make: impl FnOnce() -> Bucket) -> Arc<Bucket> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(name) {
            return Arc::clone(bucket);
        }
        let bucket = Arc::new(make());
        buckets.insert(name.to_owned(), Arc::clone(&bucket));
        bucket
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a beginning of time for tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes all of `bytes`, in pieces as they come, on a stepped clock whose timers are `late`. How long it took.
    fn drain(bucket: &Bucket, bytes: u64, piece: u64, late: Duration) -> Duration {
        let began = Instant::now();
        let (mut now, mut left) = (began, bytes);
        while left > 0 {
            let reserved = bucket.reserve(left.min(piece), now);
            left -= reserved.bytes;
            if reserved.at > now {
                now = reserved.at + late;
            }
        }
        now - began
    }

    #[test]
    fn the_burst_goes_at_once_and_the_rest_at_the_rate() {
        let bucket = Bucket::new(1_000, 200);

        assert_eq!(drain(&bucket, 200, 200, Duration::ZERO), Duration::ZERO);
        let took = drain(&Bucket::new(1_000, 200), 2_200, 2_200, Duration::ZERO);
        assert_eq!(took, Duration::from_secs(2), "2,000 B at 1,000 B/s");
    }

    #[test]
    fn without_a_burst_the_first_bytes_take_their_time_and_those_after_a_rest() {
        let millis = Duration::from_millis;
        for (rate, bytes, took) in [(400_000, 50_000, 125), (10, 49, 4_900), (1_000, 10, 10)] {
            let bucket = Bucket::new(rate, 0);
            assert_eq!(drain(&bucket, bytes, bytes, Duration::ZERO), millis(took));

            let mut now = Instant::now() + millis(took) + Duration::from_secs(60);
            for _ in 0..2 {
                let reserved = bucket.reserve(1, now);
                assert_eq!(reserved.at, now + bucket.time_of(1), "{rate} B/s");
                now = reserved.at + millis(30);
            }
        }
    }

    #[test]
    fn after_a_rest_the_burst_goes_at_once_and_no_more() {
        // The second burst is smaller than a slot, the third takes no whole number of nanoseconds.
        for (rate, burst) in [(1_000, 200), (1_000, 10), (7, 16_384)] {
            let bucket = Bucket::new(rate, burst);
            let mut now = Instant::now();
            for _ in 0..2 {
                let first = bucket.reserve(burst + 1, now);
                let next = bucket.reserve(1, now);

                assert_eq!(
                    first,
                    Reservation {
                        bytes: burst,
                        at: now
                    }
                );
                assert!(next.at > now, "{burst} B at {rate} B/s");
                now = next.at + bucket.time_of(burst) + Duration::from_secs(1);
            }
        }
    }

    #[test]
    fn bytes_that_were_there_before_have_had_their_time() {
        let bucket = Bucket::new(1_000, 0);
        let began = Instant::now();
        let slot = |at| Reservation { bytes: 62, at };
        let after = |millis| began + Duration::from_millis(millis);

        assert_eq!(bucket.reserve(62, began), slot(after(62)));
        assert_eq!(bucket.reserve(62, after(62)), slot(after(124)));
        // Another stream has bytes since the beginning: the time is taken.
        assert_eq!(bucket.reserve(62, began), slot(after(186)));
    }

    #[test]
    fn late_timers_do_not_slow_a_stream_down() {
        for rate in [10_000, 1_000_000, 100_000_000] {
            let bucket = Bucket::new(rate, 0);
            let took = drain(&bucket, rate * 2, rate, Duration::from_millis(1));
            let in_pieces = drain(
                &Bucket::new(rate, 0),
                rate * 2,
                50_000,
                Duration::from_millis(2),
            );
            for took in [took, in_pieces] {
                let error = (took.as_secs_f64() / 2.0 - 1.0).abs();
                assert!(error < 0.04, "{rate} B/s: 2 s of bytes took {took:?}");
            }
        }
    }

    #[test]
    fn streams_that_share_a_bucket_take_turns() {
        let bucket = Bucket::new(1_000, 0);
        let began = Instant::now();
        let mut next_at = [began; 3];
        let mut taken = [0; 3];
        while let Some(first) = next_at
            .iter()
            .copied()
            .min()
            .filter(|at| *at < began + Duration::from_secs(1))
        {
            // Of those that are due at one time, always the same one is first.
            let stream = next_at.iter().position(|at| *at == first).unwrap_or(0);
            let Reservation { bytes, at } = bucket.reserve(1_000_000, first);
            taken[stream] += bytes;
            next_at[stream] = at;
        }

        assert!(
            taken.iter().all(|bytes| (300..=520).contains(bytes)),
            "{taken:?}"
        );
    }

    #[test]
    fn what_is_given_back_is_there_for_others() {
        let bucket = Bucket::new(1_000, 0);
        let now = Instant::now();
        let reserved = bucket.reserve(62, now);

        bucket.give_back(reserved.bytes);

        assert_eq!(bucket.reserve(62, now), reserved);
    }

    proptest! {
        #[test]
        fn never_more_than_rate_and_burst(
            rate in 1_u64..1_000_000,
            burst in 0_u64..100_000,
            steps in prop::collection::vec((0_u64..50, 1_u64..10_000), 1..200),
        ) {
            let bucket = Bucket::new(rate, burst);
            let began = Instant::now();
            let (mut now, mut taken) = (began, 0);
            for (millis, wanted) in steps {
                now += Duration::from_millis(millis);
                let Reservation { bytes, at } = bucket.reserve(wanted, now);
                prop_assert!(bytes <= wanted && bytes > 0);
                now = at;
                taken += bytes;
                let allowed = burst + bucket.bytes_in(now - began) + 1;
                prop_assert!(taken <= allowed, "{} of {}", taken, allowed);
            }
        }
    }
}
