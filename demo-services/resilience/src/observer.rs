//! Watching a call while it goes on.

use std::time::Duration;

use crate::{
    breaker::Rejected,
    client::Attempt,
    guards::Guard,
    outcome::Outcome,
    report::{Cause, Report},
};

/// Hears what happens in one call, in order. Every method does nothing unless written.
///
/// `()` is the observer that hears nothing and costs nothing. A call that is dropped says no more to its observer:
/// what must be ended then, an observer ends in its own `Drop`. What happens to a breaker, its
/// [`Listener`](crate::Listener) hears.
pub trait Observer {
    /// An attempt is about to start, or a hedge of one.
    fn attempt_started(&mut self, attempt: Attempt) {
        let _ = attempt;
    }

    /// An attempt has ended; a timeout counts as [`ErrorKind::Timeout`](crate::ErrorKind::Timeout).
    fn attempt_ended(&mut self, attempt: Attempt, outcome: Outcome) {
        let _ = (attempt, outcome);
    }

    /// The breaker refused an attempt: nothing was sent.
    fn rejected(&mut self, rejected: Rejected) {
        let _ = rejected;
    }

    /// A request was dropped because another one of its attempt was answered first. One that runs out of time is not
    /// told of: the attempt has ended, and with it all its requests.
    fn attempt_cancelled(&mut self, attempt: Attempt) {
        let _ = attempt;
    }

    /// A guard other than the breaker refused an attempt: nothing was sent.
    fn refused(&mut self, guard: Guard) {
        let _ = guard;
    }

    /// There will be no further attempt, only because the budget for retries is used up.
    fn retry_budget_exhausted(&mut self) {}

    /// There will be another attempt after `wait`.
    fn backing_off(&mut self, after: Attempt, wait: Duration) {
        let _ = (after, wait);
    }

    /// The fallback took the place of an answer.
    fn fell_back(&mut self, cause: Cause) {
        let _ = cause;
    }

    /// The call is over.
    fn ended(&mut self, report: &Report) {
        let _ = report;
    }
}

impl Observer for () {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn attempt_started(&mut self, attempt: Attempt) {
        (**self).attempt_started(attempt);
    }

    fn attempt_ended(&mut self, attempt: Attempt, outcome: Outcome) {
        (**self).attempt_ended(attempt, outcome);
    }

    fn rejected(&mut self, rejected: Rejected) {
        (**self).rejected(rejected);
    }

    fn attempt_cancelled(&mut self, attempt: Attempt) {
        (**self).attempt_cancelled(attempt);
    }

    fn refused(&mut self, guard: Guard) {
        (**self).refused(guard);
    }

    fn retry_budget_exhausted(&mut self) {
        (**self).retry_budget_exhausted();
    }

    fn backing_off(&mut self, after: Attempt, wait: Duration) {
        (**self).backing_off(after, wait);
    }

    fn fell_back(&mut self, cause: Cause) {
        (**self).fell_back(cause);
    }

    fn ended(&mut self, report: &Report) {
        (**self).ended(report);
    }
}
