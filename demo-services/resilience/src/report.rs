//! How a call went, for spans, metrics and whoever asks.

use std::fmt;

use crate::{breaker::State, guards::Guard, outcome::Outcome};

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// What the caller got.
    pub answer: Answer,
    /// How often the operation was tried; 0 when it was refused or its time was over. Hedges are part of an attempt.
    pub attempts: u32,
    /// How many requests were sent besides, because an answer took long.
    pub hedges: u32,
    /// How the retries ended.
    pub retries: RetryEnd,
    /// The state in which the breaker last admitted or refused; none without a breaker.
    pub breaker: Option<State>,
    /// Why the call failed, also if a fallback answered; none if it did not fail.
    pub cause: Option<Cause>,
}

/// What the caller of a call got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The first attempt's answer.
    Ok,
    /// A later attempt's answer.
    RetriedOk,
    /// The fallback.
    Fallback,
    /// An error, or an answer that is one: a status from 500, or one that is retried.
    Failed,
    /// A refusal by the breaker or another guard, of the first attempt or of a retry.
    Rejected,
}

impl Answer {
    /// The word in spans and metrics: `ok`, `retried_ok`, `fallback`, `failed`, `rejected`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::RetriedOk => "retried_ok",
            Self::Fallback => "fallback",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
        }
    }
}

/// How the retries of a call ended, counted as resilience4j does. A fallback changes nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryEnd {
    /// The first attempt succeeded.
    SuccessfulWithoutRetry,
    /// A later attempt succeeded.
    SuccessfulWithRetry,
    /// The last failure was one that is not retried.
    FailedWithoutRetry,
    /// The last failure was one that is retried, but there were no attempts or no time left.
    FailedWithRetry,
}

impl RetryEnd {
    /// The word in metrics: `successful_without_retry`, ...
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SuccessfulWithoutRetry => "successful_without_retry",
            Self::SuccessfulWithRetry => "successful_with_retry",
            Self::FailedWithoutRetry => "failed_without_retry",
            Self::FailedWithRetry => "failed_with_retry",
        }
    }
}

/// Why a call failed. Its text is a value for `error.type` and `fallback.reason`: `circuit_breaker_open`, `timeout`,
/// `503`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The breaker refused it.
    Rejected,
    /// Another guard refused it.
    Refused(Guard),
    /// The last attempt came to this.
    Outcome(Outcome),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => f.write_str("circuit_breaker_open"),
            Self::Refused(guard) => f.write_str(guard.as_str()),
            Self::Outcome(outcome) => outcome.fmt(f),
        }
    }
}
