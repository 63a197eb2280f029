//! The evidence journal: one record for each request that a route carried, and for each connection, kept in memory for a
//! while.
//!
//! Each core has a ring of its own, written by that core alone and read now and then by others, so its lock is free in
//! the usual case. Requests in progress are records too: they are kept beside the ring until they end, and then take the
//! place of the oldest one. Memory of records is used again, so a request allocates nothing once the ring is full, unless
//! faults strike it.
//!
//! All times are µs on one monotonic clock, which begins with the gateway.

mod attempt;
mod body_watch;
mod connection;
mod evidence;
mod reading;
mod ring;

pub use self::{
    attempt::{Attempt, AttemptEnd, AttemptPhase},
    connection::{Connection, ConnectionEnd},
    reading::{JournalPage, JournalQuery, RecordState},
};
pub(crate) use self::{
    attempt::{OnConnection, OpenAttempt},
    body_watch::BodyWatch,
    connection::OpenConnection,
    evidence::retry_after,
};

use std::{
    hash::RandomState,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Instant, SystemTime},
};

use self::ring::Ring;

/// The records of a gateway. Cheap to clone; readable from any thread.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    cores: Arc<[Arc<CoreJournal>]>,
}

/// The part of a journal that one core writes.
#[derive(Debug)]
pub(crate) struct CoreJournal {
    shared: Arc<Shared>,
    attempts: Mutex<Ring<Attempt>>,
    connections: Mutex<Ring<Connection>>,
}

/// What all cores share.
#[derive(Debug)]
struct Shared {
    began: Instant,
    began_at: SystemTime,
    /// The next number of an attempt.
    number: AtomicU64,
    /// The next number of the end of an attempt, from 1.
    seq: AtomicU64,
    /// The next number of the end of a connection, from 1.
    close: AtomicU64,
    /// The next number of a connection, from 1.
    connection: AtomicU64,
    /// Of fingerprints: they can be compared within this process alone, and nobody can look them up in a table.
    hasher: RandomState,
    /// Of content, of which there may be much.
    content_hasher: foldhash::fast::RandomState,
}

impl Journal {
    /// A journal of at least `capacity` ended records of each sort over all `cores`, or none for 0.
    pub(crate) fn new(cores: usize, capacity: usize) -> Option<Self> {
        if capacity == 0 {
            return None;
        }
        let shared = Arc::new(Shared {
            began: Instant::now(),
            began_at: SystemTime::now(),
            number: AtomicU64::new(0),
            seq: AtomicU64::new(1),
            close: AtomicU64::new(1),
            connection: AtomicU64::new(1),
            hasher: RandomState::new(),
            content_hasher: foldhash::fast::RandomState::default(),
        });
        let of_each = capacity.div_ceil(cores.max(1));
        let core = || {
            Arc::new(CoreJournal {
                shared: Arc::clone(&shared),
                attempts: Mutex::new(Ring::new(of_each)),
                connections: Mutex::new(Ring::new(of_each)),
            })
        };
        Some(Self {
            cores: (0..cores.max(1)).map(|_| core()).collect(),
            shared,
        })
    }

    pub(crate) fn core(&self, index: usize) -> Option<Arc<CoreJournal>> {
        self.cores.get(index).cloned()
    }

    /// The wall clock's time when the journal's own clock was 0.
    #[must_use]
    pub fn began_at(&self) -> SystemTime {
        self.shared.began_at
    }

    /// When the journal's own clock was 0.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.shared.began
    }

    /// The journal's clock, in µs.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.micros(Instant::now())
    }
}

impl CoreJournal {
    fn attempts(&self) -> MutexGuard<'_, Ring<Attempt>> {
        // A record is whole, or at least readable, at every point.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Ring<Connection>> {
        (self.connections.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}
