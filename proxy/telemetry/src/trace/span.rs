use std::{borrow::Cow, fmt, sync::Arc};

use opentelemetry::{
    Array, Context, KeyValue, Value,
    trace::{Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer as _},
};
use opentelemetry_sdk::trace::Span as SdkSpan;
use opentelemetry_semantic_conventions::attribute as semconv;

use super::{
    Service,
    context::Traceparent,
    http::ClientRequest,
    id::{SpanId, SpanLink, TraceId},
};

/// What most spans of ours need without growing.
const ATTRIBUTES: usize = 20;

/// Longer texts are cut: clients choose some of them, and thousands of spans may wait.
const TEXT_BYTES_MAX: usize = 1024;

/// One piece of work in a trace.
///
/// It ends, and goes to the collector, when it is dropped or by [`end`](Self::end); neither ever
/// waits. All calls on [`Span::none`] do nothing. Set each attribute once: a second value is sent
/// beside the first. Texts are cut at 1024 bytes.
pub struct Span(Option<Box<Active>>);

/// A span that has ids, recorded or not.
struct Active {
    span: SdkSpan,
    service: Arc<Service>,
    kind: SpanKind,
    /// Whether it is recorded in a trace that is not.
    is_alone: bool,
    /// These two are written at the end, because the last word counts.
    status_code: Option<u16>,
    failure: Option<Failure>,
}

struct Failure {
    error_type: String,
    description: String,
}

impl Span {
    /// No span: nothing is recorded, nothing is injected, and its children are none.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Begins a child for a request that is about to be sent; one for each attempt.
    #[must_use]
    pub fn client(&self, request: &ClientRequest<'_>) -> Self {
        let mut child = self.child(SpanKind::Client, request.span_name());
        if let Some(span) = child.recording() {
            request.describe(span);
        }
        child
    }

    /// As [`client`](Self::client), for a request of which it is not known yet to which server it goes: that is said
    /// with [`goes_to`](Self::goes_to), once.
    #[must_use]
    pub fn client_of_several(&self, method: &str, resend_count: u32) -> Self {
        let mut child = self.child(SpanKind::Client, ClientRequest::name_of(method));
        if let Some(span) = child.recording() {
            ClientRequest::describe_attempt(method, resend_count, span);
        }
        child
    }

    /// Says where the request goes of [`client_of_several`](Self::client_of_several).
    pub fn goes_to(&mut self, scheme: &str, authority: &str, path: &str) {
        if let Some(span) = self.recording() {
            ClientRequest::describe_target(scheme, authority, path, span);
        }
    }

    /// Begins a child for work inside the process, such as a call of several attempts, or for
    /// waiting.
    #[must_use]
    pub fn internal(&self, name: impl Into<Cow<'static, str>>) -> Self {
        self.child(SpanKind::Internal, name.into())
    }

    /// What names this span as the parent of whoever reads it, or says there that the trace is not recorded; `None`
    /// where there is no span, or traces are not to leave the process.
    pub(super) fn traceparent(&self) -> Option<Traceparent> {
        let active = self.0.as_ref()?;
        if !active.service.sampling.reads_parents {
            return None;
        }
        let context = active.span.span_context();
        let sampled = context.is_sampled() && !active.is_alone;
        Some(Traceparent::of(context, sampled))
    }

    /// Whether anything set here will be sent.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.span.is_recording())
    }

    /// The trace it belongs to, for logs and answers.
    #[must_use]
    pub fn trace_id(&self) -> Option<TraceId> {
        let active = self.0.as_ref()?;
        Some(TraceId::of(active.span.span_context()))
    }

    /// Its own id in the trace.
    #[must_use]
    pub fn span_id(&self) -> Option<SpanId> {
        let active = self.0.as_ref()?;
        Some(SpanId::of(active.span.span_context()))
    }

    /// What others may point at; `None` unless it is recorded, as there would be nothing to see.
    #[must_use]
    pub fn link(&self) -> Option<SpanLink> {
        if !self.is_recording() {
            return None;
        }
        Some(SpanLink {
            trace_id: self.trace_id()?,
            span_id: self.span_id()?,
        })
    }

    /// Notes the version of the protocol in which a request was answered: of HTTP `1.0`, `1.1` or `2`.
    pub fn protocol_version(&mut self, version: &'static str) {
        self.set(semconv::NETWORK_PROTOCOL_VERSION, || Value::from(version));
    }

    /// Sets an attribute to text. See [`names::attr`](crate::names::attr) for our keys.
    pub fn set_str(&mut self, key: &'static str, value: &str) {
        self.set(key, || clip(value));
    }

    /// Sets an attribute to a list of texts.
    pub fn set_strs(&mut self, key: &'static str, values: &[&str]) {
        self.set(key, || {
            Value::Array(Array::String(
                values
                    .iter()
                    .map(|&value| value.to_owned().into())
                    .collect(),
            ))
        });
    }

    /// Sets an attribute to a number.
    pub fn set_int(&mut self, key: &'static str, value: i64) {
        self.set(key, || value);
    }

    /// Sets an attribute to yes or no.
    pub fn set_bool(&mut self, key: &'static str, value: bool) {
        self.set(key, || value);
    }

    /// Notes the status that was sent or received; the last one counts.
    ///
    /// It makes the span an error from 500 on for a request that came in, from 400 on for one
    /// that was sent, with the code as `error.type`; unless [`error`](Self::error) says more.
    pub fn status_code(&mut self, code: u16) {
        if let Some(active) = self.recording_active() {
            active.status_code = Some(code);
        }
    }

    /// Takes back what [`status_code`](Self::status_code) noted: it was never sent.
    pub fn no_status_code(&mut self) {
        if let Some(active) = self.recording_active() {
            active.status_code = None;
        }
    }

    /// Makes the span an error, whatever its status code; the last call counts.
    ///
    /// `error_type` is one of few, `connection_reset` or `fault.truncate`; `description` may be
    /// empty. Errors that were made good, by a retry or a fallback, are not errors of the whole.
    pub fn error(&mut self, error_type: &str, description: &str) {
        if let Some(active) = self.recording_active() {
            active.failure = Some(Failure {
                error_type: clip(error_type),
                description: clip(description),
            });
        }
    }

    /// Ends the span now.
    pub fn end(self) {
        drop(self);
    }

    pub(super) fn begin(
        service: &Arc<Service>,
        parent: &Context,
        kind: SpanKind,
        name: Cow<'static, str>,
        links: &[SpanLink],
    ) -> Self {
        let mut builder = SpanBuilder::from_name(name).with_kind(kind.clone());
        builder.attributes = Some(Vec::with_capacity(ATTRIBUTES));
        if !links.is_empty() {
            let link = |link: &SpanLink| Link::new(link.context(), Vec::new(), 0);
            builder.links = Some(links.iter().map(link).collect());
        }
        let span = service.tracer.build_with_context(builder, parent);
        if !span.span_context().is_valid() {
            return Self::none(); // The telemetry was shut down.
        }
        Self(Some(Box::new(Active {
            span,
            service: Arc::clone(service),
            kind,
            is_alone: false,
            status_code: None,
            failure: None,
        })))
    }

    /// Says that the rest of its trace is not recorded.
    pub(super) fn alone(mut self) -> Self {
        if let Some(active) = &mut self.0 {
            active.is_alone = true;
        }
        self
    }

    /// The SDK's span, if attributes are of use to it.
    pub(super) fn recording(&mut self) -> Option<&mut SdkSpan> {
        self.recording_active().map(|active| &mut active.span)
    }

    fn recording_active(&mut self) -> Option<&mut Active> {
        self.0.as_deref_mut().filter(|it| it.span.is_recording())
    }

    fn child(&self, kind: SpanKind, name: Cow<'static, str>) -> Self {
        let Some(parent) = self.0.as_ref().filter(|parent| !parent.is_alone) else {
            return Self::none();
        };
        // "Remote" is the SDK's word for a parent given by its ids; these say it is local.
        let context = Context::new().with_remote_span_context(parent.span.span_context().clone());
        Self::begin(&parent.service, &context, kind, name, &[])
    }

    fn set<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(span) = self.recording() {
            span.set_attribute(KeyValue::new(key, value()));
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.trace_id(), self.span_id()) {
            (Some(trace), Some(span)) => write!(f, "Span({trace}-{span})"),
            _ => f.write_str("Span(none)"),
        }
    }
}

impl Active {
    /// From which status code on a span of this kind is an error (semantic conventions for HTTP).
    fn is_error(&self, code: u16) -> bool {
        match self.kind {
            SpanKind::Server => code >= 500,
            SpanKind::Client => code >= 400,
            SpanKind::Internal | SpanKind::Producer | SpanKind::Consumer => false,
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if !self.span.is_recording() {
            return;
        }
        if let Some(code) = self.status_code {
            let code = KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(code));
            self.span.set_attribute(code);
        }
        let failure = match (self.failure.take(), self.status_code) {
            (Some(failure), _) => failure,
            (None, Some(code)) if self.is_error(code) => Failure {
                error_type: code.to_string(),
                description: String::new(), // The code says it.
            },
            (None, _) => return,
        };
        let error_type = KeyValue::new(semconv::ERROR_TYPE, failure.error_type);
        self.span.set_attribute(error_type);
        self.span.set_status(Status::error(failure.description));
    }
}

pub(super) fn clip(text: &str) -> String {
    clipped(text).to_owned()
}

/// What of `text` is shown.
pub(super) fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
