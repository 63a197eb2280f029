//! `[timeout]`

use std::time::Duration;

use super::{
    Refusal, Written,
    section::{Section, boolean, duration_or_none},
    show,
};

const MIN: Duration = Duration::from_millis(1);
const MAX: Duration = Duration::from_secs(60 * 60);

/// `[timeout]`: how long to wait for an answer. At least one of the two must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeoutPolicy {
    /// `attempt`: how long one attempt may take. Default `"none"`; from 1 ms to 1 h.
    pub attempt: Option<Duration>,
    /// `total`: how long the whole call may take, with all its attempts and the waits between. An attempt gets what is
    /// left of it, and a retry that could not start in time is not waited for. Default `"none"`; from 1 ms to 1 h,
    /// not below `attempt`.
    pub total: Option<Duration>,
    /// `propagate`: whether a request says in a header how much time is left for it
    /// ([`time_left::HEADER`](crate::time_left::HEADER)), so that the other side can drop what nobody waits for any
    /// more. A call made under somebody else's deadline always says so. Default false.
    pub propagate: bool,
}

impl TimeoutPolicy {
    pub(super) fn read(mut section: Section<'_, '_>, base: Self) -> Self {
        let policy = Self {
            attempt: section
                .get("attempt", duration_or_none)
                .unwrap_or(base.attempt),
            total: section.get("total", duration_or_none).unwrap_or(base.total),
            propagate: section.get("propagate", boolean).unwrap_or(base.propagate),
        };
        let given = section.has("attempt") || section.has("total");
        if !given && base.attempt.is_none() && base.total.is_none() {
            section.refuse("", "needs `attempt`, `total` or both");
        }
        section.finish_with(policy, Self::refusals, &[("timeout_duration", "attempt")])
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let outside = |limit: Option<Duration>| limit.and_then(|it| show::outside(it, MIN..=MAX));
        let mut found = Vec::new();
        found.extend(outside(self.attempt).map(|why| ("attempt", why)));
        found.extend(outside(self.total).map(|why| ("total", why)));
        if let (Some(attempt), Some(total)) = (self.attempt, self.total)
            && attempt > total
        {
            let [attempt, total] = [attempt, total].map(show::duration);
            found.push(("attempt", format!("{attempt} is above `total` ({total})")));
        }
        found
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("timeout");
        out.text("attempt", &show::duration_or_none(self.attempt));
        out.text("total", &show::duration_or_none(self.total));
        out.plain("propagate", self.propagate);
    }
}
