//! When a fault begins to act and when it expires.

use std::time::{Duration, Instant, SystemTime};

/// A point in time on both clocks: `instant` decides, `wall` is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock, on which starts and ends are measured.
    pub instant: Instant,
    /// The wall clock, shown in answers.
    pub wall: SystemTime,
}

impl Moment {
    pub(crate) fn after(self, span: Duration) -> Self {
        Self {
            instant: self.instant + span,
            wall: self.wall + span,
        }
    }
}

/// The span in which a fault may act, from its `start` to the end of its `ttl`. Both are counted from arming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) starts_at: Moment,
    pub(crate) expires_at: Option<Moment>,
}

impl Lifetime {
    pub(crate) fn new(armed_at: Moment, start: Duration, ttl: Option<Duration>) -> Self {
        Self {
            starts_at: armed_at.after(start),
            expires_at: ttl.map(|ttl| armed_at.after(ttl)),
        }
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|end| now >= end.instant)
    }

    /// The time until the end, if there is one.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let end = self.expires_at?;
        Some(end.instant.saturating_duration_since(now))
    }

    pub(crate) fn is_on(&self, now: Instant) -> bool {
        now >= self.starts_at.instant && !self.is_over(now)
    }
}

/// What a fault is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Armed; its `start` is still to come.
    Waiting,
    /// In force.
    Active,
    /// Its `limit` of injections is used up; it stays listed until its ttl.
    Spent,
    /// Its ttl is over; it is about to be forgotten.
    Expired,
    /// It is armed no more; what it did is kept for a while.
    Ended,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Active,
        Self::Spent,
        Self::Expired,
        Self::Ended,
    ];

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The word the API uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}
