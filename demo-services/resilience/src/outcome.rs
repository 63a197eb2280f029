//! What an attempt came to, in words that a policy can name and any transport can be put into.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::word::Word;

/// What an attempt came to, as the caller of the client sees it.
///
/// The caller gives a function from its own results to this; the policy decides what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Good: a success for the breaker, never retried.
    Success,
    /// Says nothing about the dependency, as when the caller itself was at fault: nothing for the breaker, never
    /// retried.
    Ignored,
    /// An answer with this status; `failure_status` and `on_status` decide.
    Status(u16),
    /// No usable answer; `failure_error` and `on_error` decide.
    Error(ErrorKind),
}

impl Outcome {
    /// This outcome, of an answer that asks for something.
    #[must_use]
    pub fn asking(self, pushback: Option<Pushback>) -> Reading {
        Reading {
            outcome: self,
            pushback,
        }
    }

    /// Whether it is bad in itself, whatever a policy says: an error, or a status from 500.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Self::Success | Self::Ignored => false,
            Self::Status(status) => status >= 500,
            Self::Error(_) => true,
        }
    }
}

/// What an attempt came to, and what its answer asks of the caller. An [`Outcome`] alone is one that asks nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What it came to.
    pub outcome: Outcome,
    /// What its answer asks.
    pub pushback: Option<Pushback>,
}

impl From<Outcome> for Reading {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            pushback: None,
        }
    }
}

/// What an answer asks of those who would try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushback {
    /// To wait so long.
    After(Duration),
    /// Not to.
    Never,
}

impl Pushback {
    /// What the field `Retry-After` asks (RFC 9110 §10.2.3): whole seconds, or an HTTP date, which is compared with
    /// `now`; a date in the past asks for no wait. None if it is neither.
    #[must_use]
    pub fn from_retry_after(value: &str, now: SystemTime) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = value.parse().unwrap_or(u64::MAX);
            return Some(Self::After(Duration::from_secs(seconds)));
        }
        let at = httpdate::parse_http_date(value).ok()?;
        Some(Self::After(at.duration_since(now).unwrap_or_default()))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Ignored => f.write_str("ignored"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Error(kind) => f.write_str(kind.as_str()),
        }
    }
}

/// How an attempt failed to bring an answer, whatever the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection came about: refused, unreachable, name not found. Nothing was sent.
    Connect,
    /// The connection broke while the answer was awaited.
    Reset,
    /// No answer in time. An attempt that the policy's own timeout ends is this as well.
    Timeout,
    /// The answer began and broke off.
    Incomplete,
    /// What came was not the protocol.
    Protocol,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Incomplete,
        Self::Protocol,
        Self::Other,
    ];

    /// The word in policies, metrics and spans: `connect`, `reset`, ...
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Word for ErrorKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connect", Self::Connect),
        ("reset", Self::Reset),
        ("timeout", Self::Timeout),
        ("incomplete", Self::Incomplete),
        ("protocol", Self::Protocol),
        ("other", Self::Other),
    ];
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let after = |secs| Some(Pushback::After(Duration::from_secs(secs)));

        for (value, asks) in [
            ("0", after(0)),
            (" 120 ", after(120)),
            ("99999999999999999999", after(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", after(3)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", after(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(Pushback::from_retry_after(value, now), asks, "{value}");
        }
    }
}
