//! What happened, for those who listen: the last events, and how to wait for more.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use brownout_wire::EventRecord;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{OpError, Ops};

/// The clock of records and events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) began: Instant,
    pub(crate) began_at: SystemTime,
}

impl Clock {
    pub(crate) fn micros(self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Keeps the last events. Whoever tells one never waits for those who listen.
#[derive(Debug)]
pub(super) struct Events {
    kept: Mutex<Kept>,
    /// The number of the last one.
    newest: watch::Sender<u64>,
    listeners: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<EventRecord>>,
    /// The number of the last one.
    last: u64,
}

impl Events {
    /// So many are kept for readers that are slow or come back.
    const KEPT_MAX: usize = 4_096;
    const LISTENERS_MAX: usize = 16;

    pub(super) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            newest: watch::channel(0).0,
            listeners: Arc::new(Semaphore::new(Self::LISTENERS_MAX)),
        }
    }

    pub(super) fn tell(&self, event: EventRecord) {
        let mut kept = self.kept();
        kept.last += 1;
        let seq = kept.last;
        if kept.events.len() >= Self::KEPT_MAX {
            kept.events.pop_front();
        }
        kept.events.push_back(Arc::new(EventRecord {
            seq: Some(seq),
            ..event
        }));
        drop(kept);
        self.newest.send_replace(seq);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `max` events behind the one with the number `after`, and how many behind it are kept no more.
    fn read(&self, after: u64, max: usize) -> (u64, Vec<Arc<EventRecord>>) {
        let kept = self.kept();
        let first = kept.last + 1 - kept.events.len() as u64;
        let from = (after + 1).max(first);
        let at = usize::try_from(from - first).unwrap_or(usize::MAX);
        let events = kept.events.iter().skip(at).take(max).cloned().collect();
        (from - after - 1, events)
    }
}

/// Somebody who listens. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Listener {
    ops: Ops,
    /// The number of the last event that was given.
    after: u64,
    newest: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// So many are given at a time.
    const AT_ONCE: usize = 64;

    /// What to begin with: the clock.
    pub(crate) fn clock(&self) -> EventRecord {
        let clock = self.ops.clock();
        EventRecord {
            t_us: clock.micros(Instant::now()),
            event: EventRecord::CLOCK.to_owned(),
            began_unix_us: Some(crate::requests::unix_micros(clock.began_at)),
            ..EventRecord::default()
        }
    }

    /// Waits for events that were not given yet. Begins with one that tells how many were lost, if there are any.
    pub(crate) async fn next(&mut self) -> Vec<Arc<EventRecord>> {
        // The sender lives as long as `ops`.
        let after = self.after;
        drop(self.newest.wait_for(|newest| *newest > after).await);
        let (lost, mut events) = self.ops.0.events.read(self.after, Self::AT_ONCE);
        if let Some(last) = events.last().and_then(|event| event.seq) {
            self.after = last;
        }
        if lost > 0 {
            let told = EventRecord {
                t_us: self.ops.clock().micros(Instant::now()),
                event: EventRecord::LOST.to_owned(),
                lost: Some(lost),
                ..EventRecord::default()
            };
            events.insert(0, Arc::new(told));
        }
        events
    }
}

impl Ops {
    /// Listens to events behind the one with the number `after`, by default to those from now on.
    ///
    /// # Errors
    /// When too many listen.
    pub(crate) fn listen(&self, after: Option<u64>) -> Result<Listener, OpError> {
        let place = Arc::clone(&self.0.events.listeners).try_acquire_owned();
        let place = place.map_err(|_| {
            let max = Events::LISTENERS_MAX;
            OpError::TooMany(format!("{max} listen to events, which is as many as may"))
        })?;
        let newest = self.0.events.newest.subscribe();
        let last = *newest.borrow();
        Ok(Listener {
            ops: self.clone(),
            // The process may have been started again: its numbers begin anew.
            after: after.filter(|after| *after <= last).unwrap_or(last),
            newest,
            _place: place,
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        self.0.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_told_how_many_made_room_for_others() {
        let events = Events::new();
        for _ in 0..Events::KEPT_MAX + 10 {
            events.tell(EventRecord::default());
        }

        let (lost, read) = events.read(3, 5);

        let numbers: Vec<_> = read.iter().filter_map(|event| event.seq).collect();
        assert_eq!((lost, numbers), (7, vec![11, 12, 13, 14, 15]));
        assert_eq!(events.read(Events::KEPT_MAX as u64 + 10, 5).1, []);
    }
}
