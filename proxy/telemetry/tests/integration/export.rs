use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use brownout_telemetry::{Telemetry, TelemetryConfig};
use brownout_testkit::OtlpReceiver;

use crate::{PATIENCE, ledger, on_demand, root, tracing_to};

/// How long an export waits for an answer. Whoever is done sooner has not waited for one.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

const MANY: u64 = 100_000;

/// Spans that the process lets wait.
const WAITING_MAX: u64 = 8192;

fn end_many_spans(telemetry: &Telemetry) {
    let tracer = telemetry.tracer("homepage");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..MANY / 4).for_each(|_| root(&tracer).end()));
        }
    });
}

#[test]
fn every_span_is_exported_or_counted_as_lost() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);

    end_many_spans(&telemetry);
    telemetry.shutdown(PATIENCE).unwrap();

    let [ended, exported, failed, dropped] = ledger(&telemetry);
    assert_eq!(ended, MANY);
    assert_eq!(exported + failed + dropped, ended);
    assert_eq!(failed, 0);
    assert_eq!(collector.spans().len() as u64, exported);
}

#[test]
fn a_black_hole_costs_spans_and_no_time() {
    let collector = OtlpReceiver::black_hole();
    let telemetry = tracing_to(&collector);

    let begun = Instant::now();
    end_many_spans(&telemetry);
    let ending = begun.elapsed();

    // One wait for the collector a batch would take a quarter of an hour.
    assert!(ending < PATIENCE, "{ending:?}");
    let [ended, exported, failed, dropped] = ledger(&telemetry);
    assert_eq!([ended, exported], [MANY, 0]);
    assert!(dropped >= MANY - WAITING_MAX - failed, "{dropped}");

    let deadline = Duration::from_secs(1);
    let begun = Instant::now();
    let result = telemetry.shutdown(deadline);
    let shutdown = begun.elapsed();

    assert!(shutdown < EXPORT_TIMEOUT, "{shutdown:?}");
    let unsent = result.unwrap_err();
    assert_eq!(unsent.deadline, deadline);
    assert!(unsent.spans > 0);
    let [ended, exported, failed, dropped] = ledger(&telemetry);
    assert_eq!(exported + failed + dropped, ended);
}

#[test]
fn a_collector_that_refuses_costs_spans_and_no_time() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some(url),
        ..on_demand()
    })
    .unwrap();

    end_many_spans(&telemetry);
    let begun = Instant::now();
    let result = telemetry.shutdown(Duration::from_secs(1));
    let shutdown = begun.elapsed();

    assert!(shutdown < EXPORT_TIMEOUT, "{shutdown:?}, {result:?}");
    let [ended, exported, failed, dropped] = ledger(&telemetry);
    assert_eq!([ended, exported], [MANY, 0]);
    assert_eq!(failed + dropped, ended);
    assert!(failed > 0);
}

#[test]
fn with_few_spans_a_collector_that_refuses_is_no_timeout() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some(url),
        ..on_demand()
    })
    .unwrap();

    root(&telemetry.tracer("homepage")).end();

    assert_eq!(telemetry.shutdown(PATIENCE), Ok(()));
    assert_eq!(ledger(&telemetry), [1, 0, 1, 0]);
}

#[test]
fn a_batch_refused_once_is_sent_again() {
    let collector = OtlpReceiver::refusing_first(1);
    let telemetry = tracing_to(&collector);

    root(&telemetry.tracer("homepage")).end();
    telemetry.force_flush();

    collector.wait_until(PATIENCE, |spans| spans.len() == 1);
    assert_eq!(collector.requests(), 2);
    assert_eq!(ledger(&telemetry), [1, 1, 0, 0]);
}

#[test]
fn a_batch_refused_again_is_counted_as_failed() {
    let collector = OtlpReceiver::refusing_first(2);
    let telemetry = tracing_to(&collector);
    let tracer = telemetry.tracer("homepage");

    root(&tracer).end();
    telemetry.force_flush();
    root(&tracer).end();
    telemetry.shutdown(PATIENCE).unwrap();

    assert_eq!(ledger(&telemetry), [2, 1, 1, 0]);
    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn a_second_shutdown_does_nothing() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    root(&telemetry.tracer("homepage")).end();

    assert_eq!(telemetry.shutdown(PATIENCE), Ok(()));
    assert_eq!(telemetry.shutdown(Duration::ZERO), Ok(()));

    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn telemetry_dropped_without_shutdown_does_not_wait_for_a_black_hole() {
    let collector = OtlpReceiver::black_hole();
    let telemetry = tracing_to(&collector);
    let tracer = telemetry.tracer("homepage");
    root(&tracer).end();

    let begun = Instant::now();
    drop(telemetry);
    let dropping = begun.elapsed();

    assert!(dropping < EXPORT_TIMEOUT, "{dropping:?}");
    assert_eq!(root(&tracer).trace_id(), None);
}

#[tokio::test]
async fn it_may_be_shut_down_inside_a_runtime_of_one_thread() {
    let collector = OtlpReceiver::start();
    let telemetry = tracing_to(&collector);
    for service in ["homepage", "authentication"] {
        root(&telemetry.tracer(service)).end();
    }

    telemetry.shutdown(PATIENCE).unwrap();
    drop(telemetry);

    assert_eq!(collector.spans().len(), 2);
}
