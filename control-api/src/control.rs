//! What the API's calls have in common: the operations under them, who may call, what is counted and traced.

use std::{convert::Infallible, sync::Arc, time::Instant};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, request::Parts},
    middleware::Next,
    response::Response,
};
use brownout_fault::Origin;
use brownout_telemetry::{Metrics, RouteMatch, ServerRequest, Span, SpanLink, Tracer, names};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    audit::Caller,
    auth::{Guard, Tokens},
    connections::Peer,
    off_thread::Workers,
    ops::Ops,
};

/// The state behind the API.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) ops: Ops,
    pub(crate) guard: Guard,
    pub(crate) tokens: Tokens,
    pub(crate) workers: Workers,
    pub(crate) metrics: Metrics,
    /// Cancelled when the API stops: calls that would last end then.
    pub(crate) stop: CancellationToken,
    tracer: Tracer,
}

/// The state as axum hands it to handlers.
pub(crate) type Shared = Arc<Control>;

impl Control {
    pub(crate) fn new(
        ops: Ops,
        guard: Guard,
        tokens: Tokens,
        metrics: Metrics,
        tracer: Tracer,
    ) -> Self {
        Self {
            ops,
            guard,
            tokens,
            workers: Workers::default(),
            metrics,
            stop: CancellationToken::new(),
            tracer,
        }
    }

    /// Serves a call, counts it and traces it.
    async fn observe(&self, mut request: Request, next: Next) -> Response {
        let method = request.method().clone();
        let path = request
            .extensions()
            .get::<MatchedPath>()
            .map(|path| path.as_str().to_owned());
        let began = Instant::now();
        let mut span = self.span(&request, path.as_deref());
        let caller = Caller {
            peer: request.extensions().get::<Peer>().map(|peer| peer.0),
            origin: span.link().map(origin),
            ..Caller::of("api")
        };
        request.extensions_mut().insert(caller);
        let response = next.run(request).instrument(in_logs(&span)).await;
        let status = response.status().as_u16();
        tracing::debug!(
            %method, path = path.as_deref(), status, peer = caller.peer.map(tracing::field::display),
            "a call of the control API"
        );
        span.status_code(status);
        span.end();
        // By pattern, never by path: ids would make a series each, and so would methods that somebody made up.
        let tags = &[known(&method), path.as_deref().unwrap_or("unknown")];
        self.metrics.counter(names::CONTROL_REQUESTS, tags).add(1);
        self.metrics
            .histogram(names::CONTROL_LATENCY, tags)
            .record(began.elapsed());
        response
    }

    /// The span of a call; none for those that only ask, over and over, whether we are there.
    fn span(&self, request: &Request, path: Option<&str>) -> Span {
        if matches!(path, Some("/healthz" | "/readyz" | "/metrics")) {
            return Span::none();
        }
        self.tracer.server(&ServerRequest {
            route: path.map_or(RouteMatch::Unmatched, RouteMatch::Pattern),
            ..ServerRequest::of(request)
        })
    }
}

/// Counts and traces every call, the refused ones included.
pub(crate) async fn observe(
    State(control): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    control.observe(request, next).await
}

/// What every line that is logged during a call says of it.
fn in_logs(span: &Span) -> tracing::Span {
    match (span.trace_id(), span.span_id()) {
        (Some(trace_id), Some(span_id)) => {
            // At the level of what is logged by default, or it would be left out.
            tracing::warn_span!("call", %trace_id, %span_id)
        }
        _ => tracing::Span::none(),
    }
}

fn origin(link: SpanLink) -> Origin {
    Origin {
        trace_id: link.trace_id.to_bytes(),
        span_id: link.span_id.to_bytes(),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get().copied();
        Ok(caller.unwrap_or(Self::of("api")))
    }
}

/// The method's name, or `_OTHER` for one that no HTTP specification knows.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS => method.as_str(),
        _ => "_OTHER",
    }
}
