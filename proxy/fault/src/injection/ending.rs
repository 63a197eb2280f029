//! How a fault ends an exchange.

use std::{sync::Arc, time::Duration};

use super::{Answer, ResetScope};
use crate::roll::Roll;

/// How an exchange ends before its request is forwarded.
#[derive(Debug, Clone)]
pub enum RequestEnding {
    /// The proxy answers.
    Answer(Arc<Answer>),
    /// The client's connection or stream is reset, without a byte of an answer.
    Reset(ResetScope),
    /// The request is read whole, then the connection is closed in good order (FIN), without a byte of an answer.
    Close,
    /// The request is read whole and not answered.
    Hang {
        /// How long it is held; `None` until the fault is removed.
        hold: Option<Duration>,
        /// What becomes of the connection after that.
        then: Then,
    },
}

/// How an exchange ends after the upstream has answered, in place of the rest of its answer.
#[derive(Debug, Clone)]
pub enum ResponseEnding {
    /// The proxy answers.
    Answer(Arc<Answer>),
    /// The client's connection or stream is reset, without a byte of an answer.
    Reset(ResetScope),
    /// The client gets bytes that are not valid HTTP, then a close.
    Malformed(Malformed),
}

/// What becomes of a connection whose request was held without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A TCP reset.
    Reset,
    /// An orderly close (FIN) without a byte.
    Close,
}

/// What is wrong about an answer. The rest of it is the upstream's own.
#[derive(Debug, Clone)]
pub enum Malformed {
    /// The size of the first chunk is not a number.
    Chunk,
    /// A field value contains a NUL byte, which no field may have (RFC 9110 §5.5).
    Header,
    /// The status line has no status.
    StatusLine,
    /// 512 random bytes instead of an answer.
    Random(Roll),
    /// Two `Content-Length` fields that differ (RFC 9112 §6.3).
    DupContentLength,
    /// A field of 1 MiB.
    OversizedHeader,
    /// A DATA frame on stream 0 (RFC 9113 §6.1): for connections with HTTP/2 alone.
    Frame,
}
