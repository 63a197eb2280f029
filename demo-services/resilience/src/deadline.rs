//! Time limits: for one attempt, and for the whole call.

use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout};

/// A time limit passed, and what was under way was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimeoutError {
    /// One attempt took this long.
    #[error("no answer within {0:?}")]
    Attempt(Duration),
    /// The whole call took this long.
    #[error("no answer within {0:?}, all attempts together")]
    Total(Duration),
}

/// When a whole call must have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// So long from now, if there is a limit.
    pub(crate) fn after(total: Option<Duration>) -> Self {
        Self(total.map(|total| (Instant::now() + total, total)))
    }

    /// What is left, if there is a limit.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let (at, _) = self.0?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// How long an attempt that starts now may take, with the error it ends in otherwise.
    pub(crate) fn limit(&self, attempt: Option<Duration>) -> Option<(Duration, TimeoutError)> {
        let attempt = attempt.map(|limit| (limit, TimeoutError::Attempt(limit)));
        let total = self
            .time_left()
            .zip(self.0)
            .map(|(left, (_, total))| (left, TimeoutError::Total(total)));
        match (attempt, total) {
            (Some(attempt), Some(total)) if attempt.0 < total.0 => Some(attempt),
            (_, Some(total)) => Some(total),
            (attempt, None) => attempt,
        }
    }
}

/// Runs a future to its end or to the limit, whichever comes first; at the limit it is dropped.
pub(crate) async fn within<T>(
    limit: Option<(Duration, TimeoutError)>,
    future: impl Future<Output = T>,
) -> Result<T, TimeoutError> {
    match limit {
        Some((limit, error)) => timeout(limit, future).await.map_err(|_| error),
        None => Ok(future.await),
    }
}
