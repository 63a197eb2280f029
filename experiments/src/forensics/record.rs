//! Records of what happened, on one monotonic clock in µs.
//!
//! They are what the proxy's journal and the load tell. A field that the source did not know is left out.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Content;

/// One request on a route: an attempt of the client under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number in the journal, rising in the order in which attempts began.
    pub number: u64,
    /// The route it came on.
    pub route: String,
    /// The connection it came on, unique while the proxy runs.
    pub conn: u64,
    /// Its place on that connection: 0 for the first.
    #[serde(default)]
    pub conn_seq: u32,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// When the first byte of its head came.
    pub t_head: u64,
    /// When the last byte of its body came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_req_end: Option<u64>,
    /// When the first byte of the answer went to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_first_out: Option<u64>,
    /// When the last byte so far went to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_last_out: Option<u64>,
    /// When it ended; for an open one, when it was looked at.
    pub t_end: u64,
    /// Who ended it, and how.
    pub end: AttemptEnd,
    /// How far it had come.
    #[serde(default)]
    pub end_phase: EndPhase,
    /// Content of the answer that was handed on, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// The status that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The ids of the faults that struck it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// How long a `Retry-After` told the client to wait from the answer on, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_us: Option<u64>,
    /// Its method.
    pub method: String,
    /// Its path, without the query and with ids replaced.
    pub path: String,
    /// A hash of method, target, length and the first bytes of the body: the same logical request has the same.
    pub fp: u64,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Its `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Its `idempotency-key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// A count of retries that the client sent in a field of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u32>,
    /// Requests in flight on the route when it began, itself included.
    #[serde(default)]
    pub in_flight: u32,
}

/// Who ended an attempt, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// With a whole answer.
    Answered,
    /// The upstream broke.
    UpstreamError,
    /// This fault ended it.
    Fault(String),
    /// The client closed, or half-closed: one segment tells both.
    ClientFin,
    /// The client reset the connection.
    ClientRst,
    /// It had not ended when it was looked at.
    StillOpen,
}

/// How far an attempt had come when it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndPhase {
    /// No byte of an answer was sent.
    #[default]
    BeforeHead,
    /// Part of the answer's head was sent.
    InHead,
    /// So many bytes of the body were sent.
    InBody(u64),
    /// All was sent.
    IdleAfter,
}

/// One connection of the client to a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// Its number, as in [`AttemptRecord::conn`].
    pub conn: u64,
    /// The route.
    pub route: String,
    /// When it was accepted.
    pub t_open: u64,
    /// When it was closed; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_close: Option<u64>,
    /// Requests it carried.
    pub requests: u32,
    /// The longest time without a request in flight, in µs.
    #[serde(default)]
    pub longest_idle_us: u64,
    /// Whether the client closed it.
    #[serde(default)]
    pub closed_by_client: bool,
}

/// One page: a request of the caller, on whose behalf the client under test makes its attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRecord {
    /// Its number.
    pub number: u64,
    /// When it should have been sent.
    pub intended: u64,
    /// When it was sent.
    pub sent: u64,
    /// When it ended; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// The status of a whole answer; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether the answer said that something is missing, as the user told us to see it.
    #[serde(default)]
    pub degraded: bool,
    /// What the answer said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// When the caller left, on purpose or because it was tired of waiting; none if it was there until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// The trace id that was put into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The `x-request-id` that was put into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// When a fault was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Its id.
    pub id: String,
    /// When it was armed.
    pub armed: u64,
    /// When it first struck; none if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_struck: Option<u64>,
    /// When it was removed; none while it is armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
    /// How often it struck.
    pub injected: u64,
}

impl AttemptRecord {
    /// How long it took, or is open.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.t_end.saturating_sub(self.t_head)
    }

    /// The id of its page that the client passed on.
    #[must_use]
    pub fn page_id(&self) -> Option<&str> {
        self.request_id.as_deref().or(self.trace_id.as_deref())
    }

    /// Whether the client ended it.
    #[must_use]
    pub fn is_client_ended(&self) -> bool {
        matches!(self.end, AttemptEnd::ClientFin | AttemptEnd::ClientRst)
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end == AttemptEnd::StillOpen
    }

    /// Whether it ended without a good answer: none, or a status of 500 and above or 429.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        match &self.end {
            AttemptEnd::Answered => self.status.is_none_or(|it| it >= 500 || it == 429),
            AttemptEnd::Fault(_) => self.status.is_none_or(|it| it >= 400),
            AttemptEnd::UpstreamError
            | AttemptEnd::ClientFin
            | AttemptEnd::ClientRst
            | AttemptEnd::StillOpen => true,
        }
    }
}

impl PageRecord {
    /// How long it took from its intended start; none while it is open.
    #[must_use]
    pub fn duration(&self) -> Option<u64> {
        self.ended.map(|ended| ended.saturating_sub(self.intended))
    }

    /// Whether it was answered with 2xx.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.status.is_some_and(|it| (200..300).contains(&it))
    }

    /// Whether it was answered with 2xx and nothing was missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_good() && !self.degraded
    }
}

/// A path with `*` for each segment that is an id: a number, a UUID, or a long word with digits in it.
#[must_use]
pub fn path_pattern(path: &str) -> String {
    let segments = path.split('/').map(|segment| match is_id(segment) {
        true => "*",
        false => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

fn is_id(segment: &str) -> bool {
    /// The shortest word with digits that is taken for an id.
    const LONG: usize = 16;
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let is_number = digits > 0 && digits == segment.len();
    let is_plain = segment
        .bytes()
        .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_');
    is_number || (digits > 0 && is_plain && segment.len() >= LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths_are_one_pattern() {
        for (path, pattern) in [
            ("/items", "/items"),
            ("/v1/items/17", "/v1/items/*"),
            (
                "/users/0b8e0c0e-6a52-4a0c-9d54-9a0f4f6f4a7e/cart",
                "/users/*/cart",
            ),
            ("/recommendations", "/recommendations"),
        ] {
            assert_eq!(path_pattern(path), pattern);
        }
    }
}
