//! Who has a place, since when it is idle, and who makes room.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// One connection in so many has a kept place.
const KEPT_SHARE: usize = 8;
/// How long a connection may be without a call: longer than for a head, for an answer that is still being read.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a call may take: its body, its work, and its answer.
const CALL_MAX: Duration = Duration::from_secs(60);

/// The address that a call came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What is served on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Every call.
    Usual,
    /// A halt, or a sign of life.
    Kept,
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    usual_max: usize,
    kept_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by: HashMap<u64, Arc<Usage>>,
}

/// How one connection uses its place.
#[derive(Debug)]
pub(super) struct Usage {
    peer: SocketAddr,
    place: Place,
    now: Mutex<Now>,
    cut: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Now {
    in_call: bool,
    since: Instant,
}

/// A place of a connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot {
    places: Arc<Places>,
    number: u64,
    usage: Arc<Usage>,
}

impl Places {
    pub(super) fn new(connections_max: usize) -> Self {
        let kept_max = (connections_max / KEPT_SHARE).max(1);
        Self {
            usual_max: connections_max.saturating_sub(kept_max).max(1),
            kept_max,
            taken: Mutex::default(),
        }
    }

    /// A place for a new connection; the one that was idle for longest makes room if all are taken.
    pub(super) fn take(self: &Arc<Self>, peer: SocketAddr) -> Slot {
        let mut taken = self.taken();
        let place = match taken.has_room(Place::Usual, self.usual_max) {
            true => Place::Usual,
            false => Place::Kept,
        };
        if place == Place::Kept && !taken.has_room(Place::Kept, self.kept_max) {
            taken.evict(|usage, _| usage.place == Place::Kept);
        }
        let usage = Arc::new(Usage {
            peer,
            place,
            now: Mutex::new(Now {
                in_call: false,
                since: Instant::now(),
            }),
            cut: CancellationToken::new(),
        });
        let number = taken.next;
        taken.next += 1;
        taken.by.insert(number, Arc::clone(&usage));
        Slot {
            places: Arc::clone(self),
            number,
            usage,
        }
    }

    /// Cuts the connection that was idle for longest.
    pub(super) fn make_room(&self) {
        self.taken().evict(|_, now| !now.in_call);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Whether there is room for one more; made by an idle connection if there is one.
    fn has_room(&mut self, place: Place, max: usize) -> bool {
        let taken = self.by.values().filter(|usage| usage.place == place);
        taken.count() < max || self.evict(|usage, now| usage.place == place && !now.in_call)
    }

    /// Cuts the one that is as it is for longest, of those that fit. Whether there was one.
    fn evict(&mut self, fits: impl Fn(&Usage, Now) -> bool) -> bool {
        let candidates = self
            .by
            .iter()
            .map(|(number, usage)| (number, usage, usage.now()));
        let longest = candidates
            .filter(|(_, usage, now)| fits(usage, *now))
            .min_by_key(|(number, _, now)| (now.since, **number))
            .map(|(number, ..)| *number);
        let Some(usage) = longest.and_then(|number| self.by.remove(&number)) else {
            return false;
        };
        usage.cut.cancel();
        true
    }
}

impl Usage {
    pub(super) fn peer(&self) -> Peer {
        Peer(self.peer)
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The head of a call was read.
    pub(super) fn begin(&self) {
        self.set(true);
    }

    /// The answer was handed to the connection whole.
    pub(super) fn end(&self) {
        self.set(false);
    }

    fn set(&self, in_call: bool) {
        let since = Instant::now();
        *self.lock() = Now { in_call, since };
    }

    fn now(&self) -> Now {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage)
    }

    /// Waits until the connection must make room, or has been too long at one thing.
    pub(super) async fn must_go(&self) {
        let overdue = async {
            loop {
                let now = self.usage.now();
                let limit = match now.in_call {
                    true => CALL_MAX,
                    false => IDLE_MAX,
                };
                sleep_until(now.since + limit).await;
                if self.usage.now() == now {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.usage.cut.cancelled() => {}
            () = overdue => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.places.taken().by.remove(&self.number);
    }
}
