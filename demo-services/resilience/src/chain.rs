//! The chain of protections around a call, in its two orders.
//!
//! Each order is written out by hand, so that it can be read from top to bottom and nothing is boxed. The total timeout
//! is no layer of its own: it shortens the last attempt and the waits.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use smallvec::{SmallVec, smallvec};
use std::pin::pin;
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    breaker::{Permit, Rejected, State, Verdict},
    client::{Attempt, CallError, Called, Client},
    deadline::{Deadline, TimeoutError, within},
    fallback::Fallback,
    guards::{Guard, Hedging, Place},
    observer::Observer,
    outcome::{ErrorKind, Outcome, Pushback, Reading},
    report::{Answer, Cause, Report, RetryEnd},
    retry::{Next, Retries},
};

/// One call on its way.
pub(crate) struct Run<'c, O, C, P> {
    client: &'c Client,
    observer: O,
    classify: C,
    operation: P,
    deadline: Deadline,
    retries: Retries<'c>,
    hedging: Option<&'c Hedging>,
    /// Whether the other side is told how much time is left.
    propagate: bool,
    attempts: u32,
    hedges: u32,
    breaker_state: Option<State>,
}

/// What the caller says about a call.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) method: &'a str,
    pub(crate) repeatable: Option<bool>,
    pub(crate) deadline: Option<Instant>,
}

/// How the last attempt ended.
pub(crate) enum Ending<T, E> {
    Answered(Result<T, E>, Reading),
    TimedOut(TimeoutError),
    /// The time was over before anything was sent.
    Expired(TimeoutError),
    Rejected(Rejected),
    Refused(Guard),
}

impl<T, E> Ending<T, E> {
    /// What it came to; none if nothing was sent.
    fn reading(&self) -> Option<Reading> {
        match self {
            Self::Answered(_, reading) => Some(*reading),
            Self::TimedOut(_) => Some(Outcome::Error(ErrorKind::Timeout).into()),
            Self::Expired(_) | Self::Rejected(_) | Self::Refused(_) => None,
        }
    }

    fn cause(&self) -> Cause {
        match self {
            Self::Answered(_, reading) => Cause::Outcome(reading.outcome),
            Self::TimedOut(_) | Self::Expired(_) => {
                Cause::Outcome(Outcome::Error(ErrorKind::Timeout))
            }
            Self::Rejected(_) => Cause::Rejected,
            Self::Refused(guard) => Cause::Refused(*guard),
        }
    }
}

impl<'c, T, E, O, C, P, F, R> Run<'c, O, C, P>
where
    O: Observer,
    C: Fn(&Result<T, E>) -> R,
    P: FnMut(Attempt) -> F,
    F: Future<Output = Result<T, E>>,
    R: Into<Reading>,
{
    pub(crate) fn new(
        client: &'c Client,
        terms: Terms<'_>,
        observer: O,
        classify: C,
        operation: P,
    ) -> Self {
        let policy = client.policy();
        let Terms {
            method,
            repeatable,
            deadline,
        } = terms;
        let budget = client.guards().retry_budget.as_ref();
        let hedges = |allowed| repeatable.unwrap_or(allowed);
        let hedging = policy.hedge.as_ref().map(|hedge| hedge.allows(method));
        Self {
            client,
            observer,
            classify,
            operation,
            deadline: Deadline::first(policy.timeout.total, deadline),
            retries: Retries::new(
                policy.retry.as_ref(),
                budget,
                |retry| repeatable.unwrap_or_else(|| retry.allows(method)),
                client.next_draws(),
            ),
            hedging: client
                .guards()
                .hedging
                .as_ref()
                .filter(|_| hedging.is_some_and(hedges)),
            propagate: policy.timeout.propagate || deadline.is_some(),
            attempts: 0,
            hedges: 0,
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

    /// Tells the breaker what was sent and came of it. Without that the permit is given back by itself.
    fn record(&self, permit: Option<Permit<'_>>, ending: &Ending<T, E>) {
        let policy = self.client.policy().breaker.as_ref();
        let (Some(permit), Some(policy), Some(reading)) = (permit, policy, ending.reading()) else {
            return;
        };
        let verdict = policy.verdict(reading.outcome);
        match reading.pushback {
            Some(Pushback::After(wait))
                if policy.open_on_retry_after && verdict == Verdict::Failure =>
            {
                permit.record_and_open(verdict, wait);
            }
            _ => permit.record(verdict),
        }
    }

    /// Rate limit around attempt timeout around bulkhead around hedge around the operation.
    async fn attempt(&mut self) -> Ending<T, E> {
        let client = self.client;
        let guards = client.guards();
        if let Some(error) = self.deadline.passed() {
            return Ending::Expired(error);
        }
        if let Err(guard) = guards.permit(self.deadline.time_left()).await {
            return self.refused(guard);
        }
        let limit = self.deadline.limit(client.policy().timeout.attempt);
        let time_left = || limit.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let place = match guards.enter(time_left()).await {
            Ok(place) => place,
            Err(guard) => return self.refused(guard),
        };
        self.attempts += 1;
        let attempt = Attempt {
            number: self.attempts,
            time_limit: time_left(),
            hedge: 0,
            propagate: self.propagate,
        };
        self.observer.attempt_started(attempt);
        let operation = (self.operation)(attempt);
        let ended = match self.hedging {
            None => within(limit, operation).await.map(|result| {
                let reading = (self.classify)(&result).into();
                place.leave(reading.outcome);
                self.observer.attempt_ended(attempt, reading.outcome);
                Ending::Answered(result, reading)
            }),
            Some(hedging) => {
                hedging.deposit();
                let first = request(attempt, place, operation);
                within(limit, self.first_good(hedging, first, limit)).await
            }
        };
        ended.unwrap_or_else(|error| {
            let outcome = Outcome::Error(ErrorKind::Timeout);
            self.observer.attempt_ended(attempt, outcome);
            Ending::TimedOut(error)
        })
    }

    fn refused(&mut self, guard: Guard) -> Ending<T, E> {
        self.observer.refused(guard);
        Ending::Refused(guard)
    }

    /// The first good answer of an attempt's requests, or the last bad one.
    ///
    /// The first request is polled where it stands; only hedges that are really sent take memory.
    async fn first_good(
        &mut self,
        hedging: &Hedging,
        first: impl Future<Output = Request<'c, T, E>>,
        limit: Option<(Instant, TimeoutError)>,
    ) -> Ending<T, E> {
        let mut first = pin!(first);
        let mut hedges = None;
        let mut under_way: SmallVec<[u32; 4]> = smallvec![0];
        let mut next_at = Some(Instant::now() + hedging.delay());
        let mut sent = 1;
        loop {
            let ended = select! {
                biased;
                ended = first.as_mut(), if under_way.contains(&0) => Some(ended),
                Some(ended) = next_of(&mut hedges) => Some(ended),
                () = sleep_until(next_at.unwrap_or_else(Instant::now)), if next_at.is_some() => None,
            };
            let mut last = None;
            if let Some(Request {
                attempt,
                place,
                began,
                result,
            }) = ended
            {
                under_way.retain(|hedge| *hedge != attempt.hedge);
                let reading: Reading = (self.classify)(&result).into();
                place.leave(reading.outcome);
                self.observer.attempt_ended(attempt, reading.outcome);
                if !reading.outcome.is_failure() {
                    hedging.answered(began.elapsed());
                    for hedge in under_way {
                        self.observer
                            .attempt_cancelled(Attempt { hedge, ..attempt });
                    }
                    return Ending::Answered(result, reading);
                }
                if reading.pushback.is_some() {
                    next_at = None;
                }
                last = Some(Ending::Answered(result, reading));
            }
            // The delay has passed, or a request has failed.
            let place = next_at
                .filter(|_| hedging.permits(sent))
                .and_then(|_| self.client.guards().try_enter().ok());
            if let Some(place) = place {
                let attempt = Attempt {
                    number: self.attempts,
                    time_limit: limit.map(|(at, _)| at.saturating_duration_since(Instant::now())),
                    hedge: sent,
                    propagate: self.propagate,
                };
                self.hedges += 1;
                self.observer.attempt_started(attempt);
                let operation = (self.operation)(attempt);
                hedges
                    .get_or_insert_with(FuturesUnordered::new)
                    .push(request(attempt, place, operation));
                under_way.push(sent);
                sent += 1;
                next_at = Some(Instant::now() + hedging.delay());
            } else {
                next_at = None;
            }
            if let Some(last) = last
                && under_way.is_empty()
            {
                return last;
            }
        }
    }

    /// Waits for the next attempt, if there shall be one.
    async fn back_off(&mut self, ending: &Ending<T, E>) -> bool {
        let Some(reading) = ending.reading() else {
            return false;
        };
        let time_left = self.deadline.time_left();
        let wait = match self.retries.next(self.attempts, reading, time_left) {
            Next::After(wait) => wait,
            Next::NoBudget => {
                self.observer.retry_budget_exhausted();
                return false;
            }
            Next::End => return false,
        };
        let after = Attempt {
            number: self.attempts,
            time_limit: None,
            hedge: 0,
            propagate: false,
        };
        self.observer.backing_off(after, wait);
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
        let attempts = self.attempts;
        let cause = ending.cause();
        let failed = match &ending {
            Ending::Answered(Ok(_), reading) => exhausted || reading.outcome.is_failure(),
            Ending::Answered(Err(_), _)
            | Ending::TimedOut(_)
            | Ending::Expired(_)
            | Ending::Rejected(_)
            | Ending::Refused(_) => true,
        };
        let unusable = policy.fallback.is_some_and(|policy| match &ending {
            Ending::Answered(
                Ok(_),
                Reading {
                    outcome: Outcome::Status(status),
                    ..
                },
            ) => policy.on_status.contains(*status),
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
                Ending::Rejected(_) | Ending::Refused(_) => Answer::Rejected,
                _ if failed => Answer::Failed,
                _ if attempts > 1 => Answer::RetriedOk,
                _ => Answer::Ok,
            },
            attempts,
            hedges: self.hedges,
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
            (None, Ending::Refused(guard)) => Err(CallError::Refused(guard)),
            (None, Ending::TimedOut(error) | Ending::Expired(error)) => {
                Err(CallError::Timeout(error))
            }
            (None, Ending::Answered(Ok(_), _)) if exhausted && fail_on_answer => {
                Err(CallError::MaxAttempts { attempts })
            }
            (None, Ending::Answered(result, _)) => result.map_err(CallError::Failed),
        };
        Called { result, report }
    }
}

/// One request of an attempt that has ended.
struct Request<'g, T, E> {
    attempt: Attempt,
    place: Place<'g>,
    began: Instant,
    result: Result<T, E>,
}

async fn request<T, E>(
    attempt: Attempt,
    place: Place<'_>,
    operation: impl Future<Output = Result<T, E>>,
) -> Request<'_, T, E> {
    let began = Instant::now();
    let result = operation.await;
    Request {
        attempt,
        place,
        began,
        result,
    }
}

/// The next hedge to end; none while there are none.
async fn next_of<F: Future>(hedges: &mut Option<FuturesUnordered<F>>) -> Option<F::Output> {
    match hedges {
        Some(hedges) => hedges.next().await,
        None => None,
    }
}
