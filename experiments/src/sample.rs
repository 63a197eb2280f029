//! What became of one request.

use std::time::Duration;

use http::StatusCode;

/// One request that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it ended, since the load began.
    pub ended: Duration,
    /// How long it took, connecting included.
    pub latency: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the answer said that something is missing, with the field `x-degraded`.
    pub degraded: bool,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a whole answer, whatever it says.
    Answered(StatusCode),
    /// Without.
    Failed(ErrorKind),
}

/// Why there is no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection.
    Connect,
    /// The connection was reset.
    Reset,
    /// The client's own time was over.
    Timeout,
    /// The connection was closed before the whole answer was there.
    Incomplete,
    /// What came is not HTTP, for example.
    Other,
}

impl Sample {
    /// Whether a page was served: a whole answer with a 2xx.
    #[must_use]
    pub fn is_served(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(status) if status.is_success())
    }
}
