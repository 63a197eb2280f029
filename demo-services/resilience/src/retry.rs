//! The retries of one call: whether to try again, and after how long.

use std::time::Duration;

use crate::{chance, outcome::Outcome, policy::RetryPolicy};

/// Where a call stands with its retries.
#[derive(Debug)]
pub(crate) struct Retries<'p> {
    policy: Option<&'p RetryPolicy>,
    /// The client's seed and the number of the call: where the jitter comes from.
    draws: (u64, u64),
    previous_wait: Option<Duration>,
    exhausted: bool,
}

impl<'p> Retries<'p> {
    /// None at all if the policy has none or the method may not be called twice.
    pub(crate) fn new(policy: Option<&'p RetryPolicy>, method: &str, draws: (u64, u64)) -> Self {
        Self {
            policy: policy.filter(|policy| policy.allows(method)),
            draws,
            previous_wait: None,
            exhausted: false,
        }
    }

    /// How long to wait before trying again after `attempts` attempts, the last of which came to `outcome`; none to
    /// leave it at that. A wait that would use up `time_left` is not begun.
    pub(crate) fn next_wait(
        &mut self,
        attempts: u32,
        outcome: Outcome,
        time_left: Option<Duration>,
    ) -> Option<Duration> {
        let policy = self.policy.filter(|policy| policy.retries(outcome))?;
        self.exhausted = true;
        if attempts >= policy.max_attempts {
            return None;
        }
        let (seed, call) = self.draws;
        let mut chance = chance::draw(seed, call, attempts);
        let wait = policy
            .backoff
            .wait(attempts, self.previous_wait, &mut chance);
        if time_left.is_some_and(|left| left <= wait) {
            return None;
        }
        self.exhausted = false;
        self.previous_wait = Some(wait);
        Some(wait)
    }

    /// Whether the call ended with an outcome that would have been tried again.
    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted
    }
}
