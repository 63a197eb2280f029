//! Spans, made by hand: no thread-local context, parents are named.

mod collector;
mod context;
mod export;
mod http;
mod ledger;
mod span;

use std::sync::Arc;

use opentelemetry::{
    Context,
    trace::{SpanKind, TraceContextExt},
};
use opentelemetry_sdk::trace::SdkTracer;

pub use self::{
    context::{SpanId, TraceId, forward_context},
    http::{ClientRequest, RouteMatch, ServerRequest},
    span::Span,
};
pub(crate) use self::{
    export::{TraceSettings, Traces},
    ledger::Ledger,
};

/// Begins the spans of one service.
///
/// Cloning gives another handle. After the shutdown, and with [`Tracer::off`], every span is
/// [`Span::none`].
#[derive(Debug, Clone)]
pub struct Tracer(Option<Arc<SdkTracer>>);

impl Tracer {
    /// A tracer that records nothing and costs nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether there is a collector to send spans to.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a request that came in, in the trace that its `traceparent` names or in
    /// a new one.
    ///
    /// Whether the span is recorded is decided before anything is built for it. A `traceparent`
    /// that says "not sampled" gives [`Span::none`]: forward its headers as they came. Without a
    /// parent the configured ratio decides, and a span that is not recorded still passes that
    /// decision on ([`Span::inject`]). A `traceparent` that breaks W3C Trace Context §3.2 counts
    /// as none.
    #[must_use]
    pub fn server(&self, request: &ServerRequest<'_>) -> Span {
        let Some(tracer) = &self.0 else {
            return Span::none();
        };
        let parent = match context::parent_of(request.headers) {
            Some(parent) if !parent.is_sampled() => return Span::none(),
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let mut span = Span::begin(tracer, &parent, SpanKind::Server, request.span_name());
        if let Some(span) = span.recording() {
            request.describe(span);
        }
        span
    }
}
