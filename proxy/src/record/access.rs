//! The line that is logged of a request.

use std::time::Duration;

use brownout_fault::Fired;
use brownout_telemetry::Span;
use http::{Method, Request, StatusCode};

use super::{End, faults::CUT};

/// The target of lines of requests, for filters of logs.
pub const ACCESS_LOG: &str = "brownout::access";

/// What a line says of the request itself. Of the head it has neither fields nor query: tokens travel in both.
pub(super) struct Access {
    method: Method,
    path: String,
}

/// What else it says.
pub(super) struct Outcome<'a> {
    pub(super) route: &'a str,
    pub(super) status: Option<StatusCode>,
    pub(super) end: End,
    pub(super) bytes: u64,
    pub(super) took: Duration,
    pub(super) upstream_took: Duration,
    pub(super) injected: Duration,
    pub(super) fired: &'a [Fired],
    pub(super) span: &'a Span,
}

impl Access {
    pub(super) fn of<B>(request: &Request<B>) -> Box<Self> {
        Box::new(Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        })
    }

    pub(super) fn log(&self, outcome: &Outcome<'_>) {
        let ending = match outcome.end {
            End::Done => None,
            End::Open => Some("client_disconnect"),
            End::Failed(kind) => Some(kind.name()),
            End::Cut => Some(CUT),
        };
        let faults: Vec<&str> = outcome.fired.iter().map(Fired::id).collect();
        tracing::info!(
            target: ACCESS_LOG,
            route = outcome.route,
            method = self.method.as_str(),
            path = self.path,
            status = outcome.status.map(|status| status.as_u16()),
            ending,
            bytes = outcome.bytes,
            duration_ms = milliseconds(outcome.took),
            upstream_ms = milliseconds(outcome.upstream_took),
            injected_ms = milliseconds(outcome.injected),
            faults = (!faults.is_empty()).then(|| faults.join(",")),
            trace_id = outcome.span.trace_id().map(|id| id.to_string()),
            span_id = outcome.span.span_id().map(|id| id.to_string()),
        );
    }
}

/// With three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
