//! The request that is being answered, as far as the services must know it.

use brownout_resilience::time_left;
use brownout_telemetry::Span;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tokio::time::Instant;

use crate::library::BookRequest;

/// A request that came in. Calls to upstreams are made on its behalf.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) headers: HeaderMap,
    /// SERVER, from its arrival to the end of the work, also if the caller has left before.
    pub(crate) span: Span,
    /// When its caller stops waiting, if it said so. Calls on its behalf end then.
    pub(crate) deadline: Option<Instant>,
    /// What is asked of the library; none of services that have one resource only.
    pub(crate) book: Option<Box<BookRequest>>,
}

impl Inbound {
    /// A request that has just arrived.
    pub(crate) fn arrived(headers: HeaderMap, span: Span) -> Self {
        let left = headers.get(time_left::HEADER);
        let left = left.and_then(|value| time_left::read(value.as_bytes()));
        Self {
            deadline: left.map(|left| Instant::now() + left),
            headers,
            span,
            book: None,
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_expired(&self) -> bool {
        self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    /// The credentials it came with, of whatever kind.
    pub(crate) fn token(&self) -> Option<&HeaderValue> {
        self.headers.get(AUTHORIZATION)
    }
}
