//! Records of what happened, on one monotonic clock in µs.
//!
//! They are what the proxy's journal and the load tell. What the source did not know is left out.

use std::ops::{Deref, DerefMut};

use brownout_wire::{RequestEnd, RequestRecord};
use serde::{Deserialize, Serialize};

use super::Content;

/// One request on a route: an attempt of the client under test, as the proxy's journal tells it.
///
/// Its path is a pattern: ids in it are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord(RequestRecord);

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

impl From<RequestRecord> for AttemptRecord {
    fn from(mut told: RequestRecord) -> Self {
        told.path = path_pattern(&told.path);
        Self(told)
    }
}

impl Deref for AttemptRecord {
    type Target = RequestRecord;

    fn deref(&self) -> &RequestRecord {
        &self.0
    }
}

impl DerefMut for AttemptRecord {
    fn deref_mut(&mut self) -> &mut RequestRecord {
        &mut self.0
    }
}

impl AttemptRecord {
    /// How long it took, or is open.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.age_us
    }

    /// When it ended; for an open one, when it was looked at.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.t_head + self.age_us
    }

    /// Takes its moments to another clock.
    pub fn shift(&mut self, shift: impl Fn(&mut u64)) {
        let it = &mut self.0;
        [&mut it.t_open, &mut it.t_head]
            .into_iter()
            .for_each(&shift);
        let known = [
            &mut it.t_req_end,
            &mut it.t_first_out,
            &mut it.t_last_out,
            &mut it.t_end,
        ];
        known.into_iter().flatten().for_each(shift);
    }

    /// The id of its page that the client passed on.
    #[must_use]
    pub fn page_id(&self) -> Option<&str> {
        self.request_id.as_deref().or(self.trace_id.as_deref())
    }

    /// Whether the client ended it.
    #[must_use]
    pub fn is_client_ended(&self) -> bool {
        use RequestEnd as End;
        matches!(self.end, End::ClientFin | End::ClientRst | End::ClientLeft)
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end == RequestEnd::StillOpen
    }

    /// Whether it ended without a good answer: none, or a status of 500 and above or 429.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        match self.end {
            // A client whose content is malformed is told so: that is an answer.
            RequestEnd::Answered | RequestEnd::BadRequest => {
                self.status.is_none_or(|it| it >= 500 || it == 429)
            }
            RequestEnd::Fault => self.status.is_none_or(|it| it >= 400),
            RequestEnd::UpstreamError
            | RequestEnd::ClientFin
            | RequestEnd::ClientRst
            | RequestEnd::ClientLeft
            | RequestEnd::StillOpen => true,
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
pub(crate) mod tests {
    use brownout_wire::RequestPhase;

    use super::*;

    /// A GET of `/` on the route `up`, over a connection of its own, answered with 200. Times in µs.
    pub(crate) fn attempt(number: u64, t_head: u64, took: u64) -> AttemptRecord {
        AttemptRecord(RequestRecord {
            number,
            seq: None,
            route: "up".to_owned(),
            conn: number,
            conn_seq: 0,
            peer: None,
            http_version: "1.1".to_owned(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            t_open: t_head,
            t_head,
            t_req_end: Some(t_head),
            t_first_out: Some(t_head + took),
            t_last_out: Some(t_head + took),
            t_end: Some(t_head + took),
            age_us: took,
            end: RequestEnd::Answered,
            ended_by: None,
            end_phase: RequestPhase::IdleAfter,
            bytes: 0,
            status: Some(200),
            faults: Vec::new(),
            retry_after_us: None,
            fingerprint: "1".to_owned(),
            content_hashed: Some(0),
            trace_id: None,
            parent_id: None,
            request_id: None,
            idempotency_key_hash: None,
            retry_count: None,
            in_flight: 1,
        })
    }

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
