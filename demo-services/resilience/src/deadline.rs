//! Time limits: for one attempt, and for the whole call.

use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// A time limit passed, and what was under way was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimeoutError {
    /// One attempt took this long.
    #[error("no answer within {0:?}")]
    Attempt(Duration),
    /// The whole call took this long.
    #[error("no answer within {0:?}, all attempts together")]
    Total(Duration),
    /// The moment passed at which the caller's own caller stops waiting.
    #[error("no answer before the caller's deadline")]
    Deadline,
}

/// When a whole call must have ended: by the policy's total, or by the deadline it is made under, whichever is first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<(Instant, TimeoutError)>);

impl Deadline {
    pub(crate) fn first(total: Option<Duration>, outer: Option<Instant>) -> Self {
        let total = total.map(|total| (Instant::now() + total, TimeoutError::Total(total)));
        let outer = outer.map(|at| (at, TimeoutError::Deadline));
        Self(match (total, outer) {
            (Some(total), Some(outer)) if total.0 <= outer.0 => Some(total),
            (total, None) => total,
            (_, outer) => outer,
        })
    }

    /// What is left, if there is a limit.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let (at, _) = self.0?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// The error of a call whose time is over.
    pub(crate) fn passed(&self) -> Option<TimeoutError> {
        let (at, error) = self.0?;
        (Instant::now() >= at).then_some(error)
    }

    /// When an attempt that starts now must have ended, with the error it ends in otherwise.
    pub(crate) fn limit(&self, attempt: Option<Duration>) -> Option<(Instant, TimeoutError)> {
        let attempt = attempt.map(|limit| (Instant::now() + limit, TimeoutError::Attempt(limit)));
        match (attempt, self.0) {
            (Some(attempt), Some(whole)) if attempt.0 < whole.0 => Some(attempt),
            (_, Some(whole)) => Some(whole),
            (attempt, None) => attempt,
        }
    }
}

/// Runs a future to its end or to the limit, whichever comes first; at the limit it is dropped.
pub(crate) async fn within<T>(
    limit: Option<(Instant, TimeoutError)>,
    future: impl Future<Output = T>,
) -> Result<T, TimeoutError> {
    match limit {
        Some((at, error)) => timeout_at(at, future).await.map_err(|_| error),
        None => Ok(future.await),
    }
}
