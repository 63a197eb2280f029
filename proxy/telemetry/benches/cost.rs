//! What telemetry costs on the way of a request: `cargo bench -p brownout-telemetry`.
//!
//! Sampled spans go to a collector that refuses connections, which leaves the queue the same work.

use std::{hint::black_box, time::Duration};

use brownout_telemetry::{
    ClientRequest, Metrics, RouteMatch, Sampling, ServerRequest, Telemetry, TelemetryConfig,
    Tracer, names, prometheus, redact_query,
};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Request, Uri};

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn telemetry(ratio: f64) -> Telemetry {
    Telemetry::start(TelemetryConfig {
        otlp: Some("http://127.0.0.1:9".into()),
        sampling: Sampling {
            ratio,
            ..Sampling::default()
        },
        ..TelemetryConfig::default()
    })
    .expect("the configuration is valid")
}

fn request(traceparent: Option<&str>) -> Request<()> {
    let mut request = Request::get("/books/1?lang=en")
        .header("host", "books.example:8080")
        .header("user-agent", "curl/8.5.0")
        .header("accept", "*/*");
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    request.body(()).expect("the parts are valid")
}

/// The spans of one request through the proxy.
fn exchange(tracer: &Tracer, request: &Request<()>, uri: &Uri, headers: &mut HeaderMap) {
    let mut server = tracer.server(&ServerRequest {
        peer: Some(([192, 0, 2, 7], 40_000).into()),
        route: RouteMatch::Proxy("library"),
        ..ServerRequest::of(request)
    });
    let mut client = server.client(&ClientRequest::to("GET", uri));
    client.inject(headers);
    client.status_code(200);
    server.status_code(200);
}

fn metrics(c: &mut Criterion) {
    let metrics = telemetry(1.0).metrics();
    let counter = metrics.counter(names::PROXY_REQUESTS, &["web"]);
    let histogram = metrics.histogram(names::PROXY_LATENCY, &["web"]);

    c.bench_function("counter add", |b| b.iter(|| counter.add(black_box(1))));
    c.bench_function("histogram record", |b| {
        b.iter(|| histogram.record(black_box(Duration::from_micros(1234))));
    });
}

fn spans(c: &mut Criterion) {
    let all = telemetry(1.0);
    let none = telemetry(0.0);
    let on = all.tracer("brownout-proxy");
    let uri = Uri::from_static("http://127.0.0.1:9003/books/1?lang=en");
    let mut headers = HeaderMap::new();

    for (name, tracer, request) in [
        ("server and client span, off", Tracer::off(), request(None)),
        ("…, unsampled parent", on.clone(), request(Some(UNSAMPLED))),
        (
            "…, unsampled by ratio",
            none.tracer("brownout-proxy"),
            request(None),
        ),
        ("…, sampled", on, request(Some(SAMPLED))),
    ] {
        c.bench_function(name, |b| {
            b.iter(|| exchange(&tracer, &request, &uri, &mut headers));
        });
    }
}

/// What a scrape of a full table takes, on the thread of the control API.
fn scrape(c: &mut Criterion) {
    let metrics = telemetry(1.0).metrics();
    let mut series = 0;
    for route in 0.. {
        let route = format!("route{route}");
        for class in ["1xx", "2xx", "3xx", "4xx", "5xx", "none"] {
            metrics
                .counter(names::PROXY_RESPONSES, &[&route, class])
                .add(1);
        }
        for part in ["upstream", "fault", "client", "own"] {
            let time = metrics.histogram(names::PROXY_TIME, &[&route, part]);
            (1..=20).for_each(|n| time.record(Duration::from_micros(n * n * 100)));
        }
        series += 10;
        if series + 10 >= Metrics::MAX_SERIES {
            break;
        }
    }

    c.bench_function("a page of all series", |b| {
        b.iter(|| prometheus::text(&metrics));
    });
}

fn redaction(c: &mut Criterion) {
    for (name, query) in [
        ("redact nothing", "lang=en&page=2&sort=title&filter=new"),
        ("redact one of four", "lang=en&page=2&sort=title&sig=6f1a"),
    ] {
        c.bench_function(name, |b| b.iter(|| redact_query(black_box(query)).len()));
    }
}

criterion_group!(benches, metrics, spans, scrape, redaction);
criterion_main!(benches);
