use std::{error::Error, time::Duration};

use brownout_telemetry::{Sampling, ServerRequest, Telemetry, TelemetryConfig, names};
use http::Request;

use crate::on_demand;

/// The error and its causes, as a main would print them.
fn start_error(config: TelemetryConfig) -> String {
    let error = Telemetry::start(config).expect_err("it is refused");
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_wrong_otlp_url_is_refused_with_the_reason() {
    for (url, expected) in [
        ("http://a b", "could not read OTLP URL `http://a b`: "),
        (
            "localhost:4318",
            "OTLP URL `localhost:4318` is not of the form http://host:port",
        ),
        (
            "https://localhost:4318",
            "OTLP URL `https://localhost:4318` is not of the form http://host:port",
        ),
        (
            "http://localhost:4318?a=b",
            "OTLP URL `http://localhost:4318?a=b` is not of the form http://host:port",
        ),
    ] {
        let error = start_error(TelemetryConfig {
            otlp: Some(url.into()),
            ..on_demand()
        });

        assert!(error.starts_with(expected), "{url}: {error}");
    }
}

#[test]
fn a_wrong_statsd_address_is_refused_with_the_reason() {
    for address in ["localhost", "127.0.0.1:99999", ""] {
        let error = start_error(TelemetryConfig {
            statsd: Some(address.into()),
            ..on_demand()
        });

        let expected = format!("could not read statsd address `{address}`: ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn hosts_that_are_not_known_yet_stop_nothing() {
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some("http://nowhere.invalid:4318".into()),
        statsd: Some("nowhere.invalid:8125".into()),
        ..on_demand()
    })
    .unwrap();
    let requests = telemetry.metrics().counter(names::PROXY_REQUESTS, &["web"]);

    requests.add(3);
    let span = telemetry
        .tracer("brownout-proxy")
        .server(&ServerRequest::of(&Request::new(())));

    assert!(span.is_recording());
    drop(span);
    telemetry.force_flush();
    assert_eq!(requests.total(), 3);
}

#[test]
fn a_share_or_interval_out_of_range_is_refused() {
    for ratio in [-0.1, 1.1, f64::NAN] {
        let error = start_error(TelemetryConfig {
            sampling: Sampling {
                ratio,
                ..Sampling::default()
            },
            ..on_demand()
        });
        assert_eq!(error, format!("sample ratio {ratio} is outside 0 to 1"));
    }
    assert_eq!(
        start_error(TelemetryConfig {
            flush_interval: Duration::ZERO,
            ..on_demand()
        }),
        "flush_interval: must be more than 0"
    );
    assert_eq!(
        start_error(TelemetryConfig {
            export_interval: Duration::ZERO,
            ..on_demand()
        }),
        "export_interval: must be more than 0"
    );
}

#[test]
fn with_nowhere_to_send_metrics_are_counted_and_no_span_is_made() {
    let telemetry = Telemetry::start(TelemetryConfig::default()).unwrap();
    let requests = telemetry.metrics().counter(names::PROXY_REQUESTS, &["web"]);
    let tracer = telemetry.tracer("brownout-proxy");

    requests.add(3);
    let request = Request::new(());
    let span = tracer.server(&ServerRequest::of(&request));

    assert!(!tracer.is_on());
    assert!(!span.is_recording());
    assert_eq!(span.trace_id(), None);
    telemetry.force_flush();
    assert_eq!(telemetry.shutdown(Duration::ZERO), Ok(()));
    assert_eq!(requests.total(), 3);
}
