//! What a request's head, and an answer's, tell of themselves. Secrets are left where they are.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::{Duration, SystemTime},
};

use brownout_telemetry::redact_path;

use super::{
    attempt::{PackedTrace, TextLengths},
    open::InProgress,
    packed::Maybe,
};
use crate::http1::{FieldKind, RequestHead};

/// Names of routes have 64 bytes, and 256 where another program names them.
const ROUTE_BYTES_MAX: usize = 1_024;
const METHOD_BYTES_MAX: usize = 32;
const PATH_BYTES_MAX: usize = 256;
const ID_BYTES_MAX: usize = 128;

/// What makes hashes. Their keys are drawn when the process starts: hashes can be compared within it alone.
#[derive(Debug, Clone)]
pub(super) struct Hashes {
    /// Of content, of which there may be much.
    pub(super) content: foldhash::fast::RandomState,
    /// Of heads, and of a head together with its content.
    fingerprints: foldhash::quality::RandomState,
    /// Of values that may be secrets: nobody can find them by trying.
    secrets: RandomState,
}

impl Hashes {
    pub(super) fn new() -> Self {
        Self {
            content: foldhash::fast::RandomState::default(),
            fingerprints: foldhash::quality::RandomState::default(),
            secrets: RandomState::new(),
        }
    }

    /// Of method, target and Content-Length.
    pub(super) fn fingerprint(&self, request: &RequestHead) -> u64 {
        let mut hash = self.fingerprints.build_hasher();
        hash.write(request.method().as_bytes());
        hash.write(request.target().as_bytes());
        if let Some(length) = request.fields.get_kind(FieldKind::ContentLength) {
            hash.write(length);
        }
        hash.finish()
    }

    /// Of a head with this fingerprint and content with this hash.
    pub(super) fn with_content(&self, fingerprint: u64, content: u64) -> u64 {
        self.fingerprints.hash_one((fingerprint, content))
    }
}

/// Reads the head into a record without texts. Only the fields named here are looked at,
/// which [`FieldKind::of`] knows.
pub(super) fn read(request: &RequestHead, route: &str, hashes: &Hashes, attempt: &mut InProgress) {
    let InProgress { packed, texts } = attempt;
    let mut parents = request.fields.all_kind(FieldKind::Traceparent);
    if let (Some(parent), None) = (parents.next(), parents.next()) {
        packed.trace = trace(parent).and_then(PackedTrace::of);
    }
    let mut request_id = None;
    for (name, value) in request.fields.iter_kind(FieldKind::Evidence) {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            12 if is("x-request-id") => request_id = request_id.or_else(|| printable(value)),
            15 if is("idempotency-key") => {
                packed.idempotency_key = Maybe::of(hashes.secrets.hash_one(value));
            }
            13 if is("x-retry-count") => packed.retry_count = number(value),
            23 if is("x-stainless-retry-count") => packed.retry_count = number(value),
            21 if is("x-envoy-attempt-count") => packed.retry_count = before(number(value)),
            15 if is("amz-sdk-request") => packed.retry_count = before(sdk_attempt(value)),
            _ => {}
        }
    }
    let mut add = |text: &str, bytes_max: usize| {
        let text = clipped(text, bytes_max);
        texts.push(text.as_bytes());
        text.len()
    };
    // The order is that of the packed form.
    let route = add(route, ROUTE_BYTES_MAX);
    let method = add(request.method(), METHOD_BYTES_MAX);
    let path = redact_path(clipped(request.path(), PATH_BYTES_MAX));
    let path = add(&path, PATH_BYTES_MAX);
    let request_id = add(request_id.unwrap_or_default(), ID_BYTES_MAX);
    packed.lengths = TextLengths::of(route, method, path, request_id);
}

/// How long a `Retry-After` says to wait (RFC 9110 §10.2.3): seconds, or until a date; zero for one that has passed.
pub(crate) fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim_ascii();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// `00-TRACE-PARENT-FLAGS` (W3C Trace Context §3.2); none for what is no such value.
fn trace(value: &[u8]) -> Option<(u128, u64)> {
    let text = str::from_utf8(value).ok()?.trim_ascii();
    let mut parts = text.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str| {
        text.bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    if (version.len(), trace.len(), parent.len()) != (2, 32, 16)
        || !is_hex(trace)
        || !is_hex(parent)
    {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok()?;
    let parent = u64::from_str_radix(parent, 16).ok()?;
    (trace != 0 && parent != 0).then_some((trace, parent))
}

fn printable(value: &[u8]) -> Option<&str> {
    let is_printable = value.len() <= ID_BYTES_MAX && value.iter().all(u8::is_ascii_graphic);
    str::from_utf8(value).ok().filter(|_| is_printable)
}

fn number(value: &[u8]) -> Option<u32> {
    str::from_utf8(value).ok()?.trim_ascii().parse().ok()
}

/// The attempts before the one with this number, which counts from 1.
fn before(attempt: Option<u32>) -> Option<u32> {
    attempt?.checked_sub(1)
}

/// The attempt of `attempt=2; max=3`.
fn sdk_attempt(value: &[u8]) -> Option<u32> {
    let text = str::from_utf8(value).ok()?;
    let mut pairs = text
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, attempt) = pairs.find(|(key, _)| *key == "attempt")?;
    attempt.parse().ok()
}

/// Up to `bytes_max` bytes of it.
fn clipped(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, told) in [
            ("2", Some(2)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let expected = told.map(Duration::from_secs);
            assert_eq!(retry_after(value.as_bytes(), now), expected, "{value}");
        }
    }

    #[test]
    fn a_trace_is_named_by_a_whole_traceparent_alone() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let named = trace(parent.as_bytes());
        assert_eq!(
            named,
            Some((
                0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
                0x00f0_67aa_0ba9_02b7
            ))
        );
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn the_sdk_says_which_attempt_it_is() {
        assert_eq!(sdk_attempt(b"attempt=2; max=3"), Some(2));
        assert_eq!(sdk_attempt(b"ttl=20; attempt=1"), Some(1));
        assert_eq!(sdk_attempt(b"max=3"), None);
    }
}
