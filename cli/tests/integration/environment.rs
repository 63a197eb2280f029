//! What the environment says of traces, seen by a collector.

use brownout_testkit::{OtlpReceiver, PATIENCE, RawClient, TestUpstream};

use crate::{Server, run};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A proxy with these variables, and one request through it in a trace with these flags.
async fn carry(args: &[&str], variables: &[(&str, &str)], flags: &str) -> TestUpstream {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let server =
        Server::with_environment(&[&["proxy", "--route", &route], args].concat(), variables);
    run(&[
        "fault",
        "add",
        "latency",
        "web",
        "1ms",
        "--control",
        &server.control(),
    ])
    .ok();
    let mut client = RawClient::connect(server.route("web")).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-{flags}\r\n\
         tracestate: a=1\r\nbaggage: chaos.run=run-42\r\n\r\n"
    );
    assert_eq!(client.exchange(request).await.0.status(), 200);
    drop(client);
    server.signal("-TERM");
    server.ended().await;
    upstream
}

#[tokio::test]
async fn the_collector_the_service_and_what_all_spans_say_come_from_the_environment() {
    let collector = OtlpReceiver::start();
    let endpoint = collector.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_SERVICE_NAME", "shop-proxy"),
    ];

    carry(&[], &variables, "01").await;

    let spans = collector.wait_until(PATIENCE, |spans| {
        spans.iter().any(|span| span.trace_id == TRACE)
    });
    assert!(
        spans.iter().all(|span| span.service == "shop-proxy"),
        "{spans:#?}"
    );
}

#[tokio::test]
async fn a_disabled_sdk_sends_nothing_and_passes_every_header_on() {
    let collector = OtlpReceiver::start();

    let upstream = carry(
        &["--otlp", &collector.url()],
        &[("OTEL_SDK_DISABLED", "true")],
        "01",
    )
    .await;

    assert_eq!(collector.requests(), 0);
    let received = &upstream.received()[0].headers;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    assert_eq!(received["traceparent"], parent.as_str());
    assert_eq!(received["tracestate"], "a=1");
    assert_eq!(received["baggage"], "chaos.run=run-42");
}

#[tokio::test]
async fn a_request_with_a_fault_is_recorded_alone_when_asked_for() {
    let collector = OtlpReceiver::start();
    let args = ["--otlp", &collector.url(), "--fault-sampling", "always"];

    let upstream = carry(&args, &[], "00").await;

    let spans = collector.wait_until(PATIENCE, |spans| {
        spans.iter().any(|span| span.trace_id == TRACE)
    });
    let of_trace: Vec<_> = spans.iter().filter(|span| span.trace_id == TRACE).collect();
    let [alone] = of_trace[..] else {
        panic!("{of_trace:#?}");
    };
    assert_eq!(alone.text("fault.type"), Some("latency"));
    let told = format!("00-{TRACE}-{}-00", alone.span_id);
    assert_eq!(upstream.received()[0].headers["traceparent"], told.as_str());
}
