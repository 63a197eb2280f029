//! Spans: one trace across the services, and what it says of calls that went wrong.

use std::time::Duration;

use brownout_telemetry::{Telemetry, TelemetryConfig, Tracer};
use brownout_testkit::{AttrValue, OtlpReceiver, ReceivedKind, ReceivedSpan};
use demo_services::{Running, Service, ServiceConfig, start};

use crate::system::{Held, System, USER, answering, ask, get, policy, quick, refusing, resetting};

/// A collector, and telemetry that sends to it.
struct Tracing {
    collector: OtlpReceiver,
    telemetry: Telemetry,
}

impl Tracing {
    fn start() -> Self {
        let collector = OtlpReceiver::start();
        let telemetry = Telemetry::start(TelemetryConfig {
            otlp: Some(collector.url()),
            // Sent when told to, in one go.
            export_interval: Duration::from_secs(60),
            ..TelemetryConfig::default()
        });
        Self {
            collector,
            telemetry: telemetry.unwrap(),
        }
    }

    fn tracer(&self, service: Service) -> Tracer {
        self.telemetry.tracer(service.as_str())
    }

    /// All spans that have ended.
    fn spans(&self) -> Vec<ReceivedSpan> {
        self.telemetry.force_flush();
        self.collector.spans()
    }
}

/// A traced recommendations service with one worker.
async fn recommendations(tracing: &Tracing, authentication: String, text: &str) -> Running {
    let config = ServiceConfig {
        tracer: tracing.tracer(Service::Recommendations),
        policy: policy(text),
        workers: 1,
        ..quick(Service::Recommendations).calling(Service::Authentication, authentication)
    };
    start(config).await.unwrap()
}

fn of_kind(spans: &[ReceivedSpan], kind: ReceivedKind) -> Vec<&ReceivedSpan> {
    let mut spans: Vec<_> = spans.iter().filter(|span| span.kind == kind).collect();
    spans.sort_by_key(|span| span.start);
    spans
}

#[tokio::test]
async fn one_trace_goes_through_all_services() {
    let tracing = Tracing::start();
    let config = |service| ServiceConfig {
        tracer: tracing.tracer(service),
        ..quick(service)
    };
    let system = System::of(config, |homepage| homepage).await;

    system.page().await;

    let spans = tracing.spans();
    let mut paths: Vec<_> = spans.iter().map(|span| span.path(&spans)).collect();
    paths.sort();
    let root = "homepage GET /";
    let from_homepage = format!("{root} > homepage call recommendations > homepage GET");
    let recommendations = format!("{from_homepage} > recommendations GET /recommendations");
    let authenticated = "recommendations call authentication > recommendations POST";
    let mut expected = vec![
        root.to_owned(),
        format!("{root} > homepage call authentication"),
        format!("{root} > homepage call authentication > homepage POST"),
        format!(
            "{root} > homepage call authentication > homepage POST > authentication POST /authenticate"
        ),
        format!("{root} > homepage call recommendations"),
        from_homepage.clone(),
        recommendations.clone(),
        format!("{recommendations} > recommendations call authentication"),
        format!("{recommendations} > {authenticated}"),
        format!("{recommendations} > {authenticated} > authentication POST /authenticate"),
        format!("{root} > homepage call popular_items"),
        format!("{root} > homepage call popular_items > homepage GET"),
        format!(
            "{root} > homepage call popular_items > homepage GET > popular-items GET /popular_items"
        ),
    ];
    expected.sort();
    assert_eq!(paths, expected);
    assert!(spans.iter().all(|span| span.error.is_none()));
}

#[tokio::test]
async fn a_request_is_a_server_span_with_its_route() {
    let tracing = Tracing::start();
    let service = ServiceConfig {
        tracer: tracing.tracer(Service::PopularItems),
        ..quick(Service::PopularItems)
    };
    let service = start(service).await.unwrap();

    ask(service.address(), "GET /popular_items?page=1", None).await;
    ask(service.address(), "GET /healthz", None).await;
    ask(service.address(), "GET /nothing", None).await;

    let spans = tracing.spans();
    let [span] = &spans[..] else {
        panic!("one span, not {spans:#?}")
    };
    assert_eq!(span.kind, ReceivedKind::Server);
    assert_eq!(span.name, "GET /popular_items");
    assert_eq!(span.text("http.route"), Some("/popular_items"));
    assert_eq!(span.text("url.query"), Some("page=1"));
    assert_eq!(span.text("client.address"), Some("127.0.0.1"));
    assert_eq!(span.number("http.response.status_code"), Some(200));
}

#[tokio::test]
async fn an_incoming_context_is_continued_and_passed_on() {
    let tracing = Tracing::start();
    let upstream = answering(200, USER).await;
    let service = recommendations(&tracing, upstream.url(), "").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";

    let what = format!(
        "GET /recommendations HTTP/1.1\r\nHost: test\r\nAuthorization: x\r\n\
         traceparent: 00-{trace}-00f067aa0ba902b7-01\r\ntracestate: a=1\r\nbaggage: run=42\r\n\r\n"
    );
    let mut client = brownout_testkit::RawClient::connect(service.address()).await;
    client.exchange(what).await;

    let spans = tracing.spans();
    assert!(spans.iter().all(|span| span.trace_id == trace));
    let sent = of_kind(&spans, ReceivedKind::Client)[0];
    let headers = &upstream.received()[0].headers;
    let expected = format!("00-{trace}-{}-01", sent.span_id);
    assert_eq!(headers["traceparent"], expected.as_str());
    assert_eq!(headers["tracestate"], "a=1");
    assert_eq!(headers["baggage"], "run=42");
}

#[tokio::test]
async fn a_context_is_passed_on_untouched_where_nothing_is_recorded() {
    let upstream = answering(200, USER).await;
    let service = quick(Service::Recommendations).calling(Service::Authentication, upstream.url());
    let service = start(service).await.unwrap();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    let mut client = brownout_testkit::RawClient::connect(service.address()).await;
    client
        .exchange(format!(
            "GET /recommendations HTTP/1.1\r\nHost: test\r\nAuthorization: x\r\ntraceparent: {traceparent}\r\n\r\n"
        ))
        .await;

    assert_eq!(upstream.received()[0].headers["traceparent"], traceparent);
}

#[tokio::test]
async fn each_attempt_is_a_span_and_the_call_tells_of_them_all() {
    let tracing = Tracing::start();
    let upstream = resetting().await;
    let retries = "[retry]\nmax_attempts = 3\nbase = \"1ms\"\nmethods = [\"*\"]\n";
    let service = recommendations(&tracing, upstream.url(), retries).await;

    get(service.address(), "/recommendations").await;

    let spans = tracing.spans();
    let call = of_kind(&spans, ReceivedKind::Internal)[0];
    assert_eq!(call.name, "call authentication");
    assert_eq!(call.text("resilience.policy"), Some("test"));
    assert_eq!(call.text("resilience.outcome"), Some("failed"));
    assert_eq!(call.number("resilience.attempts"), Some(3));
    assert_eq!(call.text("error.type"), Some("reset"));
    assert!(call.error.is_some());
    assert_eq!(call.text("circuitbreaker.name"), None);
    let attempts = of_kind(&spans, ReceivedKind::Client);
    let resent: Vec<_> = attempts
        .iter()
        .map(|it| it.number("http.request.resend_count"))
        .collect();
    assert_eq!(resent, [None, Some(1), Some(2)]);
    for attempt in attempts {
        assert_eq!(attempt.parent_id.as_ref(), Some(&call.span_id));
        assert_eq!(attempt.name, "POST");
        assert_eq!(attempt.text("error.type"), Some("connection_reset"));
        assert_eq!(attempt.number("http.response.status_code"), None);
        let url = format!("{}/authenticate", upstream.url());
        assert_eq!(attempt.text("url.full"), Some(url.as_str()));
    }
    let server = of_kind(&spans, ReceivedKind::Server)[0];
    assert_eq!(server.text("error.type"), Some("500"));
}

#[tokio::test]
async fn how_an_attempt_failed_is_its_error_type() {
    let (_socket, refused) = refusing();
    let cut = crate::system::saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").await;
    let noise = crate::system::saying("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    let broken = answering(503, "").await;
    let held = Held::answering("").await;
    let timeout = "[timeout]\nattempt = \"20ms\"\n";
    for (url, policy, attempt, status, call) in [
        (refused, "", "connection_refused", None, "connect"),
        (cut.url(), "", "incomplete_body", Some(200), "incomplete"),
        (noise.url(), "", "protocol_error", None, "protocol"),
        (broken.url(), "", "503", Some(503), "503"),
        (held.upstream.url(), timeout, "timeout", None, "timeout"),
    ] {
        let tracing = Tracing::start();
        let service = recommendations(&tracing, url, policy).await;

        get(service.address(), "/recommendations").await;

        let spans = tracing.spans();
        let sent = of_kind(&spans, ReceivedKind::Client)[0];
        assert_eq!(sent.text("error.type"), Some(attempt));
        assert_eq!(sent.number("http.response.status_code"), status);
        let whole = of_kind(&spans, ReceivedKind::Internal)[0];
        assert_eq!(whole.text("error.type"), Some(call));
    }
}

#[tokio::test]
async fn a_call_that_the_breaker_refuses_sends_nothing() {
    let tracing = Tracing::start();
    let upstream = resetting().await;
    let open = "[breaker]\ninitial_state = \"open\"\n";
    let service = recommendations(&tracing, upstream.url(), open).await;

    get(service.address(), "/recommendations").await;

    let spans = tracing.spans();
    assert!(of_kind(&spans, ReceivedKind::Client).is_empty());
    let call = of_kind(&spans, ReceivedKind::Internal)[0];
    assert_eq!(call.text("resilience.outcome"), Some("rejected"));
    assert_eq!(call.number("resilience.attempts"), Some(0));
    assert_eq!(
        call.text("circuitbreaker.name"),
        Some("recommendations-authentication")
    );
    assert_eq!(call.text("circuitbreaker.state"), Some("open"));
    assert_eq!(call.text("error.type"), Some("circuit_breaker_open"));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_failure_that_was_made_good_marks_the_attempt_and_nothing_above_it() {
    let tracing = Tracing::start();
    let upstream = resetting().await;
    let system = System::with(|homepage| ServiceConfig {
        tracer: tracing.tracer(Service::Homepage),
        policy: policy("[fallback]\nkind = \"empty\"\n"),
        ..homepage.calling(Service::Recommendations, upstream.url())
    })
    .await;

    system.page().await;

    let spans = tracing.spans();
    let failed: Vec<_> = spans.iter().filter(|span| span.error.is_some()).collect();
    let [attempt] = failed[..] else {
        panic!("one span is an error, not {failed:#?}")
    };
    assert_eq!(attempt.kind, ReceivedKind::Client);
    let calls = of_kind(&spans, ReceivedKind::Internal);
    let call = calls
        .iter()
        .find(|span| span.name == "call recommendations")
        .unwrap();
    assert_eq!(call.text("resilience.outcome"), Some("fallback"));
    assert_eq!(
        call.attributes.get("fallback.used"),
        Some(&AttrValue::Bool(true))
    );
    assert_eq!(call.text("fallback.reason"), Some("reset"));
}

#[tokio::test]
async fn work_for_nobody_is_in_the_trace_to_its_end() {
    let tracing = Tracing::start();
    let held = Held::answering(USER).await;
    let service = recommendations(&tracing, held.upstream.url(), "").await;
    let mut client = brownout_testkit::RawClient::connect(service.address()).await;
    client
        .send(crate::system::request("GET /recommendations", Some("x")))
        .await;
    crate::system::stats_until("the request to run", &service, |it| it.running == 1).await;
    client.finish().await;
    client.ended().await;
    assert!(tracing.spans().is_empty());

    held.release();

    crate::system::stats_until("the work to be done", &service, |it| it.abandoned == 1).await;
    let spans = tracing.spans();
    let server = of_kind(&spans, ReceivedKind::Server)[0];
    assert_eq!(server.number("http.response.status_code"), Some(200));
    assert_eq!(server.error, None);
}

#[tokio::test]
async fn hedges_are_siblings_and_the_loser_is_cancelled() {
    let tracing = Tracing::start();
    let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let upstream = brownout_testkit::TestUpstream::serving(move |_| {
        let is_first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
        async move {
            if is_first {
                std::future::pending::<()>().await;
            }
            hyper::Response::new(http_body_util::Full::from(USER))
        }
    })
    .await;
    let hedging = "[hedge]\nafter = \"20ms\"\nmethods = [\"*\"]\n";
    let service = recommendations(&tracing, upstream.url(), hedging).await;

    assert_eq!(
        get(service.address(), "/recommendations").await.status(),
        200
    );

    let spans = tracing.spans();
    let call = of_kind(&spans, ReceivedKind::Internal)[0];
    assert_eq!(call.text("resilience.outcome"), Some("ok"));
    assert_eq!(call.number("resilience.attempts"), Some(2));
    let attempts = of_kind(&spans, ReceivedKind::Client);
    let [loser, winner] = attempts[..] else {
        panic!("two requests, not {attempts:#?}")
    };
    assert!(
        [loser, winner]
            .iter()
            .all(|it| it.parent_id.as_ref() == Some(&call.span_id))
    );
    assert_eq!(loser.text("error.type"), Some("cancelled"));
    assert_eq!(loser.number("hedge.index"), None);
    assert_eq!(winner.error, None);
    assert_eq!(winner.number("hedge.index"), Some(1));
}

#[tokio::test]
async fn what_a_guard_refused_has_no_span_of_its_own() {
    let tracing = Tracing::start();
    let upstream = answering(200, USER).await;
    let limit = "[rate_limit]\nlimit = 1\nperiod = \"1h\"\ntimeout = \"0s\"\n";
    let service = recommendations(&tracing, upstream.url(), limit).await;
    assert_eq!(
        get(service.address(), "/recommendations").await.status(),
        200
    );

    assert_eq!(
        get(service.address(), "/recommendations").await.status(),
        500
    );

    let spans = tracing.spans();
    assert_eq!(of_kind(&spans, ReceivedKind::Client).len(), 1);
    let call = of_kind(&spans, ReceivedKind::Internal)[1];
    assert_eq!(call.text("resilience.outcome"), Some("rejected"));
    assert_eq!(call.text("error.type"), Some("rate_limited"));
}
