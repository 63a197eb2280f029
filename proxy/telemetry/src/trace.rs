//! Spans, made by hand: no thread-local context, parents are named.

mod collector;
mod context;
mod export;
mod headers;
mod http;
mod id;
mod ledger;
mod outgoing;
mod sampling;
mod span;
mod tracestate;

use std::sync::Arc;

use ::http::HeaderMap;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanKind, TraceContextExt},
};
use opentelemetry_sdk::trace::SdkTracer;

pub use self::{
    context::{TraceContext, Traceparent},
    headers::forward_context,
    http::{ClientRequest, RouteMatch, ServerRequest},
    id::{SpanId, SpanLink, TraceId},
    outgoing::Outgoing,
    sampling::{FaultSampling, Propagation, Sampling},
    span::Span,
    tracestate::TraceState,
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
pub struct Tracer {
    service: Option<Arc<Service>>,
    propagation: Propagation,
}

/// What all spans of a service share.
#[derive(Debug)]
struct Service {
    tracer: SdkTracer,
    sampling: Decisions,
}

/// What is to be known before a span is begun.
#[derive(Debug, Clone, Copy)]
struct Decisions {
    /// Whether traces of others are taken part in at all.
    reads_parents: bool,
    /// Whether a trace that was begun elsewhere is recorded as it says.
    by_parent: bool,
    /// Whether a request with a fault is recorded whatever was decided.
    faults_always: bool,
}

impl Tracer {
    /// A tracer that records nothing and costs nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::off_with(Propagation::default())
    }

    pub(crate) fn off_with(propagation: Propagation) -> Self {
        Self {
            service: None,
            propagation,
        }
    }

    /// Whether there is a collector to send spans to.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.service.is_some()
    }

    /// Begins the span of a request that came in, in the trace that its `traceparent` names or in
    /// a new one.
    ///
    /// Whether the span is recorded is decided before anything is built for it. A `traceparent`
    /// that says "not sampled" gives [`Span::none`]: forward its headers as they came. Without a
    /// parent the configured ratio decides, and a span that is not recorded still passes that
    /// decision on ([`Outgoing::of`]). A `traceparent` that breaks W3C Trace Context §3.2 counts
    /// as none.
    ///
    /// With [`FaultSampling::Always`] a request that has a fault is recorded all the same, by this one span in
    /// the trace it came with: it has no children, and whoever comes after it is told that nothing is recorded.
    #[must_use]
    pub fn server(&self, request: &ServerRequest<'_>) -> Span {
        let Some(service) = &self.service else {
            return Span::none();
        };
        let decisions = service.sampling;
        let parent = match decisions.reads_parents {
            true => request.context.parent(),
            false => None,
        };
        let is_forced = request.has_fault && decisions.faults_always;
        let is_declined = |parent: &SpanContext| decisions.by_parent && !parent.is_sampled();
        let is_declined = parent.as_ref().is_some_and(is_declined);
        if is_declined && !is_forced {
            return Span::none();
        }
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let begin = |context: &Context| {
            let name = request.span_name();
            Span::begin(service, context, SpanKind::Server, name, request.links)
        };
        let mut span = match is_declined {
            true => Span::none(),
            false => begin(&context),
        };
        if is_forced && !span.is_recording() {
            span = begin(&context.with_value(sampling::Forced)).alone();
        }
        if let Some(span) = span.recording() {
            request.describe(span);
        }
        span
    }

    /// Removes those headers of trace context and baggage that are not to be passed on, by configuration.
    ///
    /// For services that write their upstream requests themselves, before [`forward_context`].
    pub fn restrict(&self, incoming: &mut HeaderMap) {
        headers::restrict(self.propagation, incoming);
    }
}
