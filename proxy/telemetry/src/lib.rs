//! What brownout tells the world about itself: traces for an OpenTelemetry collector, metrics for
//! a statsd daemon, and the names of both.
//!
//! This is the only crate that knows the OpenTelemetry and statsd crates, and no type of theirs
//! leaves it. It prints nothing, ends nothing and reads no environment, except that the
//! OpenTelemetry crates look at `OTEL_RESOURCE_ATTRIBUTES` and at headers, compression and protocol
//! in `OTEL_EXPORTER_OTLP_*` by themselves.
//!
//! Two promises hold whatever the collector and the daemon do: no call on the way of a request
//! ever waits, and what is queued is bounded. What is lost is counted, in `telemetry.*`.
//!
//! ```
//! use std::time::Duration;
//!
//! use brownout_telemetry::{RouteMatch, ServerRequest, Telemetry, TelemetryConfig, names};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = Telemetry::start(TelemetryConfig {
//!     statsd: Some("127.0.0.1:8125".into()),
//!     ..TelemetryConfig::default()
//! })?;
//!
//! // Once, when a route is made:
//! let requests = telemetry.metrics().counter(names::PROXY_REQUESTS, &["web"]);
//! let latency = telemetry.metrics().histogram(names::PROXY_LATENCY, &["web"]);
//! let tracer = telemetry.tracer("brownout-proxy");
//!
//! // For each request:
//! let request = http::Request::get("/books/1").body(())?;
//! let mut span = tracer.server(&ServerRequest {
//!     route: RouteMatch::Proxy("web"),
//!     ..ServerRequest::of(&request)
//! });
//! requests.add(1);
//! latency.record(Duration::from_millis(12));
//! span.status_code(200);
//! span.end();
//!
//! telemetry.shutdown(Duration::from_secs(3))?;
//! # Ok(())
//! # }
//! ```

pub mod names;
pub mod prometheus;
pub mod reference;

mod metrics;
mod redact;
mod statsd;
mod telemetry;
mod trace;

pub use crate::{
    metrics::{Counter, Distribution, Gauge, Histogram, Metrics, Sample, SeriesGroup, Value},
    redact::{redact_authority, redact_path, redact_query, redact_url},
    statsd::{Dialect, UnknownDialect},
    telemetry::{ShutdownTimeout, StartError, Telemetry, TelemetryConfig},
    trace::{
        ClientRequest, FaultSampling, Outgoing, Propagation, RouteMatch, Sampling, ServerRequest,
        Span, SpanId, SpanLink, TraceContext, TraceId, TraceState, Traceparent, Tracer,
        forward_context,
    },
};
