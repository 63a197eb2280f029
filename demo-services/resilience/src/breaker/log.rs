//! The last events of a breaker, kept for whoever asks later.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::time::Instant;

use super::event::{Event, EventKind};

/// The last events of one breaker: a ring that lets go of the oldest.
///
/// Its room is taken once; hearing an event allocates nothing. Make it a breaker's listener with
/// [`Setup::listening`](crate::Setup::listening):
///
/// ```
/// use std::sync::Arc;
///
/// use brownout_resilience::{Breaker, EventLog, Setup, Verdict, policy::BreakerPolicy};
///
/// let policy = BreakerPolicy::default();
/// let log = Arc::new(EventLog::new("recommendations", policy.event_buffer));
/// let heard = Arc::clone(&log);
/// let breaker = Breaker::new(
///     "recommendations",
///     &policy,
///     Setup::seeded(1).listening(move |event| heard.hear(event)),
/// )?;
///
/// breaker.try_acquire()?.record(Verdict::Failure);
///
/// assert_eq!(log.records()[0].kind, "ERROR");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventLog {
    name: Box<str>,
    size: usize,
    events: Mutex<VecDeque<Event>>,
    /// One moment on both clocks: events carry the monotonic one, people read the other.
    began: (Instant, Timestamp),
}

impl EventLog {
    /// An empty log of the breaker `name` with room for so many events; 0 is taken as 1.
    #[must_use]
    pub fn new(name: &str, size: u32) -> Self {
        let size = size.max(1) as usize;
        Self {
            name: name.into(),
            size,
            events: Mutex::new(VecDeque::with_capacity(size)),
            began: (Instant::now(), Timestamp::now()),
        }
    }

    /// Keeps one event.
    pub fn hear(&self, event: &Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == self.size {
            events.pop_front();
        }
        events.push_back(*event);
    }

    /// What it holds, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<EventRecord> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(|event| self.record(event)).collect()
    }

    fn record(&self, event: &Event) -> EventRecord {
        let (instant, timestamp) = self.began;
        let since = event.at.saturating_duration_since(instant);
        let since = SignedDuration::try_from(since).unwrap_or(SignedDuration::MAX);
        let (kind, took) = match event.kind {
            EventKind::Success(took) => ("SUCCESS", Some(took)),
            EventKind::Error(took) => ("ERROR", Some(took)),
            EventKind::IgnoredError(took) => ("IGNORED_ERROR", Some(took)),
            EventKind::NotPermitted => ("NOT_PERMITTED", None),
            EventKind::FailureRateExceeded(_) => ("FAILURE_RATE_EXCEEDED", None),
            EventKind::SlowCallRateExceeded(_) => ("SLOW_CALL_RATE_EXCEEDED", None),
            EventKind::StateTransition { .. } => ("STATE_TRANSITION", None),
            EventKind::Reset => ("RESET", None),
        };
        EventRecord {
            circuit_breaker_name: self.name.clone(),
            kind,
            // Always so many digits, so that the texts sort as the times do.
            creation_time: format!(
                "{:.6}",
                timestamp.saturating_add(since).unwrap_or(Timestamp::MAX)
            ),
            error_message: None,
            duration_in_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            state_transition: match event.kind {
                EventKind::StateTransition { from, to, .. } => {
                    Some(format!("{}_TO_{}", from.shouted(), to.shouted()))
                }
                EventKind::Success(_)
                | EventKind::Error(_)
                | EventKind::IgnoredError(_)
                | EventKind::NotPermitted
                | EventKind::FailureRateExceeded(_)
                | EventKind::SlowCallRateExceeded(_)
                | EventKind::Reset => None,
            },
        }
    }
}

/// One event as resilience4j's endpoint for events has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// The breaker's name.
    pub circuit_breaker_name: Box<str>,
    /// `SUCCESS`, `ERROR`, `IGNORED_ERROR`, `NOT_PERMITTED`, `FAILURE_RATE_EXCEEDED`, `SLOW_CALL_RATE_EXCEEDED`,
    /// `STATE_TRANSITION` or `RESET`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When, in RFC 3339 with microseconds.
    pub creation_time: String,
    /// Always none: a breaker is told verdicts, not messages. The field is kept for readers of the original's form.
    pub error_message: Option<String>,
    /// How long the call took; none where there was no call.
    pub duration_in_ms: Option<u64>,
    /// `CLOSED_TO_OPEN` and the like; none for other events.
    pub state_transition: Option<String>,
}
