//! What a fault has done so far, counted exactly.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use histogram::AtomicHistogram;
use tokio::sync::watch;

/// The counters of a fault. `matched` is the sum of `injected`, `skipped` and `overflow`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that fitted its `match` while it was in force.
    pub matched: u64,
    /// Requests it acted on, raised before the first effect on the wire.
    pub injected: u64,
    /// Requests its percent, its counts or an earlier ending passed by.
    pub skipped: u64,
    /// Requests that passed because it held as many as it may.
    pub overflow: u64,
    /// Requests it holds now.
    pub active: u64,
    /// Requests whose client left while it acted on them.
    pub client_gave_up: u64,
}

/// What a fault really did, as measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Magnitude {
    /// The median of the achieved delays.
    pub delay_p50: Duration,
    /// The 99th percentile of the achieved delays.
    pub delay_p99: Duration,
}

/// The books of one fault; kept across its revisions, so that counts stay exact while it is patched.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    matched: AtomicU64,
    injected: AtomicU64,
    skipped: AtomicU64,
    overflow: AtomicU64,
    active: AtomicU64,
    client_gave_up: AtomicU64,
    delays: OnceLock<AtomicHistogram>,
}

impl Ledger {
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

    pub(crate) fn is_spent(&self, limit: Option<u64>) -> bool {
        limit.is_some_and(|limit| self.injected.load(Ordering::Acquire) >= limit)
    }

    pub(crate) fn note_delay(&self, achieved: Duration) {
        // 64 steps for each power of two keep the error under 1.6 %; 2^38 µs are three days.
        let delays = self.delays.get_or_init(|| {
            AtomicHistogram::new(6, 38).expect("6 and 38 are a valid histogram configuration")
        });
        let micros = u64::try_from(achieved.as_micros()).unwrap_or(u64::MAX);
        delays
            .increment(micros.min((1 << 38) - 1))
            .expect("the value is below the histogram's maximum");
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

    pub(crate) fn magnitude(&self) -> Option<Magnitude> {
        let delays = self.delays.get()?.load();
        let at = |quantile: f64| {
            let bucket = delays.quantile_bucket(quantile).ok().flatten()?;
            Some(Duration::from_micros(bucket.end()))
        };
        Some(Magnitude {
            delay_p50: at(0.5)?,
            delay_p99: at(0.99)?,
        })
    }
}

/// Adds one unless `limit` is reached, by compare-and-swap.
fn take_below(counter: &AtomicU64, limit: u64) -> bool {
    counter
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < limit).then_some(count + 1)
        })
        .is_ok()
}

/// The room for held requests of one fault in one form, and the bell that lets them go.
#[derive(Debug)]
pub(crate) struct Hold {
    ledger: Arc<Ledger>,
    /// Held requests of the whole process.
    process: Arc<AtomicU64>,
    released: watch::Sender<bool>,
}

impl Hold {
    /// Requests the whole process may hold.
    pub(crate) const PROCESS_MAX: u64 = 10_000;

    pub(crate) fn new(ledger: Arc<Ledger>, process: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            process,
            released: watch::Sender::new(false),
        })
    }

    /// Takes a place, or `None` when the fault holds `max` requests or the process its maximum.
    pub(crate) fn enter(self: &Arc<Self>, max: u64) -> Option<Held> {
        if !take_below(&self.process, Self::PROCESS_MAX) {
            return None;
        }
        if !take_below(&self.ledger.active, max) {
            self.process.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Held(Arc::clone(self)))
    }

    /// Lets all held requests go, and whoever enters later.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

/// One held request's place; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Held(Arc<Hold>);

impl Held {
    pub(crate) async fn released(&self) {
        let mut bell = self.0.released.subscribe();
        bell.wait_for(|released| *released)
            .await
            .expect("the sender lives as long as this place");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.ledger.active.fetch_sub(1, Ordering::AcqRel);
        self.0.process.fetch_sub(1, Ordering::AcqRel);
    }
}
