//! What an attempt came to, in words that a policy can name and any transport can be put into.

use std::fmt;

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
