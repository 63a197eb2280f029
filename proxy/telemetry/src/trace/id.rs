//! The numbers of traces and spans.

use std::fmt;

use opentelemetry::trace::{self, SpanContext, TraceFlags, TraceState};

/// The number that all spans of one trace share. Prints as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The number of one span in its trace. Prints as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// Names a span from outside its trace, for others to point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanLink {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
}

impl SpanLink {
    pub(super) fn context(self) -> SpanContext {
        SpanContext::new(
            trace::TraceId::from_bytes(self.trace_id.to_bytes()),
            trace::SpanId::from_bytes(self.span_id.to_bytes()),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        )
    }
}

impl TraceId {
    /// Its 16 bytes, most significant first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From 16 bytes, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) fn of(context: &SpanContext) -> Self {
        Self(u128::from_be_bytes(context.trace_id().to_bytes()))
    }
}

impl SpanId {
    /// Its 8 bytes, most significant first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// From 8 bytes, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    pub(super) fn of(context: &SpanContext) -> Self {
        Self(u64::from_be_bytes(context.span_id().to_bytes()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
