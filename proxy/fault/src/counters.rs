//! What a fault has done so far, counted exactly.

mod by_route;

pub use self::by_route::RouteCounters;
pub(crate) use self::by_route::{ByRoute, OnRoute};

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use histogram::AtomicHistogram;
use tokio::sync::Notify;

use crate::{
    atomics::take_below,
    injection::MatchOutcome,
    strikes::{Strikes, micros_after, micros_between},
    told::ToldToWait,
};

/// The counters of a fault. `matched` is the sum of `injected`, `skipped` and `overflow`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that fitted its `match` while it was in force.
    pub matched: u64,
    /// Requests it acted on, raised before the first effect on the wire. What acts on an answer's body is counted when
    /// the request is decided, and taken back if it then had no effect.
    pub injected: u64,
    /// Requests its percent, its counts or an earlier ending passed by, or whose answer left it nothing to act on.
    pub skipped: u64,
    /// Requests that passed because it held as many as it may.
    pub overflow: u64,
    /// Requests it holds now.
    pub active: u64,
    /// Requests whose client left while it acted on them.
    pub client_gave_up: u64,
}

/// What a fault was asked to do and what it did, as measured. Empty until it did something that is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Magnitude {
    /// What was asked for, of holds that were not cut short.
    pub asked: Option<Delays>,
    /// What was achieved.
    pub achieved: Option<Delays>,
    /// By how much holds that were not cut short were longer than asked for: the error of the fault itself.
    pub late: Option<Delays>,
    /// Bytes of bodies, or of connections, that it let through.
    pub bytes: Option<u64>,
    /// Bytes a second that it was to let through, in each budget.
    pub asked_bytes_per_second: Option<u64>,
    /// Bytes a second while it did: over all bodies, each counted from its first byte to its last, and over
    /// connections, as long as bytes waited there.
    pub bytes_per_second: Option<u64>,
    /// Requests for a path whose client had been told to come back to it later; `None` if nobody was told to wait.
    pub early_returns: Option<u64>,
}

/// Delays, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

/// The counters of one fault. They are kept across its revisions, so that counts stay exact while it is patched.
#[derive(Debug, Default)]
pub(crate) struct FaultCounters {
    matched: AtomicU64,
    injected: AtomicU64,
    skipped: AtomicU64,
    overflow: AtomicU64,
    active: AtomicU64,
    client_gave_up: AtomicU64,
    /// Empty where the fault names one route.
    by_route: ByRoute,
    asked: OnceLock<AtomicHistogram>,
    achieved: OnceLock<AtomicHistogram>,
    late: OnceLock<AtomicHistogram>,
    bytes: AtomicU64,
    bytes_took_nanos: AtomicU64,
    early_returns: AtomicU64,
    told: ToldToWait,
    first_strike: OnceLock<Instant>,
    /// Counted from the first one, in µs.
    last_strike: AtomicU64,
    /// Whether the first strike was told, and that its limit is used up.
    strike_is_told: AtomicBool,
    spent_is_told: AtomicBool,
    /// Is notified of the first strike and of the last one that the limit allows.
    news: Arc<Notify>,
}

impl FaultCounters {
    /// Counters that begin at 0. `news` is notified of what is told once.
    pub(crate) fn new(news: &Arc<Notify>) -> Self {
        Self {
            news: Arc::clone(news),
            ..Self::default()
        }
    }

    /// Notes that the fault has an effect, now.
    pub(crate) fn note_strike(&self, limit: Option<u64>, now: Instant) {
        let mut is_first = false;
        let first = *self.first_strike.get_or_init(|| {
            is_first = true;
            now
        });
        if is_first || self.is_spent(limit) {
            self.news.notify_one();
        }
        let micros = micros_between(first, now);
        if micros > self.last_strike.load(Ordering::Relaxed) {
            self.last_strike.fetch_max(micros, Ordering::Relaxed);
        }
    }

    /// When the fault had an effect.
    pub(crate) fn strikes(&self) -> Strikes {
        let first = self.first_strike.get().copied();
        let last = |first| micros_after(first, self.last_strike.load(Ordering::Relaxed));
        Strikes {
            first,
            last: first.map(last),
        }
    }

    /// When it had its first effect, for the first caller.
    pub(crate) fn take_first_strike(&self) -> Option<Instant> {
        let first = *self.first_strike.get()?;
        (!self.strike_is_told.swap(true, Ordering::Relaxed)).then_some(first)
    }

    /// True for the first caller.
    pub(crate) fn take_spent(&self) -> bool {
        !self.spent_is_told.swap(true, Ordering::Relaxed)
    }

    /// Counts a match and gives its number, from 0.
    pub(crate) fn count_match(&self) -> u64 {
        self.matched.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn count_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_overflow(&self) {
        self.overflow.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back the count of an outcome that became another.
    pub(crate) fn take_back(&self, outcome: MatchOutcome) {
        match outcome {
            MatchOutcome::Skipped => self.skipped.fetch_sub(1, Ordering::Relaxed),
            MatchOutcome::Overflow => self.overflow.fetch_sub(1, Ordering::Relaxed),
            MatchOutcome::Injected => return,
        };
    }

    /// Counts an injection unless `limit` of them are counted already: exactly that many, whoever asks.
    pub(crate) fn take_injection(&self, limit: Option<u64>) -> bool {
        match limit {
            None => {
                self.injected.fetch_add(1, Ordering::AcqRel);
                true
            }
            Some(limit) => take_below(&self.injected, limit),
        }
    }

    /// Takes back an injection that had no effect: it counts as skipped, and its `limit` has room for another.
    pub(crate) fn give_back_injection(&self) {
        self.skipped.fetch_add(1, Ordering::AcqRel);
        self.injected.fetch_sub(1, Ordering::AcqRel);
    }

    /// The requests that it holds now.
    pub(crate) fn active(&self) -> &AtomicU64 {
        &self.active
    }

    pub(crate) fn is_spent(&self, limit: Option<u64>) -> bool {
        limit.is_some_and(|limit| self.injected.load(Ordering::Acquire) >= limit)
    }

    /// Notes a hold: what was asked for, unless the fault ended before that time, and what came of it.
    pub(crate) fn note_delay(&self, asked: Option<Duration>, achieved: Duration) {
        if let Some(asked) = asked {
            record(&self.asked, asked);
            record(&self.late, achieved.saturating_sub(asked));
        }
        record(&self.achieved, achieved);
    }

    pub(crate) fn note_bytes(&self, bytes: u64, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes_took_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn note_early_return(&self) {
        self.early_returns.fetch_add(1, Ordering::Relaxed);
    }

    /// Those whom it told to wait.
    pub(crate) fn told(&self) -> &ToldToWait {
        &self.told
    }

    pub(crate) fn note_client_gave_up(&self) {
        self.client_gave_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            matched: self.matched.load(Ordering::Acquire),
            injected: self.injected.load(Ordering::Acquire),
            skipped: self.skipped.load(Ordering::Acquire),
            overflow: self.overflow.load(Ordering::Acquire),
            active: self.active.load(Ordering::Acquire),
            client_gave_up: self.client_gave_up.load(Ordering::Acquire),
        }
    }

    /// Those of one of its routes, where it names several.
    pub(crate) fn on_route(&self, route: &str) -> Option<Arc<OnRoute>> {
        self.by_route.on(route)
    }

    /// What it did on each route since it names several.
    pub(crate) fn by_route(&self) -> BTreeMap<String, RouteCounters> {
        self.by_route.counters()
    }

    /// What was measured; `asked_rate` is the rate it was to keep.
    pub(crate) fn magnitude(&self, asked_rate: Option<u64>) -> Magnitude {
        let given = |counter: &AtomicU64| match counter.load(Ordering::Relaxed) {
            0 => None,
            count => Some(count),
        };
        let bytes = given(&self.bytes);
        let nanos = given(&self.bytes_took_nanos);
        let rate = bytes.zip(nanos).map(|(bytes, nanos)| {
            let rate = u128::from(bytes) * 1_000_000_000 / u128::from(nanos);
            u64::try_from(rate).unwrap_or(u64::MAX)
        });
        Magnitude {
            asked: delays(&self.asked),
            achieved: delays(&self.achieved),
            late: delays(&self.late),
            bytes,
            asked_bytes_per_second: bytes.and(asked_rate),
            bytes_per_second: rate,
            early_returns: (self.told.has_told())
                .then(|| self.early_returns.load(Ordering::Relaxed)),
        }
    }
}

/// Counts what a fault does to the bytes of a connection. It may outlive the fault.
#[derive(Debug, Clone)]
pub struct Effects(Arc<FaultCounters>);

impl Effects {
    pub(crate) fn of(counters: &Arc<FaultCounters>) -> Self {
        Self(Arc::clone(counters))
    }

    /// Notes how long something was to be held, unless the fault ended before that time, and how long it really was.
    pub fn note_delay(&self, asked: Option<Duration>, achieved: Duration) {
        self.0.note_delay(asked, achieved);
    }

    /// Notes bytes that passed, and how long they took; no time where that is not the fault's matter.
    pub fn note_bytes(&self, bytes: u64, took: Duration) {
        self.0.note_bytes(bytes, took);
    }
}

/// The longest delay that is told apart from longer ones: 2^38 µs are three days.
const DELAY_BITS: u8 = 38;

fn record(into: &OnceLock<AtomicHistogram>, delay: Duration) {
    // 64 steps for each power of two keep the error under 1.6 %.
    let delays = into.get_or_init(|| {
        AtomicHistogram::new(6, DELAY_BITS).expect("6 and 38 are a valid histogram configuration")
    });
    let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    delays
        .increment(micros.min((1 << DELAY_BITS) - 1))
        .expect("the value is below the histogram's maximum");
}

fn delays(of: &OnceLock<AtomicHistogram>) -> Option<Delays> {
    let delays = of.get()?.load();
    let at = |quantile: f64| {
        let bucket = delays.quantile_bucket(quantile).ok().flatten()?;
        Some(Duration::from_micros(bucket.end()))
    };
    Some(Delays {
        p50: at(0.5)?,
        p99: at(0.99)?,
    })
}
