//! Faults that a caller asks for by header fields: only where the route allows it, and only for its own request.

use std::time::{Duration, Instant};

use brownout_fault::MayAsk;
use brownout_proxy::{JournalQuery, RouteChange};
use brownout_telemetry::{Telemetry, TelemetryConfig, names};
use brownout_testkit::{
    How, OtlpReceiver, PATIENCE, RawMessage, ReceivedKind, TestProxy, TestUpstream, eventually,
};
use serde_json::json;

/// A GET on a connection of its own with these header fields.
async fn get(proxy: &TestProxy, fields: &[&str]) -> RawMessage {
    let mut client = proxy.connect().await;
    client.send(request(fields)).await;
    client.response().await
}

fn request(fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("GET /books HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

#[tokio::test]
async fn a_caller_breaks_its_own_request_and_nobody_elses() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();

    for fields in [
        &["x-brownout-fault: abort=503"][..],
        &["X-Brownout-Fault: abort = 503"],
        &["x-envoy-fault-abort-request: 503"],
        &[
            "X-Envoy-Fault-Abort-Request: 503",
            "X-Envoy-Fault-Abort-Request-Percentage: 100",
        ],
    ] {
        let broken = get(&proxy, fields).await;
        assert_eq!(broken.status(), 503, "{fields:?}");
        assert_eq!(
            broken.values("x-brownout-fault"),
            ["caller:abort; type=abort; phase=request"]
        );
    }
    assert_eq!(upstream.received().len(), 0);

    assert_eq!(get(&proxy, &[]).await.text(), "hello");
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_wait_comes_before_the_error_that_is_asked_for_with_it() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();

    for fields in [
        &["x-brownout-fault: abort=504, latency=80ms"][..],
        &[
            "x-envoy-fault-abort-request: 504",
            "x-envoy-fault-delay-request: 80",
        ],
    ] {
        let began = Instant::now();
        let broken = get(&proxy, fields).await;

        assert_eq!(broken.status(), 504);
        assert!(began.elapsed() >= Duration::from_millis(80));
    }
}

#[tokio::test]
async fn connections_are_cut_and_bodies_paced_as_asked() {
    let upstream = TestUpstream::replying("x".repeat(2048)).await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();

    for (asked, how) in [("reset", How::Reset), ("close", How::Fin)] {
        let mut client = proxy.connect().await;
        client
            .send(request(&[&format!("x-brownout-fault: {asked}")]))
            .await;
        let ended = client.ended().await;
        assert_eq!((ended.bytes.len(), ended.how), (0, how), "{asked}");
    }
    for field in [
        "x-brownout-fault: bandwidth=8KiB/s",
        "x-envoy-fault-throughput-response: 8",
    ] {
        let began = Instant::now();
        let slow = get(&proxy, &[field]).await;
        assert_eq!(slow.body.len(), 2048);
        // 2 KiB at 8 KiB/s, less the burst of 100 ms.
        assert!(began.elapsed() >= Duration::from_millis(100), "{field}");
    }
}

#[tokio::test]
async fn the_upstream_never_sees_the_fields() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();
    let fields = [
        "x-brownout-fault: latency=1ms",
        "X-BROWNOUT-FAULT: nonsense",
        "x-envoy-fault-delay-request: 1",
        "x-envoy-fault-delay-request-percentage: 0",
        "x-envoy-fault-abort-grpc-request: 14",
        "x-envoy-expected-rq-timeout-ms: 100",
    ];

    assert_eq!(get(&proxy, &fields).await.text(), "hello");

    let received = &upstream.received()[0];
    let names: Vec<&str> = (received.headers.keys())
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-"))
        .collect();
    assert_eq!(names, ["x-envoy-expected-rq-timeout-ms"]);
}

#[tokio::test]
async fn a_route_that_does_not_allow_it_passes_the_fields_on_and_does_nothing() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();

    let whole = get(&proxy, &["x-brownout-fault: abort=503"]).await;

    assert_eq!(whole.text(), "hello");
    let received = &upstream.received()[0];
    assert_eq!(received.headers["x-brownout-fault"], "abort=503");
}

#[tokio::test]
async fn what_is_malformed_is_ignored_and_counted() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();
    let ignored = || {
        let metrics = proxy.metrics();
        metrics
            .counter(names::FAULT_CALLER_IGNORED, &[TestProxy::ROUTE])
            .total()
    };

    for (count, field) in [
        "x-brownout-fault: abort=2000",
        "x-brownout-fault: everything",
        "x-envoy-fault-abort-request: soon",
        "x-envoy-fault-abort-grpc-request: 14",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(get(&proxy, &[field]).await.text(), "hello", "{field}");
        assert_eq!(ignored(), count as u64 + 1, "{field}");
    }
    let half = get(
        &proxy,
        &["x-envoy-fault-delay-request: x", "x-brownout-fault: abort"],
    )
    .await;
    assert_eq!(half.status(), 503, "the rest counts");
    assert_eq!(ignored(), 5);
}

#[tokio::test]
async fn it_is_counted_and_kept_as_any_fault() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();

    get(&proxy, &["x-brownout-fault: abort=503"]).await;
    get(&proxy, &["x-brownout-fault: abort=503;percent=0"]).await;

    let count = |name| {
        let counter = proxy.metrics().counter(name, &[TestProxy::ROUTE, "abort"]);
        counter.total()
    };
    assert_eq!(count(names::FAULT_MATCHED), 2);
    assert_eq!(count(names::FAULT_INJECTED), 1);
    assert_eq!(count(names::FAULT_SKIPPED), 1);
    // A record is written after the client has its answer.
    let query = JournalQuery {
        limit: 10,
        ..JournalQuery::default()
    };
    let handle = proxy.handle();
    let kept = || handle.journal().unwrap().attempts(&query).ended;
    eventually("both records", || kept().len() == 2).await;
    let faults: Vec<_> = kept().iter().map(|it| it.faults.clone()).collect();
    assert!(
        faults.contains(&vec!["caller:abort".to_owned()]),
        "{faults:?}"
    );
}

#[tokio::test]
async fn it_is_told_in_the_span_as_any_fault() {
    let upstream = TestUpstream::replying("hello").await;
    let collector = OtlpReceiver::start();
    let telemetry = Telemetry::start(TelemetryConfig {
        otlp: Some(collector.url()),
        export_interval: Duration::from_secs(60),
        ..TelemetryConfig::default()
    })
    .unwrap();
    let proxy = TestProxy::to(&upstream)
        .with_caller_faults()
        .with_tracer(telemetry.tracer("brownout-proxy"))
        .start();

    get(&proxy, &["x-brownout-fault: abort=503"]).await;

    eventually("the span to be sent", || {
        telemetry.force_flush();
        !collector.spans().is_empty()
    })
    .await;
    let spans = collector.wait_until(PATIENCE, |spans| !spans.is_empty());
    assert_eq!(spans[0].kind, ReceivedKind::Server);
    assert_eq!(spans[0].text("fault.id"), Some("caller:abort"));
    assert_eq!(spans[0].text("fault.match"), Some("header"));
}

#[tokio::test]
async fn only_callers_from_where_the_route_allows_it_are_given_what_they_ask_for() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();
    let allow = |ranges: &[&str]| {
        let change = RouteChange {
            caller_faults: Some(MayAsk::read(&json!(ranges)).unwrap()),
            ..RouteChange::default()
        };
        proxy
            .handle()
            .change_route(TestProxy::ROUTE, change)
            .unwrap();
    };
    let asks = ["x-brownout-fault: abort=503"];

    allow(&["10.0.0.0/8", "::1"]);
    let whole = get(&proxy, &asks).await;
    allow(&["10.0.0.0/8", "127.0.0.0/8"]);
    let broken = get(&proxy, &asks).await;

    assert_eq!((whole.status(), broken.status()), (200, 503));
    let received = &upstream.received()[0].headers;
    assert!(!received.contains_key("x-brownout-fault"), "{received:?}");
    let metrics = proxy.metrics();
    let ignored = metrics.counter(names::FAULT_CALLER_IGNORED, &[TestProxy::ROUTE]);
    assert_eq!(ignored.total(), 1);
}

#[tokio::test]
async fn a_request_that_the_route_gives_nothing_goes_on_whole_and_is_told_as_one_without_a_fault() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();
    let change = RouteChange {
        caller_faults: Some(MayAsk::read(&json!({ "percent": 0 })).unwrap()),
        ..RouteChange::default()
    };
    let handle = proxy.handle();
    handle.change_route(TestProxy::ROUTE, change).unwrap();

    let whole = get(&proxy, &["x-brownout-fault: latency=30s, abort=503"]).await;

    assert_eq!(whole.text(), "hello");
    let received = &upstream.received()[0].headers;
    assert!(!received.contains_key("x-brownout-fault"), "{received:?}");
    let query = JournalQuery {
        limit: 10,
        ..JournalQuery::default()
    };
    let kept = || handle.journal().unwrap().attempts(&query).ended;
    eventually("the record", || kept().len() == 1).await;
    assert!(kept()[0].faults.is_empty(), "{:?}", kept()[0].faults);
}

#[tokio::test]
async fn what_is_armed_goes_first() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_caller_faults()
        .with_fault(&json!({ "abort": 500 }))
        .start();

    let broken = get(&proxy, &["x-brownout-fault: abort=418"]).await;

    assert_eq!(broken.status(), 500);
}

#[tokio::test]
async fn switching_it_off_or_halting_lets_go_what_callers_hold() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_caller_faults().start();
    let switch = |on: bool| {
        let change = RouteChange {
            caller_faults: Some(on.into()),
            ..RouteChange::default()
        };
        let route = proxy.handle().change_route(TestProxy::ROUTE, change);
        assert_eq!(route.unwrap().caller_faults, MayAsk::from(on));
    };
    let active = || {
        let tags = &[TestProxy::ROUTE, "latency"];
        proxy.metrics().gauge(names::FAULT_ACTIVE, tags).value()
    };
    for step in ["off", "elsewhere", "halt"] {
        let mut client = proxy.connect().await;
        let began = Instant::now();
        client
            .send(request(&["x-brownout-fault: latency=30s"]))
            .await;
        eventually("the request to be held", || active() == 1).await;

        match step {
            "off" => switch(false),
            "elsewhere" => {
                let change = RouteChange {
                    caller_faults: Some(MayAsk::read(&json!("10.0.0.0/8")).unwrap()),
                    ..RouteChange::default()
                };
                proxy
                    .handle()
                    .change_route(TestProxy::ROUTE, change)
                    .unwrap();
            }
            _ => proxy.faults().halt_callers(None),
        }

        assert_eq!(client.response().await.text(), "hello", "{step}");
        assert!(began.elapsed() < Duration::from_secs(20), "{step}");
        eventually("the hold to be given back", || active() == 0).await;
        switch(true);
    }
    // Without a lock the next one is given what it asks for.
    assert_eq!(
        get(&proxy, &["x-brownout-fault: abort"]).await.status(),
        503
    );
    let later = Instant::now() + Duration::from_secs(60);
    proxy.faults().halt_callers(Some(later));
    assert_eq!(
        get(&proxy, &["x-brownout-fault: abort"]).await.text(),
        "hello"
    );
    proxy.faults().halt_callers(Some(Instant::now()));
    assert_eq!(
        get(&proxy, &["x-brownout-fault: abort"]).await.status(),
        503
    );
}

#[tokio::test]
async fn a_route_of_bytes_cannot_allow_it() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let change = RouteChange {
        caller_faults: Some(true.into()),
        ..RouteChange::default()
    };

    let refused = proxy.handle().change_route(TestProxy::ROUTE, change);

    assert_eq!(
        refused.unwrap_err().to_string(),
        "a route that carries bytes has no header fields by which callers could ask for faults"
    );
}
