//! The request that is being answered, as far as the services must know it.

use brownout_telemetry::Span;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use crate::library::BookRequest;

/// A request that came in. Calls to upstreams are made on its behalf.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) headers: HeaderMap,
    /// SERVER, from its arrival to the end of the work, also if the caller has left before.
    pub(crate) span: Span,
    /// What is asked of the library; none of services that have one resource only.
    pub(crate) book: Option<Box<BookRequest>>,
}

impl Inbound {
    /// The credentials it came with, of whatever kind.
    pub(crate) fn token(&self) -> Option<&HeaderValue> {
        self.headers.get(AUTHORIZATION)
    }
}
