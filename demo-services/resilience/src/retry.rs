//! The retries of one call: whether to try again, and after how long.

use std::time::Duration;

use tower::retry::budget::{Budget as _, TpsBudget};

use crate::{
    chance,
    outcome::{Pushback, Reading},
    policy::RetryPolicy,
};

/// Where a call stands with its retries.
#[derive(Debug)]
pub(crate) struct Retries<'p> {
    policy: Option<&'p RetryPolicy>,
    budget: Option<&'p TpsBudget>,
    /// The client's seed and the number of the call: where the jitter comes from.
    draws: (u64, u64),
    previous_wait: Option<Duration>,
    exhausted: bool,
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Leave it at that.
    End,
    /// Leave it at that, only because the budget is used up.
    NoBudget,
    /// Try again after so long.
    After(Duration),
}

impl<'p> Retries<'p> {
    /// None at all if the policy has none or the call may not be made twice. Every call pays into the budget.
    pub(crate) fn new(
        policy: Option<&'p RetryPolicy>,
        budget: Option<&'p TpsBudget>,
        may_repeat: impl FnOnce(&RetryPolicy) -> bool,
        draws: (u64, u64),
    ) -> Self {
        if let Some(budget) = budget {
            budget.deposit();
        }
        Self {
            policy: policy.filter(|policy| may_repeat(policy)),
            budget,
            draws,
            previous_wait: None,
            exhausted: false,
        }
    }

    /// Whether to try again after `attempts` attempts, the last of which came to this. A wait that would use up
    /// `time_left` is not begun, and one that was not begun takes nothing from the budget.
    pub(crate) fn next(
        &mut self,
        attempts: u32,
        reading: Reading,
        time_left: Option<Duration>,
    ) -> Next {
        let Some(policy) = self.policy.filter(|policy| policy.retries(reading.outcome)) else {
            return Next::End;
        };
        self.exhausted = true;
        if attempts >= policy.max_attempts {
            return Next::End;
        }
        let asked = reading.pushback.filter(|_| policy.honor_retry_after);
        let wait = match asked {
            Some(Pushback::Never) => return Next::End,
            Some(Pushback::After(wait)) if wait > policy.retry_after_max => return Next::End,
            Some(Pushback::After(wait)) => wait,
            None => {
                let (seed, call) = self.draws;
                let mut chance = chance::draw(seed, call, attempts);
                let backoff = &policy.backoff;
                backoff.wait(attempts, self.previous_wait, &mut chance)
            }
        };
        if time_left.is_some_and(|left| left <= wait) {
            return Next::End;
        }
        if self.budget.is_some_and(|budget| !budget.withdraw()) {
            return Next::NoBudget;
        }
        self.exhausted = false;
        self.previous_wait = Some(wait);
        Next::After(wait)
    }

    /// Whether the call ended with an outcome that would have been tried again.
    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted
    }
}
