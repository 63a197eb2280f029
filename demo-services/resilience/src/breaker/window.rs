//! What the breaker remembers of past calls: the last n calls, or the last n seconds.
//!
//! Both kinds are a ring with running totals, so recording and reading cost the same whatever the size.

/// One finished call, as far as the rates are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

/// Sums over the calls in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: u32,
    pub(crate) failed: u32,
    pub(crate) slow: u32,
    pub(crate) slow_failed: u32,
}

impl Totals {
    fn add(&mut self, call: Finished) {
        self.calls += 1;
        self.failed += u32::from(call.failed);
        self.slow += u32::from(call.slow);
        self.slow_failed += u32::from(call.failed && call.slow);
    }

    fn subtract(&mut self, gone: Self) {
        self.calls -= gone.calls;
        self.failed -= gone.failed;
        self.slow -= gone.slow;
        self.slow_failed -= gone.slow_failed;
    }

    /// `part` of all calls, in percent, in 32 bits as resilience4j computes it.
    fn percent(&self, part: u32) -> f32 {
        part as f32 * 100.0 / self.calls as f32
    }
}

impl From<Finished> for Totals {
    fn from(call: Finished) -> Self {
        let mut totals = Self::default();
        totals.add(call);
        totals
    }
}

/// Failure rate and slow call rate, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) failure: f32,
    pub(crate) slow: f32,
}

/// A sliding window and the number of calls below which it gives no rates.
#[derive(Debug)]
pub(crate) struct Window {
    ring: Ring,
    totals: Totals,
    minimum_calls: u32,
}

#[derive(Debug)]
enum Ring {
    /// The last calls; `oldest` is overwritten next once the ring is full.
    Count {
        calls: Vec<Finished>,
        size: usize,
        oldest: usize,
    },
    /// One bucket for each whole second; second s lives in bucket s modulo the size.
    Time { buckets: Vec<Totals>, second: u64 },
}

impl Window {
    /// A window over the last `size` calls.
    pub(crate) fn of_calls(size: u32, minimum_calls: u32) -> Self {
        let size = size as usize;
        Self {
            ring: Ring::Count {
                calls: Vec::with_capacity(size),
                size,
                oldest: 0,
            },
            totals: Totals::default(),
            minimum_calls,
        }
    }

    /// A window over the last `size` whole seconds, the running one included; `second` is now.
    pub(crate) fn of_seconds(size: u32, minimum_calls: u32, second: u64) -> Self {
        Self {
            ring: Ring::Time {
                buckets: vec![Totals::default(); size as usize],
                second,
            },
            totals: Totals::default(),
            minimum_calls,
        }
    }

    /// Counts a call that finished in the whole second `second`.
    pub(crate) fn record(&mut self, second: u64, call: Finished) {
        self.slide_to(second);
        match &mut self.ring {
            Ring::Count {
                calls,
                size,
                oldest,
            } => {
                if calls.len() < *size {
                    calls.push(call);
                } else {
                    self.totals.subtract(calls[*oldest].into());
                    calls[*oldest] = call;
                    *oldest = (*oldest + 1) % *size;
                }
            }
            Ring::Time { buckets, second } => {
                let index = bucket(*second, buckets.len());
                buckets[index].add(call);
            }
        }
        self.totals.add(call);
    }

    /// Lets go of what is too old in the whole second `to`. A time in the past changes nothing.
    pub(crate) fn slide_to(&mut self, to: u64) {
        let Ring::Time { buckets, second } = &mut self.ring else {
            return;
        };
        let passed = to.saturating_sub(*second);
        if passed >= buckets.len() as u64 {
            buckets.fill(Totals::default());
            self.totals = Totals::default();
        } else {
            for past in *second + 1..=*second + passed {
                let index = bucket(past, buckets.len());
                self.totals.subtract(std::mem::take(&mut buckets[index]));
            }
        }
        *second += passed;
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// The rates, or `None` while fewer calls than the minimum are in the window.
    pub(crate) fn rates(&self) -> Option<Rates> {
        let totals = &self.totals;
        (totals.calls > 0 && totals.calls >= self.minimum_calls).then(|| Rates {
            failure: totals.percent(totals.failed),
            slow: totals.percent(totals.slow),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "less than the number of buckets"
)]
fn bucket(second: u64, buckets: usize) -> usize {
    (second % buckets as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call() -> impl Strategy<Value = Finished> {
        (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Finished { failed, slow })
    }

    fn recount(calls: impl Iterator<Item = Finished>) -> Totals {
        let mut totals = Totals::default();
        calls.for_each(|call| totals.add(call));
        totals
    }

    proptest! {
        #[test]
        fn a_count_window_equals_a_recount_of_the_last_calls(
            size in 1u32..20,
            calls in prop::collection::vec(call(), 0..100),
        ) {
            let mut window = Window::of_calls(size, 1);
            for (n, call) in calls.iter().enumerate() {
                window.record(0, *call);

                let from = (n + 1).saturating_sub(size as usize);
                prop_assert_eq!(window.totals(), recount(calls[from..=n].iter().copied()));
            }
        }

        #[test]
        fn a_time_window_equals_a_recount_of_the_last_seconds(
            size in 1u32..8,
            start in 0u64..100,
            steps in prop::collection::vec((0u64..12, prop::option::of(call())), 0..100),
        ) {
            let mut window = Window::of_seconds(size, 1, start);
            let mut second = start;
            let mut history = Vec::new();
            for (pause, call) in steps {
                second += pause;
                match call {
                    Some(call) => {
                        window.record(second, call);
                        history.push((second, call));
                    }
                    None => window.slide_to(second),
                }

                let in_reach = history.iter().filter(|(at, _)| at + u64::from(size) > second);
                prop_assert_eq!(window.totals(), recount(in_reach.map(|(_, call)| *call)));
            }
        }
    }

    #[test]
    fn there_is_no_rate_below_the_minimum() {
        let mut window = Window::of_calls(10, 2);
        window.record(
            0,
            Finished {
                failed: true,
                slow: false,
            },
        );

        assert_eq!(window.rates(), None);
    }

    #[test]
    fn rates_are_percentages_of_the_calls_in_the_window() {
        let mut window = Window::of_calls(10, 2);
        window.record(
            0,
            Finished {
                failed: true,
                slow: true,
            },
        );
        window.record(
            0,
            Finished {
                failed: false,
                slow: true,
            },
        );

        assert_eq!(
            window.rates(),
            Some(Rates {
                failure: 50.0,
                slow: 100.0
            })
        );
    }

    #[test]
    fn a_clock_reading_from_before_counts_in_the_present_second() {
        let mut window = Window::of_seconds(2, 1, 5);
        window.record(
            4,
            Finished {
                failed: true,
                slow: false,
            },
        );
        assert_eq!(window.totals().calls, 1);

        window.slide_to(7);

        assert_eq!(window.totals().calls, 0);
    }
}
