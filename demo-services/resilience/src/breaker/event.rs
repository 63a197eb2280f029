//! What a breaker is, and what it tells its listener.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::word::Word;

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Admits all calls and watches the rates.
    Closed,
    /// Refuses all calls until the wait is over.
    Open,
    /// Admits a few probes; their outcome decides between open and closed.
    HalfOpen,
    /// Admits all calls and records nothing. Left only by hand.
    Disabled,
    /// Refuses all calls. Left only by hand.
    ForcedOpen,
    /// Admits all calls and watches the rates, but never opens. Left only by hand.
    MetricsOnly,
}

impl State {
    /// The name in files, metrics and spans: `closed`, `half_open`, ...
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }

    /// The name on resilience4j's pages: `CLOSED`, `HALF_OPEN`, ...
    pub(crate) fn shouted(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
            Self::Disabled => "DISABLED",
            Self::ForcedOpen => "FORCED_OPEN",
            Self::MetricsOnly => "METRICS_ONLY",
        }
    }
}

impl Word for State {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("closed", Self::Closed),
        ("open", Self::Open),
        ("half_open", Self::HalfOpen),
        ("disabled", Self::Disabled),
        ("forced_open", Self::ForcedOpen),
        ("metrics_only", Self::MetricsOnly),
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a finished call means to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The dependency did its work.
    Success,
    /// The dependency failed.
    Failure,
    /// The call says nothing about the dependency: it counts as nothing and gives its permit back.
    Ignored,
}

/// Something that happened to a breaker, for its listener.
///
/// The events of one call come in the order outcome, rates exceeded, transition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// When it happened. A timed transition carries the moment it was due, though it is noticed later.
    pub at: Instant,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of [`Event`], named as in resilience4j.
///
/// A disabled breaker publishes only transitions and resets; one forced open also its refusals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EventKind {
    /// A call ended well, so long after its admission.
    Success(Duration),
    /// A call failed, so long after its admission.
    Error(Duration),
    /// A call ended in a way that counts as nothing, so long after its admission.
    IgnoredError(Duration),
    /// A call was refused.
    NotPermitted,
    /// The failure rate, in percent, reached its threshold. Not published when a half-open breaker opens again.
    FailureRateExceeded(f32),
    /// The slow call rate, in percent, reached its threshold. Not published when a half-open breaker opens again.
    SlowCallRateExceeded(f32),
    /// The breaker went from one state to another.
    StateTransition {
        /// The state that was left.
        from: State,
        /// The state that was entered.
        to: State,
        /// The failure rate on leaving, in percent; none below the minimum of calls.
        failure_rate: Option<f32>,
        /// The slow call rate on leaving, in percent; none below the minimum of calls.
        slow_call_rate: Option<f32>,
    },
    /// The breaker was reset by hand.
    Reset,
}

/// Hears the events of a breaker.
///
/// Called after the breaker's lock was released, on the thread that caused the event; two threads' events
/// may arrive in either order ([`Event::at`] tells). It must be quick: the call waits for it.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;
