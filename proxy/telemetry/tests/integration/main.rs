//! The crate as its users see it: real sockets, a collector and a daemon that keep what they get.

mod attributes;
mod export;
mod metrics;
mod reference;
mod sampling;
mod start;
mod statsd;
mod trace;

use std::time::Duration;

use brownout_telemetry::{
    ClientRequest, ServerRequest, Span, Telemetry, TelemetryConfig, Tracer, names,
};
use brownout_testkit::{OtlpReceiver, StatsdReceiver};
use http::{Request, Uri};

/// Far longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends only when a test asks it to.
fn on_demand() -> TelemetryConfig {
    TelemetryConfig {
        export_interval: Duration::from_secs(3600),
        flush_interval: Duration::from_secs(3600),
        ..TelemetryConfig::default()
    }
}

fn tracing_to(collector: &OtlpReceiver) -> Telemetry {
    Telemetry::start(TelemetryConfig {
        otlp: Some(collector.url()),
        ..on_demand()
    })
    .expect("the receiver is there")
}

fn counting_to(daemon: &StatsdReceiver) -> Telemetry {
    Telemetry::start(TelemetryConfig {
        statsd: Some(daemon.address()),
        ..on_demand()
    })
    .expect("the receiver is there")
}

/// A span without parent, of a request for `/`.
fn root(tracer: &Tracer) -> Span {
    tracer.server(&ServerRequest::of(&Request::new(())))
}

fn call<'a>(uri: &'a Uri) -> ClientRequest<'a> {
    ClientRequest::to("GET", uri)
}

/// Spans ended, exported, failed and dropped.
fn ledger(telemetry: &Telemetry) -> [u64; 4] {
    [
        names::TELEMETRY_SPANS_ENDED,
        names::TELEMETRY_SPANS_EXPORTED,
        names::TELEMETRY_SPANS_FAILED,
        names::TELEMETRY_SPANS_DROPPED,
    ]
    .map(|name| telemetry.metrics().counter(name, &[]).total())
}
