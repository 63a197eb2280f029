//! Who gets the lock next: the red button waits for one other call at most.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::State;

/// How a caller takes the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all who queue: calls that are short and may not wait.
    First,
    /// One at a time, and behind those who come first: calls that may take some milliseconds.
    Queued,
}

/// The state and its lock.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// Held by the one caller of the queue that has, or waits for, the lock.
    queue: Mutex<()>,
    /// How many wait who come first.
    first: AtomicUsize,
}

/// The lock, held.
#[derive(Debug)]
pub(super) struct Locked<'s> {
    // Given back in this order.
    state: MutexGuard<'s, State>,
    _queue: Option<MutexGuard<'s, ()>>,
}

impl Turns {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            queue: Mutex::default(),
            first: AtomicUsize::new(0),
        }
    }

    pub(super) fn take(&self, turn: Turn) -> Locked<'_> {
        match turn {
            Turn::First => {
                self.first.fetch_add(1, Ordering::SeqCst);
                let state = self.lock();
                self.first.fetch_sub(1, Ordering::SeqCst);
                Locked {
                    state,
                    _queue: None,
                }
            }
            Turn::Queued => {
                let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                while self.first.load(Ordering::SeqCst) > 0 {
                    thread::yield_now();
                }
                Locked {
                    state: self.lock(),
                    _queue: Some(queue),
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the store is whole, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
