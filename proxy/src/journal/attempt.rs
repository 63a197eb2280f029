//! One request on a route: an attempt of a client.

mod open;
mod packed;

pub(crate) use self::open::{AnswerBegins, OnConnection, OpenAttempt};
pub(super) use self::packed::{PackedAttempt, PackedTrace, TextLengths};

use std::{net::SocketAddr, time::Duration};

/// One request that a route carried, or carries. Times are µs on the journal's clock.
///
/// Neither its query nor a field that may hold a secret is kept as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Its number among all, in the order in which they began.
    pub number: u64,
    /// Its number among those that ended, in the order of their ends, from 1; 0 while it is in progress.
    pub seq: u64,
    /// The route.
    pub route: String,
    /// The number of its connection, unique in the process, from 1.
    pub connection: u64,
    /// Its place on that connection, 0 for the first.
    pub connection_seq: u64,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// When its connection was accepted.
    pub t_open: u64,
    /// When the first byte of its head was read.
    pub t_head: u64,
    /// When the end of its content was read; without content, when its head had come whole. `None` while that was not.
    pub t_req_end: Option<u64>,
    /// When the first byte of its answer was handed on.
    pub t_first_out: Option<u64>,
    /// When the last bytes so far of its answer were handed on.
    pub t_last_out: Option<u64>,
    /// When it ended.
    pub t_end: Option<u64>,
    /// Who ended it, and how.
    pub end: AttemptEnd,
    /// The id of the fault that ended it; empty if none did, or one of the layer `stream`.
    pub ended_by: String,
    /// Whether the head of its answer was handed on in part.
    pub is_in_head: bool,
    /// Whether its answer was handed on to its end.
    pub is_whole: bool,
    /// Content of the answer that was handed on, in bytes.
    pub bytes: u64,
    /// The status that the client was sent.
    pub status: Option<u16>,
    /// The ids of the faults that struck it, up to 8.
    pub faults: Vec<String>,
    /// How long its answer's `Retry-After` told the client to wait.
    pub retry_after: Option<Duration>,
    /// The version of HTTP in which the client sent it: `1.0`, `1.1` or `2`.
    pub version: &'static str,
    /// Its method, up to 32 bytes.
    pub method: String,
    /// Its path without the query, up to 256 bytes.
    pub path: String,
    /// A hash of method, target, content length and the beginning of the content: the same for a request that is sent again.
    /// It can be compared with those of the same process alone.
    pub fingerprint: u64,
    /// How many bytes of content it covers, up to 16 KiB: all there are or the first 16 KiB. `None` where it covers none, as
    /// content was announced and not read so far.
    pub content_hashed: Option<u64>,
    /// The trace that its `traceparent` names, and the span.
    pub trace: Option<(u128, u64)>,
    /// Its `x-request-id`, up to 128 printable ASCII characters; empty if it has none or another.
    pub request_id: String,
    /// A hash of its `idempotency-key`, comparable as [`fingerprint`](Self::fingerprint) is.
    pub idempotency_key: Option<u64>,
    /// How many attempts came before it, as one of its fields counts them.
    pub retry_count: Option<u32>,
    /// Requests in flight on its route when it began, itself included.
    pub in_flight: u32,
}

/// Who ended an attempt, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttemptEnd {
    /// It has not ended.
    #[default]
    StillOpen,
    /// A whole answer, the upstream's or a fault's.
    Answered,
    /// The upstream gave no whole answer.
    UpstreamError,
    /// The client's content was not framed as its head says.
    BadRequest,
    /// A fault ended it without a whole answer.
    Fault,
    /// The client closed its connection or its sending side: both are a FIN.
    ClientFin,
    /// The client reset its connection.
    ClientRst,
    /// It ended before its answer did, and nothing on the socket tells why.
    ClientLeft,
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptPhase {
    /// No byte of its answer was handed on.
    BeforeHead,
    /// A part of its head was.
    InHead,
    /// Its head and some bytes of its content were.
    InBody,
    /// All of it was.
    IdleAfter,
}

impl Attempt {
    /// So many ids of faults are kept of one request.
    pub const FAULTS_MAX: usize = 8;

    /// How far it came.
    #[must_use]
    pub fn phase(&self) -> AttemptPhase {
        match (self.t_first_out, self.is_whole) {
            (None, _) => AttemptPhase::BeforeHead,
            (Some(_), false) if self.is_in_head => AttemptPhase::InHead,
            (Some(_), false) => AttemptPhase::InBody,
            (Some(_), true) => AttemptPhase::IdleAfter,
        }
    }
}
