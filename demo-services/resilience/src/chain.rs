//! The chain of protections around a call, in its two orders.
//!
//! Each order is written out by hand, so that it can be read from top to bottom and nothing is boxed. The total timeout
//! is no layer of its own: it shortens the last attempt and the waits.

use tokio::time::sleep;

use crate::{
    breaker::{Permit, Rejected, State},
    client::{Attempt, CallError, Called, Client},
    deadline::{Deadline, TimeoutError, within},
    fallback::Fallback,
    observer::Observer,
    outcome::{ErrorKind, Outcome},
    report::{Answer, Cause, Report, RetryEnd},
    retry::Retries,
};

/// One call on its way.
pub(crate) struct Run<'c, O, C, P> {
    client: &'c Client,
    observer: O,
    classify: C,
    operation: P,
    deadline: Deadline,
    retries: Retries<'c>,
    attempt: Attempt,
    breaker_state: Option<State>,
}

/// How the last attempt ended.
pub(crate) enum Ending<T, E> {
    Answered(Result<T, E>, Outcome),
    TimedOut(TimeoutError),
    Rejected(Rejected),
}

impl<T, E> Ending<T, E> {
    /// What it came to; none if nothing was sent.
    fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Answered(_, outcome) => Some(*outcome),
            Self::TimedOut(_) => Some(Outcome::Error(ErrorKind::Timeout)),
            Self::Rejected(_) => None,
        }
    }
}

impl<'c, T, E, O, C, P, F> Run<'c, O, C, P>
where
    O: Observer,
    C: Fn(&Result<T, E>) -> Outcome,
    P: FnMut(Attempt) -> F,
    F: Future<Output = Result<T, E>>,
{
    pub(crate) fn new(
        client: &'c Client,
        method: &str,
        observer: O,
        classify: C,
        operation: P,
    ) -> Self {
        let policy = client.policy();
        Self {
            client,
            observer,
            classify,
            operation,
            deadline: Deadline::after(policy.timeout.total),
            retries: Retries::new(policy.retry.as_ref(), method, client.next_draws()),
            attempt: Attempt {
                number: 0,
                time_limit: None,
            },
            breaker_state: None,
        }
    }

    /// Retry around breaker around attempt. A refusal is not tried again.
    pub(crate) async fn resilience4j(&mut self) -> Ending<T, E> {
        loop {
            let ending = match self.admit() {
                Ok(permit) => {
                    let ending = self.attempt().await;
                    self.record(permit, &ending);
                    ending
                }
                Err(rejected) => Ending::Rejected(rejected),
            };
            if !self.back_off(&ending).await {
                return ending;
            }
        }
    }

    /// Breaker around retry around attempt.
    pub(crate) async fn original(&mut self) -> Ending<T, E> {
        let permit = match self.admit() {
            Ok(permit) => permit,
            Err(rejected) => return Ending::Rejected(rejected),
        };
        loop {
            let ending = self.attempt().await;
            if !self.back_off(&ending).await {
                self.record(permit, &ending);
                return ending;
            }
        }
    }

    /// Asks the breaker. Without one, all is admitted and there is no permit.
    fn admit(&mut self) -> Result<Option<Permit<'c>>, Rejected> {
        let Some(breaker) = self.client.breaker() else {
            return Ok(None);
        };
        match breaker.try_acquire() {
            Ok(permit) => {
                self.breaker_state = Some(permit.state());
                Ok(Some(permit))
            }
            Err(rejected) => {
                self.breaker_state = Some(rejected.state);
                self.observer.rejected(rejected);
                Err(rejected)
            }
        }
    }

    fn record(&self, permit: Option<Permit<'_>>, ending: &Ending<T, E>) {
        let policy = self.client.policy().breaker.as_ref();
        if let (Some(permit), Some(policy), Some(outcome)) = (permit, policy, ending.outcome()) {
            permit.record(policy.verdict(outcome));
        }
    }

    async fn attempt(&mut self) -> Ending<T, E> {
        let limit = self.deadline.limit(self.client.policy().timeout.attempt);
        self.attempt = Attempt {
            number: self.attempt.number + 1,
            time_limit: limit.map(|(limit, _)| limit),
        };
        self.observer.attempt_started(self.attempt);
        let ending = match within(limit, (self.operation)(self.attempt)).await {
            Ok(result) => {
                let outcome = (self.classify)(&result);
                Ending::Answered(result, outcome)
            }
            Err(error) => Ending::TimedOut(error),
        };
        if let Some(outcome) = ending.outcome() {
            self.observer.attempt_ended(self.attempt, outcome);
        }
        ending
    }

    /// Waits for the next attempt, if there shall be one.
    async fn back_off(&mut self, ending: &Ending<T, E>) -> bool {
        let Some(outcome) = ending.outcome() else {
            return false;
        };
        let time_left = self.deadline.time_left();
        let attempts = self.attempt.number;
        let Some(wait) = self.retries.next_wait(attempts, outcome, time_left) else {
            return false;
        };
        self.observer.backing_off(self.attempt, wait);
        sleep(wait).await;
        true
    }

    /// Turns the last ending into what the caller gets, the fallback if need be.
    pub(crate) fn conclude(
        mut self,
        ending: Ending<T, E>,
        fallback: impl Fallback<T>,
    ) -> Called<T, E> {
        let policy = self.client.policy();
        let exhausted = self.retries.exhausted();
        let attempts = self.attempt.number;
        let cause = ending.outcome().map_or(Cause::Rejected, Cause::Outcome);
        let failed = match &ending {
            Ending::Answered(Ok(_), outcome) => exhausted || outcome.is_failure(),
            Ending::Answered(Err(_), _) | Ending::TimedOut(_) | Ending::Rejected(_) => true,
        };
        let unusable = policy.fallback.is_some_and(|policy| match &ending {
            Ending::Answered(Ok(_), Outcome::Status(status)) => policy.on_status.contains(*status),
            _ => failed,
        });
        let fallback = if unusable {
            fallback.value(cause)
        } else {
            None
        };
        if fallback.is_some() {
            self.observer.fell_back(cause);
        }

        let report = Report {
            answer: match &ending {
                _ if fallback.is_some() => Answer::Fallback,
                Ending::Rejected(_) => Answer::Rejected,
                _ if failed => Answer::Failed,
                _ if attempts > 1 => Answer::RetriedOk,
                _ => Answer::Ok,
            },
            attempts,
            retries: match (failed, exhausted) {
                (true, true) => RetryEnd::FailedWithRetry,
                (true, false) => RetryEnd::FailedWithoutRetry,
                (false, _) if attempts > 1 => RetryEnd::SuccessfulWithRetry,
                (false, _) => RetryEnd::SuccessfulWithoutRetry,
            },
            breaker: self.breaker_state,
            cause: (failed || fallback.is_some()).then_some(cause),
        };
        self.observer.ended(&report);

        let fail_on_answer = policy
            .retry
            .as_ref()
            .is_some_and(|retry| retry.fail_after_max_attempts);
        let result = match (fallback, ending) {
            (Some(value), _) => Ok(value),
            (None, Ending::Rejected(rejected)) => Err(CallError::Rejected(rejected)),
            (None, Ending::TimedOut(error)) => Err(CallError::Timeout(error)),
            (None, Ending::Answered(Ok(_), _)) if exhausted && fail_on_answer => {
                Err(CallError::MaxAttempts { attempts })
            }
            (None, Ending::Answered(result, _)) => result.map_err(CallError::Failed),
        };
        Called { result, report }
    }
}
