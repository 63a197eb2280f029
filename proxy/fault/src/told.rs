//! Who was told to wait, and who came back before.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::subject::Subject;

/// One client's requests for one path: a client that asks for something else meanwhile is not early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asker(u64);

impl Asker {
    /// The client is known by its IP address.
    pub(crate) fn of(subject: &Subject<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        (subject.route, subject.peer.ip(), subject.path).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Those whom one fault told to wait, up to 10,000 at a time; more are not watched.
#[derive(Debug, Default)]
pub(crate) struct ToldToWait {
    /// Whether anybody was told.
    has_told: AtomicBool,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    until: HashMap<Asker, Instant>,
    /// When those whose time is over were forgotten last.
    swept: Option<Instant>,
}

impl ToldToWait {
    const WATCHED_MAX: usize = 10_000;
    const SWEEP: Duration = Duration::from_secs(1);

    /// Whether anybody was told.
    pub(crate) fn has_told(&self) -> bool {
        self.has_told.load(Ordering::Relaxed)
    }

    /// Notes that `asker` was told now to wait so long.
    pub(crate) fn tell(&self, asker: Asker, wait: Duration, now: Instant) {
        self.has_told.store(true, Ordering::Relaxed);
        let Some(until) = now.checked_add(wait) else {
            return;
        };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.until.len() >= Self::WATCHED_MAX {
            let swept = watched
                .swept
                .map(|swept| now.saturating_duration_since(swept));
            if swept.is_none_or(|ago| ago >= Self::SWEEP) {
                watched.swept = Some(now);
                watched.until.retain(|_, until| *until > now);
            }
        }
        if watched.until.len() < Self::WATCHED_MAX || watched.until.contains_key(&asker) {
            watched.until.insert(asker, until);
        }
    }

    /// Whether a request of `asker` that comes now is too early.
    pub(crate) fn is_early(&self, asker: Asker, now: Instant) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = watched.until.get(&asker) else {
            return false;
        };
        let is_early = now < *until;
        if !is_early {
            watched.until.remove(&asker);
        }
        is_early
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a beginning of time for tests")]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    #[test]
    fn each_return_before_the_time_is_early_and_none_after_it() {
        let told = ToldToWait::default();
        let began = Instant::now();
        assert!(!told.has_told());

        told.tell(Asker(1), WAIT, began);

        assert!(told.has_told());
        let is_early =
            |asker, after| told.is_early(Asker(asker), began + Duration::from_secs(after));
        assert!(is_early(1, 0) && is_early(1, 9));
        assert!(!is_early(2, 0), "another");
        assert!(!is_early(1, 10) && !is_early(1, 9), "it was forgotten");
    }

    #[test]
    fn a_wait_of_nothing_makes_nobody_early() {
        let told = ToldToWait::default();
        let now = Instant::now();

        told.tell(Asker(1), Duration::ZERO, now);

        assert!(!told.is_early(Asker(1), now));
    }

    #[test]
    fn those_whose_time_is_over_make_room() {
        let told = ToldToWait::default();
        let began = Instant::now();
        for asker in 0..ToldToWait::WATCHED_MAX as u64 {
            told.tell(Asker(asker), WAIT, began);
        }
        told.tell(Asker(1_000_000), WAIT, began);
        assert!(!told.is_early(Asker(1_000_000), began), "there was no room");

        told.tell(Asker(1_000_001), WAIT, began + WAIT);

        assert!(told.is_early(Asker(1_000_001), began + WAIT));
    }
}
