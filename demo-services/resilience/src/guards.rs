//! What stands between a client and its dependency besides the breaker, shared by all workers of the client.

mod adaptive;
mod bulkhead;
mod hedging;
mod rate;

use std::time::Duration;

use tower::retry::budget::TpsBudget;

pub(crate) use self::hedging::Hedging;
use self::{adaptive::Adaptive, bulkhead::Bulkhead, rate::RateLimiter};
use crate::{outcome::Outcome, policy::Policy};

/// A protection that refused a call without sending anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Guard {
    /// `[rate_limit]`: no permit in time.
    #[error("there were too many calls in this period")]
    RateLimit,
    /// `[bulkhead]`: no place in time.
    #[error("there are too many calls at once")]
    Bulkhead,
    /// `[adaptive]`: above the present bound.
    #[error("there are more calls at once than are answered quickly")]
    Adaptive,
}

impl Guard {
    /// The word in spans and metrics: `rate_limited`, `bulkhead_full`, `load_shed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limited",
            Self::Bulkhead => "bulkhead_full",
            Self::Adaptive => "load_shed",
        }
    }
}

/// The guards that a policy wants.
#[derive(Debug)]
pub(crate) struct Guards {
    pub(crate) retry_budget: Option<TpsBudget>,
    pub(crate) hedging: Option<Hedging>,
    rate: Option<RateLimiter>,
    bulkhead: Option<Bulkhead>,
    adaptive: Option<Adaptive>,
}

/// A place for one attempt or hedge; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Place<'g> {
    _bulkhead: Option<bulkhead::Place<'g>>,
    adaptive: Option<adaptive::Place<'g>>,
}

impl Guards {
    pub(crate) fn new(policy: &Policy) -> Self {
        let budget = policy.retry.as_ref().and_then(|retry| retry.budget);
        Self {
            retry_budget: budget
                .map(|budget| TpsBudget::new(budget.ttl, budget.min_per_sec, budget.ratio)),
            hedging: policy.hedge.as_ref().map(Hedging::new),
            rate: policy.rate_limit.map(RateLimiter::starting_now),
            bulkhead: policy.bulkhead.as_ref().map(Bulkhead::new),
            adaptive: policy.adaptive.as_ref().map(Adaptive::new),
        }
    }

    /// Waits for the rate limit's permit, at most for `time_left`.
    pub(crate) async fn permit(&self, time_left: Option<Duration>) -> Result<(), Guard> {
        match &self.rate {
            Some(rate) if rate.acquire(time_left).await => Ok(()),
            Some(_) => Err(Guard::RateLimit),
            None => Ok(()),
        }
    }

    /// Waits for a place in the bulkhead, at most for `time_left`, and then under the adaptive bound, which never
    /// waits.
    pub(crate) async fn enter(&self, time_left: Option<Duration>) -> Result<Place<'_>, Guard> {
        let bulkhead = match &self.bulkhead {
            Some(bulkhead) => Some(bulkhead.enter(time_left).await.ok_or(Guard::Bulkhead)?),
            None => None,
        };
        self.enter_adaptive(bulkhead)
    }

    /// As [`enter`](Self::enter), without waiting: a hedge is worth sending only where there is room.
    pub(crate) fn try_enter(&self) -> Result<Place<'_>, Guard> {
        let bulkhead = match &self.bulkhead {
            Some(bulkhead) => Some(bulkhead.try_enter().ok_or(Guard::Bulkhead)?),
            None => None,
        };
        self.enter_adaptive(bulkhead)
    }

    fn enter_adaptive<'g>(
        &'g self,
        bulkhead: Option<bulkhead::Place<'g>>,
    ) -> Result<Place<'g>, Guard> {
        let adaptive = match &self.adaptive {
            Some(adaptive) => Some(adaptive.enter().ok_or(Guard::Adaptive)?),
            None => None,
        };
        Ok(Place {
            _bulkhead: bulkhead,
            adaptive,
        })
    }

    pub(crate) fn levels(&self) -> Levels {
        Levels {
            bulkhead_free: self.bulkhead.as_ref().map(Bulkhead::free),
            concurrency_limit: self.adaptive.as_ref().map(Adaptive::limit),
            rate_permits: self.rate.as_ref().map(RateLimiter::permits),
            rate_waiting: self.rate.as_ref().map(RateLimiter::waiting),
            rate_wait: self.rate.as_ref().map(RateLimiter::wait_for_one),
        }
    }
}

impl Place<'_> {
    /// Gives the place back with what the attempt came to, from which the adaptive bound learns.
    pub(crate) fn leave(self, outcome: Outcome) {
        if let Some(place) = self.adaptive {
            place.leave(outcome);
        }
    }
}

/// How much room a client's guards have at this moment; none where there is no such guard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// Free places in the bulkhead.
    pub bulkhead_free: Option<u32>,
    /// The adaptive bound.
    pub concurrency_limit: Option<u32>,
    /// Permits that are left in this period; negative while calls wait for permits of later ones.
    pub rate_permits: Option<i64>,
    /// Calls that wait for a permit.
    pub rate_waiting: Option<u32>,
    /// How long a call that came now would wait for its permit, if it could wait as long as it takes.
    pub rate_wait: Option<Duration>,
}
