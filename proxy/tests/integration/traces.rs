//! Every hop is seen: what the proxy's spans say of requests, faults and failures.

use std::time::Duration;

use brownout_proxy::{RouteChange, Upstream, UpstreamTlsOptions};
use brownout_telemetry::{Telemetry, TelemetryConfig};
use brownout_testkit::{
    AttrValue, MachinePauses, OtlpReceiver, PATIENCE, RawClient, ReceivedKind, ReceivedSpan,
    TestAuthority, TestProxy, TestUpstream, TlsFront, eventually,
};
use serde_json::{Value, json};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const GET: &str = "GET /books?q=1 HTTP/1.1\r\nHost: shop.test:81\r\nUser-Agent: raw\r\ntraceparent: \
    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: a=1\r\n\r\n";

/// A traced proxy, and what its collector got.
struct World {
    proxy: TestProxy,
    telemetry: Telemetry,
    collector: OtlpReceiver,
}

impl World {
    /// Has the route take certificates of this authority from its upstream.
    fn trust(&self, authority: &TestAuthority, front: &TlsFront) {
        let trusting = UpstreamTlsOptions {
            ca: Some(authority.file()),
            ..UpstreamTlsOptions::default()
        };
        let changed = RouteChange {
            upstream: Some(Upstream::parse_with(&front.url(), Some(&trusting)).unwrap()),
            ..RouteChange::default()
        };
        let handle = self.proxy.handle();
        handle.change_route(self.proxy.route(), changed).unwrap();
    }

    fn before(url: &str, faults: &[Value]) -> Self {
        let collector = OtlpReceiver::start();
        let telemetry = Telemetry::start(TelemetryConfig {
            otlp: Some(collector.url()),
            export_interval: Duration::from_secs(60),
            ..TelemetryConfig::default()
        })
        .unwrap();
        let mut proxy = TestProxy::to_url(url).with_tracer(telemetry.tracer("brownout-proxy"));
        for fault in faults {
            proxy = proxy.with_fault(fault);
        }
        Self {
            proxy: proxy.start(),
            telemetry,
            collector,
        }
    }

    /// The spans so far, once there are `count` of them.
    async fn spans(&self, count: usize) -> Vec<ReceivedSpan> {
        let telemetry = &self.telemetry;
        let collector = &self.collector;
        eventually("the spans to be sent", || {
            telemetry.force_flush();
            collector.spans().len() >= count
        })
        .await;
        let spans = self
            .collector
            .wait_until(PATIENCE, |spans| spans.len() >= count);
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn of(spans: &[ReceivedSpan], kind: ReceivedKind) -> &ReceivedSpan {
    let mut found = spans.iter().filter(|span| span.kind == kind);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {kind:?} in {spans:#?}"));
    assert!(found.next().is_none(), "two of {kind:?}");
    span
}

#[tokio::test]
async fn a_request_is_a_server_span_with_a_client_span_that_the_upstream_hears_of() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[]);
    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(2).await;
    let (server, client) = (
        of(&spans, ReceivedKind::Server),
        of(&spans, ReceivedKind::Client),
    );

    assert_eq!(server.service, "brownout-proxy");
    assert_eq!(server.name, "GET");
    assert_eq!(server.trace_id, PARENT[3..35]);
    assert_eq!(server.parent_id.as_deref(), Some(&PARENT[36..52]));
    assert_eq!(server.text("brownout.route"), Some("web"));
    assert_eq!(server.text("url.path"), Some("/books"));
    assert_eq!(server.text("url.query"), Some("q=1"));
    assert_eq!(server.text("server.address"), Some("shop.test"));
    assert_eq!(server.text("http.route"), None);
    assert_eq!(server.number("http.response.status_code"), Some(200));
    assert!(server.error.is_none());
    assert!(!server.attributes.contains_key("fault.injected"));

    assert_eq!(client.parent_id.as_ref(), Some(&server.span_id));
    assert_eq!(
        client.text("url.full"),
        Some(format!("{}/books?q=1", upstream.url()).as_str())
    );
    let received = &upstream.received()[0].headers;
    let passed_on = format!("00-{}-{}-01", client.trace_id, client.span_id);
    assert_eq!(received["traceparent"], passed_on.as_str());
    assert_eq!(received["tracestate"], "a=1");
}

#[tokio::test]
async fn of_several_servers_the_span_names_the_one_that_was_reached() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = free.local_addr().unwrap();
    drop(free);
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&format!("http://{refusing},{}", upstream.url()), &[]);

    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(2).await;
    let client = of(&spans, ReceivedKind::Client);
    let url = format!("{}/books?q=1", upstream.url());
    assert_eq!(client.text("url.full"), Some(url.as_str()));
    let port = i64::from(upstream.address().port());
    assert_eq!(client.number("server.port"), Some(port));
    assert_eq!(client.text("server.address"), Some("127.0.0.1"));
    assert_eq!(client.text("http.request.method"), Some("GET"));
}

#[tokio::test]
async fn of_several_servers_that_refuse_the_span_names_the_one_whose_turn_it_was() {
    let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, two] = free.map(|it| it.local_addr().unwrap());
    let world = World::before(&format!("http://{one},http://{two}"), &[]);

    let answer = world.proxy.get("/").await;

    assert_eq!(answer.status(), 502);
    let spans = world.spans(2).await;
    let client = of(&spans, ReceivedKind::Client);
    assert_eq!(client.number("server.port"), Some(i64::from(one.port())));
    assert_eq!(client.text("error.type"), Some("connection_refused"));
}

#[tokio::test]
async fn a_tracestate_without_traceparent_does_not_go_out_with_the_new_trace() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[]);
    for fields in [
        "tracestate: foreign=1\r\n",
        "traceparent: 00-nonsense-01\r\ntracestate: foreign=1\r\ntracestate: b=2\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        world.proxy.connect().await.exchange(request).await;
    }

    for received in upstream.received() {
        assert!(received.headers.contains_key("traceparent"));
        assert!(!received.headers.contains_key("tracestate"));
    }
}

#[tokio::test]
async fn several_tracestates_go_on_as_one() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[]);
    let request = GET.replace("tracestate: a=1", "tracestate: a=1\r\nTraceState: b=2");
    world.proxy.connect().await.exchange(request).await;

    let received = &upstream.received()[0].headers;
    let values: Vec<_> = received.get_all("tracestate").iter().collect();
    assert_eq!(values, ["a=1,b=2"]);
}

#[tokio::test]
async fn a_signature_in_the_query_reaches_the_upstream_but_no_span() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[]);
    let request = GET.replace("q=1", "q=1&s%69g=TOPSECRET");
    world.proxy.connect().await.exchange(request).await;

    let spans = world.spans(2).await;

    assert!(!format!("{spans:?}").contains("TOPSECRET"), "{spans:?}");
    let server = of(&spans, ReceivedKind::Server);
    assert_eq!(server.text("url.query"), Some("q=1&s%69g=REDACTED"));
    assert_eq!(upstream.received()[0].target, "/books?q=1&s%69g=TOPSECRET");
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_is_passed_on_untouched() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[json!({ "latency": "1ms" })]);
    let unsampled = PARENT.replace("-01", "-00");

    let request = format!("GET / HTTP/1.1\r\nHost: h\r\ntraceparent: {unsampled}\r\n\r\n");
    world.proxy.connect().await.exchange(request).await;

    assert_eq!(
        upstream.received()[0].headers["traceparent"],
        unsampled.as_str()
    );
    world.telemetry.force_flush();
    assert!(world.collector.spans().is_empty());
}

#[tokio::test]
async fn a_delay_is_a_span_of_its_own_before_the_client_span() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[json!({ "latency": "50ms" })]);
    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(3).await;
    let server = of(&spans, ReceivedKind::Server);
    let delay = of(&spans, ReceivedKind::Internal);
    let client = of(&spans, ReceivedKind::Client);

    assert_eq!(delay.name, "fault latency");
    assert_eq!(delay.parent_id.as_ref(), Some(&server.span_id));
    assert!(delay.end >= delay.start + Duration::from_millis(50));
    assert!(client.start >= delay.end);
    assert_eq!(server.attributes["fault.injected"], AttrValue::Bool(true));
    assert_eq!(server.text("fault.id"), Some("latency-1"));
    assert_eq!(server.text("fault.type"), Some("latency"));
    assert_eq!(server.text("fault.phase"), Some("request"));
    assert!(server.number("fault.delay_ms").unwrap() >= 50);
    assert!(server.error.is_none());
}

#[tokio::test]
async fn an_injected_503_is_an_error_with_its_fault_and_no_client_span() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[json!({ "id": "down", "abort": 503 })]);
    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(1).await;
    let server = of(&spans, ReceivedKind::Server);

    assert!(server.error.is_some());
    assert_eq!(server.number("http.response.status_code"), Some(503));
    assert_eq!(server.text("error.type"), Some("503"));
    assert_eq!(server.text("fault.id"), Some("down"));
    assert_eq!(server.number("fault.status_code"), Some(503));
}

#[tokio::test]
async fn a_reset_has_no_status_code_and_says_which_fault_it_was() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[json!({ "id": "out", "reset": {} })]);
    let mut client = world.proxy.connect().await;
    client.send(GET).await;
    client.ended().await;

    let spans = world.spans(1).await;
    let server = of(&spans, ReceivedKind::Server);

    assert_eq!(server.number("http.response.status_code"), None);
    assert_eq!(server.text("error.type"), Some("fault.reset"));
    assert_eq!(server.error.as_deref(), Some("injected fault out: reset"));
}

#[tokio::test]
async fn a_hang_until_the_client_leaves_is_the_faults_doing() {
    let upstream = TestUpstream::replying("hello").await;
    let world = World::before(&upstream.url(), &[json!({ "id": "hole", "blackhole": {} })]);
    let mut client = world.proxy.connect().await;
    client.send(GET).await;
    eventually("the request to be held", || {
        world.proxy.fault("hole").counters.active == 1
    })
    .await;
    drop(client);

    let spans = world.spans(2).await;
    let server = of(&spans, ReceivedKind::Server);

    assert_eq!(server.text("error.type"), Some("fault.blackhole"));
    assert_eq!(of(&spans, ReceivedKind::Internal).name, "fault blackhole");
}

#[tokio::test]
async fn several_faults_are_all_named_and_the_ending_one_first() {
    let upstream = TestUpstream::replying("hello").await;
    let faults = [
        json!({ "id": "slow", "latency": "1ms" }),
        json!({ "id": "down", "abort": 503 }),
    ];
    let world = World::before(&upstream.url(), &faults);
    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(2).await;
    let server = of(&spans, ReceivedKind::Server);

    assert_eq!(server.text("fault.id"), Some("down"));
    let list = |words: [&str; 2]| AttrValue::List(words.map(AttrValue::from).to_vec());
    assert_eq!(server.attributes["fault.ids"], list(["slow", "down"]));
    assert_eq!(server.attributes["fault.types"], list(["latency", "abort"]));
}

#[tokio::test]
async fn a_real_failure_is_told_apart_from_an_injected_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let world = World::before(&format!("http://{free}"), &[]);
    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(2).await;
    let (server, client) = (
        of(&spans, ReceivedKind::Server),
        of(&spans, ReceivedKind::Client),
    );

    assert_eq!(server.number("http.response.status_code"), Some(502));
    assert_eq!(server.text("error.type"), Some("502"));
    assert!(!server.attributes.contains_key("fault.injected"));
    assert_eq!(client.text("error.type"), Some("connection_refused"));
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_named_in_the_attempt() {
    let upstream = TestUpstream::replying("hello").await;
    let authority = TestAuthority::new();
    let expired = authority.issue_between(&["127.0.0.1"], 2020, 2021);
    let front = TlsFront::before(upstream.address(), &expired).await;
    let world = World::before(&front.url(), &[]);
    world.trust(&authority, &front);
    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(2).await;
    let client = of(&spans, ReceivedKind::Client);

    assert_eq!(client.text("error.type"), Some("tls_expired"));
    let told = client.error.as_deref().unwrap();
    assert!(told.contains("its certificate expired on"), "{told}");
}

#[tokio::test]
async fn an_attempt_tells_its_scheme_and_the_version_of_the_answer() {
    let upstream = TestUpstream::replying("hello").await;
    let authority = TestAuthority::new();
    let front = TlsFront::before(upstream.address(), &authority.issue(&["127.0.0.1"])).await;
    let world = World::before(&front.url(), &[]);
    world.trust(&authority, &front);
    world.proxy.connect().await.exchange(GET).await;

    let spans = world.spans(2).await;
    let client = of(&spans, ReceivedKind::Client);
    let server = of(&spans, ReceivedKind::Server);

    let url = client.text("url.full").unwrap();
    assert!(url.starts_with(&front.url()), "{url}");
    assert_eq!(client.text("network.protocol.version"), Some("1.1"));
    assert_eq!(server.text("url.scheme"), Some("http"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_200_and_an_error() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            .await;
    })
    .await;
    let world = World::before(&upstream.url(), &[]);
    let mut client = world.proxy.connect().await;
    client.send(GET).await;
    client.ended().await;

    let spans = world.spans(2).await;

    for span in [
        of(&spans, ReceivedKind::Server),
        of(&spans, ReceivedKind::Client),
    ] {
        assert_eq!(span.number("http.response.status_code"), Some(200));
        assert_eq!(span.text("error.type"), Some("incomplete_body"));
        assert!(span.error.is_some());
    }
}

#[tokio::test]
async fn a_collector_that_accepts_and_never_answers_slows_nothing() {
    let upstream = TestUpstream::replying("hello").await;
    let collector = OtlpReceiver::black_hole();
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some(collector.url()),
        export_interval: Duration::from_millis(50),
        ..TelemetryConfig::default()
    })
    .unwrap();
    let proxy = TestProxy::to(&upstream)
        .with_tracer(telemetry.tracer("brownout-proxy"))
        .start();
    let mut client = proxy.connect().await;

    let pauses = MachinePauses::watch();
    let mut slowest = Duration::ZERO;
    for _ in 0..2_000 {
        let (response, took) = client.exchange(GET).await;
        assert_eq!(response.status(), 200);
        slowest = slowest.max(took);
    }

    // The exporter waits for seconds by now; a request that waited with it would show.
    assert!(collector.requests() > 0 || telemetry.metrics().snapshot().len() > 1);
    let bound = Duration::from_secs(2) + 10 * pauses.longest();
    assert!(slowest < bound, "{slowest:?} of {bound:?}");
    assert!(
        telemetry.shutdown(Duration::from_millis(200)).is_err(),
        "the hole answers nothing"
    );
}

#[tokio::test]
async fn a_request_sent_again_on_another_connection_is_an_attempt_of_its_own() {
    let upstream = TestUpstream::closing_before_it_reads_the_second_request().await;
    let world = World::before(&upstream.url(), &[]);
    let mut client = world.proxy.connect().await;
    assert_eq!(client.exchange(GET).await.0.status(), 200);
    let (answer, _) = client.exchange(TestUpstream::long_request()).await;
    assert_eq!(answer.status(), 200);

    let spans = world.spans(5).await;

    let resent = spans
        .iter()
        .find(|span| span.number("http.request.resend_count").is_some())
        .expect("an attempt says that it is another one");
    assert_eq!(resent.number("http.request.resend_count"), Some(1));
    assert_eq!(resent.number("http.response.status_code"), Some(200));
    assert!(resent.error.is_none());
    let siblings: Vec<_> = spans
        .iter()
        .filter(|span| span.parent_id == resent.parent_id && span.span_id != resent.span_id)
        .collect();
    let [first] = siblings[..] else {
        panic!("{siblings:#?}");
    };
    assert_eq!(first.text("error.type"), Some("connection_reset"));
    assert_eq!(first.number("http.response.status_code"), None);
    assert!(first.end <= resent.start);
    let server = spans
        .iter()
        .find(|span| Some(&span.span_id) == resent.parent_id.as_ref())
        .expect("their parent is there");
    assert!(server.error.is_none(), "what was made good is no error");
}

#[tokio::test]
async fn of_several_faults_the_one_that_cuts_the_body_is_told_and_how_far_it_let_it_come() {
    let upstream = TestUpstream::replying("0123456789").await;
    let faults = [
        json!({ "id": "slow", "latency": "1ms" }),
        json!({ "id": "cut", "truncate": { "after_bytes": "4B" }, "percent": 100, "match": { "path": "/*" } }),
    ];
    let world = World::before(&upstream.url(), &faults);
    let mut client = world.proxy.connect().await;
    client.send(GET).await;
    client.ended().await;

    let spans = world.spans(3).await;
    let server = of(&spans, ReceivedKind::Server);

    assert_eq!(server.text("fault.id"), Some("cut"));
    assert_eq!(server.text("fault.phase"), Some("body"));
    assert_eq!(server.text("fault.match"), Some("request"));
    assert_eq!(server.number("fault.bytes"), Some(4));
    assert_eq!(server.number("http.response.status_code"), Some(200));
    assert_eq!(server.text("error.type"), Some("fault.truncate"));
}

#[tokio::test]
async fn a_reset_in_place_of_an_answer_leaves_no_status_code_and_the_upstream_its_own() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "late", "reset": { "at": "response_head" } });
    let world = World::before(&upstream.url(), &[fault]);
    let mut client = world.proxy.connect().await;
    client.send(GET).await;
    client.ended().await;

    let spans = world.spans(2).await;
    let (server, client) = (
        of(&spans, ReceivedKind::Server),
        of(&spans, ReceivedKind::Client),
    );

    assert_eq!(server.number("http.response.status_code"), None);
    assert_eq!(server.text("error.type"), Some("fault.reset"));
    assert_eq!(client.number("http.response.status_code"), Some(200));
    assert!(client.error.is_none());
}

#[tokio::test]
async fn an_exchange_whose_connection_a_fault_cuts_is_told_from_one_whose_client_left() {
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).ended().await; // It never answers.
    })
    .await;
    let world = World::before(&upstream.url(), &[]);
    let mut client = world.proxy.connect().await;
    client.send(GET).await;
    eventually("the request to arrive", || upstream.connections() == 1).await;

    world
        .proxy
        .arm(&json!({ "reset": {}, "layer": "stream", "direction": "downstream" }));
    client.ended().await;

    let spans = world.spans(2).await;
    for kind in [ReceivedKind::Server, ReceivedKind::Client] {
        let span = of(&spans, kind);
        assert_eq!(span.text("error.type"), Some("fault.stream"), "{kind:?}");
        assert!(span.error.is_some(), "{kind:?}");
    }
    let server = of(&spans, ReceivedKind::Server);
    let injected = server.attributes.get("fault.injected");
    assert_eq!(injected, Some(&AttrValue::Bool(true)));
}
