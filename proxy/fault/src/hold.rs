//! Requests that a fault holds, and their release.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

use crate::{atomics::take_below, counters::FaultCounters};

/// The places for held requests of one revision of a fault, and the signal that releases them.
#[derive(Debug)]
pub(crate) struct Hold {
    counters: Arc<FaultCounters>,
    /// Held requests of the whole process.
    process: Arc<AtomicU64>,
    /// Held requests of this form; [`Hold::RELEASED`] once they were released.
    inside: AtomicU64,
    released: watch::Sender<bool>,
}

impl Hold {
    /// Requests the whole process may hold.
    pub(crate) const PROCESS_MAX: u64 = 10_000;
    const RELEASED: u64 = u64::MAX;

    pub(crate) fn new(counters: Arc<FaultCounters>, process: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            counters,
            process,
            inside: AtomicU64::new(0),
            released: watch::Sender::new(false),
        })
    }

    /// Takes a place, or `None` when the fault holds `max` requests or the process its maximum, or when it was
    /// released already.
    pub(crate) fn enter(self: &Arc<Self>, max: u64) -> Option<Held> {
        if !take_below(&self.process, Self::PROCESS_MAX) {
            return None;
        }
        if !take_below(self.counters.active(), max) {
            self.process.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        if !take_below(&self.inside, Self::RELEASED - 1) {
            self.give_back(1);
            return None;
        }
        Some(Held(Arc::clone(self)))
    }

    /// Releases all held requests and gives back their places at once: some may take long to notice, such as one
    /// whose client has stopped reading.
    pub(crate) fn release(&self) {
        match self.inside.swap(Self::RELEASED, Ordering::AcqRel) {
            Self::RELEASED => {}
            held => self.give_back(held),
        }
        self.released.send_replace(true);
    }

    fn give_back(&self, places: u64) {
        self.counters.active().fetch_sub(places, Ordering::AcqRel);
        self.process.fetch_sub(places, Ordering::AcqRel);
    }
}

/// One held request's place; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Held(Arc<Hold>);

impl Drop for Held {
    fn drop(&mut self) {
        let left = |inside: u64| (inside != Hold::RELEASED).then(|| inside.saturating_sub(1));
        let inside = &self.0.inside;
        if inside
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, left)
            .is_ok()
        {
            self.0.give_back(1);
        }
    }
}

/// Tells when a fault is removed, expires or is given other parameters of its kind: then it releases what it holds.
///
/// It may be kept for as long as one likes, also longer than the fault.
#[derive(Debug, Clone)]
pub struct Released(watch::Receiver<bool>);

impl Released {
    pub(crate) fn of(hold: &Hold) -> Self {
        Self(hold.released.subscribe())
    }

    /// Whether it has happened.
    #[must_use]
    pub fn has_happened(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it happens; at once if it has happened.
    pub async fn wait(mut self) {
        // The sender is dropped only after the fault was released.
        drop(self.0.wait_for(|released| *released).await);
    }
}
