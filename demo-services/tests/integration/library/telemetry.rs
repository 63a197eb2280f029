//! What the library says of itself: spans and counters.

use std::time::Duration;

use brownout_telemetry::{Metrics, Telemetry, TelemetryConfig};
use brownout_testkit::OtlpReceiver;
use demo_services::library::{LibraryConfig, start};

use super::{Books, GATE, Shelf, get, piranesi, post, quick, url};
use crate::system::{count, resetting};

#[tokio::test]
async fn one_trace_goes_from_the_gate_to_the_database() {
    let collector = OtlpReceiver::start();
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some(collector.url()),
        export_interval: Duration::from_secs(60),
        ..TelemetryConfig::default()
    })
    .unwrap();
    let traced = |config: LibraryConfig| LibraryConfig {
        tracer: telemetry.tracer(config.service().as_str()),
        ..quick(config)
    };
    let shelf = Shelf::file();
    let resetting = resetting().await;
    let fallback = start(traced(LibraryConfig::fallback(shelf.url())))
        .await
        .unwrap();
    let gate = LibraryConfig::gate(resetting.url(), url(&fallback));
    let gate = start(traced(gate)).await.unwrap();

    get(gate.address(), &format!("{GATE}/g1/1")).await;

    telemetry.force_flush();
    let spans = collector.spans();
    let mut paths: Vec<_> = spans.iter().map(|span| span.path(&spans)).collect();
    paths.sort();
    let root = "library-gate GET /api/almg/books/{gate}/{id}";
    let called = format!("{root} > library-gate call library_fallback");
    let sent = format!("{called} > library-gate GET");
    let served = format!("{sent} > library-fallback GET /api/alm/mvc/books/{{id}}");
    let mut wanted = vec![
        root.to_owned(),
        format!("{root} > library-gate call library_primary"),
        format!("{root} > library-gate call library_primary > library-gate GET"),
        called,
        sent,
        served.clone(),
        format!("{served} > library-fallback SELECT book"),
    ];
    wanted.sort();
    assert_eq!(paths, wanted);

    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let primary = named("call library_primary");
    assert_eq!(primary.text("fallback.reason"), Some("reset"));
    assert_eq!(primary.text("resilience.policy"), Some("library-gate-1"));
    assert_eq!(primary.text("circuitbreaker.name"), Some("g1"));
    assert_eq!(primary.error, None, "it was made good");
    let statement = named("SELECT book");
    assert_eq!(statement.text("db.system.name"), Some("sqlite"));
    assert_eq!(statement.text("db.operation.name"), Some("SELECT"));
    assert_eq!(statement.text("db.collection.name"), Some("book"));
}

#[tokio::test]
async fn requests_calls_and_breakers_are_counted() {
    let metrics = Metrics::new();
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let resetting = resetting().await;
    let gate = LibraryConfig {
        metrics: metrics.clone(),
        ..quick(LibraryConfig::gate(resetting.url(), url(&books.fallback)))
    };
    let gate = start(gate).await.unwrap();

    for _ in 0..6 {
        get(gate.address(), &format!("{GATE}/g2/1")).await;
    }
    post(gate.address(), &format!("{GATE}/g2"), &piranesi()).await;
    get(gate.address(), &format!("{GATE}/g9/1")).await;

    let counted = [
        ("library_gate.requests", 7),
        ("library_gate.get", 6),
        ("library_gate.post", 1),
        ("library_gate.put", 0),
        ("library_gate.responses.2xx", 7),
        ("client.calls", 14),
        ("client.attempts", 12),
        ("client.fallbacks", 7),
        ("circuitbreaker.rejected", 2),
        ("/api/alm/reactive/books.connection_error", 5),
        ("circuitbreaker./api/alm/reactive/books_breaker_open", 2),
    ];
    for (name, wanted) in counted {
        assert_eq!(count(&metrics, name), wanted, "{name}");
    }
}
