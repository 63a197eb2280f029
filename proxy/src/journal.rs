//! The evidence journal: one record for each request that a route carried, and for each connection, kept in memory for a
//! while.
//!
//! Each core has records of its own, written by that core alone and read now and then by others, so its lock is free in
//! the usual case; a request takes it three times: when it begins, when its answer does and when it ends. Until then its
//! record is beside that of its connection. When it ends it is written once behind those that ended before, in a packed
//! form, and the oldest makes room without being touched: a request is to touch few lines of memory.
//!
//! All times are µs on one monotonic clock, which begins with the gateway.

mod attempt;
mod body_watch;
mod connection;
mod ended;
mod evidence;
mod open;
mod packed;
mod reading;

pub(crate) use self::{
    attempt::{AnswerBegins, OnConnection, OpenAttempt},
    body_watch::BodyWatch,
    connection::{ByteCount, ConnectionBytes, OpenConnection, OpenStream},
    evidence::retry_after,
};
pub use self::{
    attempt::{Attempt, AttemptEnd, AttemptPhase},
    connection::{Connection, ConnectionEnd},
    reading::{JournalPage, JournalQuery, RecordState},
};

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Instant, SystemTime},
};

use self::{
    attempt::PackedAttempt,
    connection::PackedConnection,
    ended::Ended,
    evidence::Hashes,
    open::{InProgress, OpenConnections},
};

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
    /// As the journal's, here so that cores do not share a line of memory that is written.
    began: Instant,
    hashes: Hashes,
    records: Mutex<CoreRecords>,
}

/// The records of one core.
#[derive(Debug)]
struct CoreRecords {
    /// Open connections and their requests in progress.
    open: OpenConnections,
    /// Requests that ended.
    attempts: Ended<PackedAttempt>,
    /// Connections that ended.
    connections: Ended<PackedConnection>,
}

/// What all cores share.
#[derive(Debug)]
struct Shared {
    began: Instant,
    began_at: SystemTime,
    numbers: Numbers,
}

/// The next numbers of all sorts. All cores write them.
#[derive(Debug)]
#[repr(align(128))]
struct Numbers {
    /// Of an attempt, from 0.
    attempt: AtomicU64,
    /// Of the end of an attempt, from 1.
    attempt_end: AtomicU64,
    /// Of a connection, from 1.
    connection: AtomicU64,
    /// Of the end of a connection, from 1.
    connection_end: AtomicU64,
}

impl Journal {
    /// A journal of at least `capacity` ended records of each sort over all `cores`, or none for 0.
    pub(crate) fn new(cores: usize, capacity: usize) -> Option<Self> {
        if capacity == 0 {
            return None;
        }
        let began = Instant::now();
        let shared = Arc::new(Shared {
            began,
            began_at: SystemTime::now(),
            numbers: Numbers {
                attempt: AtomicU64::new(0),
                attempt_end: AtomicU64::new(1),
                connection: AtomicU64::new(1),
                connection_end: AtomicU64::new(1),
            },
        });
        let hashes = Hashes::new();
        let of_each = capacity.div_ceil(cores.max(1));
        let core = || {
            Arc::new(CoreJournal {
                shared: Arc::clone(&shared),
                began,
                hashes: hashes.clone(),
                records: Mutex::new(CoreRecords {
                    open: OpenConnections::default(),
                    attempts: Ended::new(of_each),
                    connections: Ended::new(of_each),
                }),
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
        micros(self.shared.began, Instant::now())
    }
}

impl CoreJournal {
    fn records(&self) -> MutexGuard<'_, CoreRecords> {
        // A record is whole, or at least readable, at every point.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record of the request in progress on the connection at this place.
    fn change_attempt(&self, place: usize, change: impl FnOnce(&mut InProgress)) {
        let mut records = self.records();
        let attempt = (records.open.at(place)).and_then(|open| open.attempt.as_mut());
        if let Some(attempt) = attempt {
            change(attempt);
        }
    }

    fn numbers(&self) -> &Numbers {
        &self.shared.numbers
    }

    /// This time on the journal's clock.
    fn micros(&self, at: Instant) -> u64 {
        micros(self.began, at)
    }
}

fn micros(began: Instant, at: Instant) -> u64 {
    let since = at.saturating_duration_since(began);
    // `as_micros` counts in 128 bits, and no process runs for so long.
    (since.as_secs().saturating_mul(1_000_000)).saturating_add(since.subsec_micros().into())
}
