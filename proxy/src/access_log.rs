//! The lines that are logged of requests and connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use brownout_fault::Fired;
use brownout_telemetry::{Span, SpanId, TraceId, redact_path};

use crate::{
    clock::Times,
    http1::{Refusal, RequestHead},
};

/// The target of lines of requests, for filters of logs.
pub const ACCESS_LOG: &str = "brownout::access";

/// What the line of an exchange says of the request itself. Of the head it has neither fields nor query: tokens travel in both.
#[derive(Debug)]
pub(crate) struct RequestLine {
    method: String,
    path: String,
    version: &'static str,
}

/// What else the line of an exchange says.
pub(crate) struct ExchangeLine<'a> {
    pub(crate) route: &'a str,
    pub(crate) status: Option<u16>,
    /// How it ended, where it did not end as it should.
    pub(crate) ending: Option<&'a str>,
    pub(crate) bytes: u64,
    pub(crate) times: Times,
    pub(crate) fired: &'a [Fired],
    pub(crate) span: &'a Span,
}

impl RequestLine {
    /// `version` is that of HTTP.
    pub(crate) fn of(request: &RequestHead, version: &'static str) -> Box<Self> {
        Box::new(Self {
            method: request.method().to_owned(),
            path: redact_path(request.path()).into_owned(),
            version,
        })
    }

    pub(crate) fn log(&self, line: &ExchangeLine<'_>) {
        let faults: Vec<&str> = line.fired.iter().map(Fired::id).collect();
        let times = &line.times;
        tracing::info!(
            target: ACCESS_LOG,
            route = line.route,
            method = self.method,
            path = self.path,
            http_version = self.version,
            status = line.status,
            ending = line.ending,
            bytes = line.bytes,
            duration_ms = milliseconds(times.whole),
            upstream_ms = milliseconds(times.upstream),
            fault_ms = milliseconds(times.fault),
            client_ms = milliseconds(times.client),
            own_ms = milliseconds(times.own),
            faults = (!faults.is_empty()).then(|| faults.join(",")),
            trace_id = line.span.trace_id().map(|id| id.to_string()),
            span_id = line.span.span_id().map(|id| id.to_string()),
        );
    }
}

/// The line of a connection whose bytes mean nothing to the proxy: of a `tcp` route, or after a change of protocol. It is
/// logged when the connection has ended.
#[derive(Debug)]
pub(crate) struct ConnectionLine {
    /// The request that asked for another protocol.
    request: Option<RequestLine>,
    /// Of its answer.
    status: Option<u16>,
    began: Instant,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
}

/// How a connection ended, for its line.
#[derive(Debug)]
pub(crate) struct ConnectionEnd<'a> {
    pub(crate) route: &'a str,
    pub(crate) peer: SocketAddr,
    /// Bytes from the client to the upstream.
    pub(crate) bytes_in: u64,
    /// Bytes from the upstream to the client.
    pub(crate) bytes_out: u64,
    /// `None` when both sides closed in good order.
    pub(crate) ending: Option<&'a str>,
}

impl ConnectionLine {
    /// Of a connection of a `tcp` route that was accepted at `began`.
    pub(crate) fn of_tcp(began: Instant) -> Self {
        Self {
            request: None,
            status: None,
            began,
            trace_id: None,
            span_id: None,
        }
    }

    pub(crate) fn of_upgrade(
        request: RequestLine,
        status: Option<u16>,
        began: Instant,
        trace_id: Option<TraceId>,
        span_id: Option<SpanId>,
    ) -> Self {
        Self {
            request: Some(request),
            status,
            began,
            trace_id,
            span_id,
        }
    }

    pub(crate) fn log(&self, end: &ConnectionEnd<'_>) {
        let request = self.request.as_ref();
        tracing::info!(
            target: ACCESS_LOG,
            route = end.route,
            method = request.map(|request| request.method.as_str()),
            path = request.map(|request| request.path.as_str()),
            http_version = request.map(|request| request.version),
            status = self.status,
            ending = end.ending,
            peer = %end.peer,
            bytes = end.bytes_out,
            bytes_in = end.bytes_in,
            bytes_out = end.bytes_out,
            duration_ms = milliseconds(self.began.elapsed()),
            trace_id = self.trace_id.map(|id| id.to_string()),
            span_id = self.span_id.map(|id| id.to_string()),
        );
    }
}

/// The line of a request that was refused before it became an exchange.
#[derive(Debug)]
pub(crate) struct RefusedLine<'a> {
    pub(crate) route: &'a str,
    pub(crate) peer: SocketAddr,
    /// What of it could be read.
    pub(crate) request: Option<&'a RequestHead>,
    /// Of HTTP.
    pub(crate) version: &'static str,
    pub(crate) refusal: &'a Refusal,
}

impl RefusedLine<'_> {
    pub(crate) fn log(&self) {
        let request = self.request.filter(|head| !head.method().is_empty());
        tracing::info!(
            target: ACCESS_LOG,
            route = self.route,
            method = request.map(RequestHead::method),
            path = request.map(|request| redact_path(request.path())).as_deref(),
            http_version = request.map(|_| self.version),
            status = self.refusal.status,
            ending = "refused",
            why = self.refusal.why,
            peer = %self.peer,
        );
    }
}

/// With three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
