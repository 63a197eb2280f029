//! Records of requests, as `GET /requests` answers them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer of `GET /requests`. Times are µs on the proxy's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestList {
    /// Those in progress, the newest first, then those that ended, the last one first.
    pub requests: Vec<RequestRecord>,
    /// The clock at the time of the answer, in µs since `began_unix_us`.
    pub now_us: u64,
    /// When the clock was 0, in µs since 1970.
    pub began_unix_us: u64,
    /// The `after` of the next call, to read on without a gap.
    pub next: u64,
    /// Whether further records have ended already: call again at once.
    pub more: bool,
    /// Records after `after` (without it: of all) that were overwritten before they could be read, on any route.
    pub lost: u64,
}

impl RequestList {
    /// How many records a call gives when it has no `limit`.
    pub const LIMIT: usize = 100;
    /// The most records that a call may ask for.
    pub const LIMIT_MAX: usize = 1_000;
}

/// What to ask `GET /requests` for. What is `None` is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestQuery {
    /// Only requests of this route; `None` for all routes.
    pub route: Option<String>,
    /// Only requests that this fault struck; `None` for all.
    pub fault: Option<String>,
    /// Whether they are in progress; `None` for either.
    pub open: Option<bool>,
    /// Only those that ended with a greater `seq`, the lowest first; without it the highest.
    pub after: Option<u64>,
    /// So many of those that ended, and so many in progress: 1 to 1,000, by default 100.
    pub limit: Option<usize>,
}

impl RequestQuery {
    /// The query's pairs.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let state = (self.open).map(|open| if open { "open" } else { "ended" }.to_owned());
        let pairs = [
            ("route", self.route.clone()),
            ("fault", self.fault.clone()),
            ("state", state),
            ("after", self.after.map(|after| after.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ];
        let given = |(key, value): (_, Option<String>)| value.map(|value| (key, value));
        pairs.into_iter().filter_map(given).collect()
    }
}

/// One request that a route carried, or carries: an attempt of a client. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestRecord {
    /// Its number, in the order in which requests began.
    pub number: u64,
    /// Its number in the order of ends, from 1; none while it is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The name of its route.
    pub route: String,
    /// The number of its connection, unique in the process.
    pub conn: u64,
    /// Its place on that connection, 0 for the first.
    pub conn_seq: u64,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<std::net::SocketAddr>,
    /// The version of HTTP in which the client sent it: `1.0`, `1.1` or `2`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub http_version: String,
    /// Its method, up to 32 bytes.
    pub method: String,
    /// Its path without the query, up to 256 bytes.
    pub path: String,
    /// When its connection was accepted, in µs on the clock of the answer.
    pub t_open: u64,
    /// When the first byte of its head was read, in µs.
    pub t_head: u64,
    /// When the end of its content was read; without content, when its head had come whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_req_end: Option<u64>,
    /// When the first byte of its answer was handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_first_out: Option<u64>,
    /// When the last bytes so far of its answer were handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_last_out: Option<u64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_end: Option<u64>,
    /// Time from the first byte of its head to its end, or to now, in µs.
    pub age_us: u64,
    /// Who ended it, and how.
    pub end: RequestEnd,
    /// The id of the fault that ended it; none with `end` other than `fault`, and for a fault of the layer `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// How much of the answer was handed on when it ended.
    pub end_phase: RequestPhase,
    /// Content of the answer that was handed on, in bytes.
    pub bytes: u64,
    /// The status that the client was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The ids of the faults that struck it, up to 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// How long its answer's `Retry-After` told the client to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_us: Option<u64>,
    /// A hash of method, target, content length and the first 16 KiB of the content, as 16 hexadecimal digits: the same for a
    /// request that is sent again. It can be compared with those of the same process alone.
    pub fingerprint: String,
    /// How many bytes of content `fingerprint` covers: all there are, or the first 16 KiB. Left out where it covers none, as content
    /// was announced and not read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hashed: Option<u64>,
    /// The trace that its `traceparent` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The span that its `traceparent` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Its `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// A hash of its `idempotency-key`, comparable as `fingerprint` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key_hash: Option<String>,
    /// How many attempts came before it, as one of its fields counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u32>,
    /// Requests in flight on its route when it began, itself included.
    pub in_flight: u32,
}

/// Who ended a request, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestEnd {
    /// It has not ended.
    StillOpen,
    /// The whole answer was handed on, of the upstream or of a fault.
    Answered,
    /// The upstream gave no whole answer.
    UpstreamError,
    /// The client's content was not framed as its head says.
    BadRequest,
    /// A fault ended it without a whole answer.
    Fault,
    /// The client closed its connection or its sending side.
    ClientFin,
    /// The client reset its connection.
    ClientRst,
    /// It ended before its answer did, and nothing on the socket tells why.
    ClientLeft,
}

impl RequestEnd {
    /// The word for it in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::StillOpen => "still_open",
            Self::Answered => "answered",
            Self::UpstreamError => "upstream_error",
            Self::BadRequest => "bad_request",
            Self::Fault => "fault",
            Self::ClientFin => "client_fin",
            Self::ClientRst => "client_rst",
            Self::ClientLeft => "client_left",
        }
    }
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestPhase {
    /// No byte of its answer was handed on.
    BeforeHead,
    /// A part of the answer's head was handed on.
    InHead,
    /// The head and a part of the content were handed on.
    InBody,
    /// The whole answer was handed on.
    IdleAfter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_an_end_is_the_one_in_json() {
        for end in [
            RequestEnd::StillOpen,
            RequestEnd::Answered,
            RequestEnd::UpstreamError,
            RequestEnd::BadRequest,
            RequestEnd::Fault,
            RequestEnd::ClientFin,
            RequestEnd::ClientRst,
            RequestEnd::ClientLeft,
        ] {
            assert_eq!(serde_json::to_value(end).unwrap(), end.word());
        }
    }
}
