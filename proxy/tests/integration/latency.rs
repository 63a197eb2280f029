//! `latency` holds each request before it is forwarded.

use std::time::Duration;

use brownout_telemetry::names;
use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually, within};
use serde_json::json;

#[tokio::test]
async fn each_of_ten_requests_on_one_connection_is_delayed() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "latency": "300ms" }))
        .start();
    let mut client = proxy.connect().await;

    for _ in 0..10 {
        let (response, took) = client.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(response.text(), "hello");
        assert!(took >= Duration::from_millis(300), "{took:?}");
    }
    let status = proxy.fault("latency-1");
    assert_eq!(status.counters.injected, 10);
    let magnitude = status.magnitude;
    assert!(magnitude.achieved.unwrap().p50 >= Duration::from_millis(300));
}

#[tokio::test]
async fn held_requests_are_counted_and_others_pass_at_once() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "slow", "latency": "1h", "match": { "path": "/slow" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut held: Vec<RawClient> = Vec::new();
    for _ in 0..200 {
        let mut client = proxy.connect().await;
        client.get("/slow").await;
        held.push(client);
    }
    eventually("200 requests to be held", || {
        proxy.fault("slow").counters.active == 200
    })
    .await;

    assert_eq!(
        within("a request that does not match", proxy.get("/fast"))
            .await
            .text(),
        "hello"
    );

    // Each answer is waited for with a bound, far below the hour of the fault.
    proxy.disarm("slow");
    for client in &mut held {
        assert_eq!(
            client.response().await.text(),
            "hello",
            "removing lets them continue"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_hold_ends_it() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "slow", "latency": "1h" });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    // With nothing unread, with a body that nobody reads, and with a pipelined request.
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n{}",
            "x".repeat(100_000)
        ),
        "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2),
    ] {
        let before = proxy.fault("slow").counters;
        let mut client = proxy.connect().await;
        client.send(&request).await;
        eventually("the request to be held", || {
            proxy.fault("slow").counters.active == 1
        })
        .await;

        drop(client);

        eventually("the hold to end", || {
            proxy.fault("slow").counters.active == 0
        })
        .await;
        let after = proxy.fault("slow").counters;
        assert_eq!(
            after.client_gave_up - before.client_gave_up,
            1,
            "{request:.40}"
        );
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn over_its_maximum_requests_pass_untouched() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "slow", "latency": "1h", "max_active": 1 });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut held = proxy.connect().await;
    held.get("/").await;
    eventually("one request to be held", || {
        proxy.fault("slow").counters.active == 1
    })
    .await;

    assert_eq!(proxy.get("/").await.text(), "hello");

    let counters = proxy.fault("slow").counters;
    assert_eq!((counters.active, counters.overflow), (1, 1));
}

#[tokio::test]
async fn delay_and_abort_both_happen_delay_first() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "abort": 503 }))
        .with_fault(&json!({ "latency": "100ms" }))
        .with_fault(&json!({ "latency": "100ms" }))
        .start();
    let mut client = proxy.connect().await;

    let (response, took) = client.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;

    assert_eq!(response.status(), 503);
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

#[tokio::test]
async fn an_upload_waits_with_its_request() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "latency": "100ms" }))
        .start();
    let mut client = proxy.connect().await;
    let body = "x".repeat(2_000_000);

    let request = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (response, _) = client.exchange(request).await;

    assert_eq!(response.status(), 200);
    assert_eq!(upstream.received()[0].body.len(), body.len());
}

#[tokio::test]
async fn a_request_that_was_forwarded_is_no_longer_held() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        client.head().await;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlong\r\n";
        client.send(head).await;
        client.ended().await; // And so on, until the client has enough.
    })
    .await;
    let fault = json!({ "id": "slow", "latency": "1ms", "max_active": 1 });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    let mut downloads = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.read_until(b"long\r\n").await;
        downloads.push(client);
    }

    let counters = proxy.fault("slow").counters;
    assert_eq!((counters.injected, counters.overflow), (3, 0));
    assert_eq!(counters.active, 0);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_hold_has_not_given_up_on_it() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        client.head().await;
        client.ended().await; // It never answers.
    })
    .await;
    let fault = json!({ "id": "slow", "latency": "1ms" });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    eventually("the request to be forwarded", || {
        upstream.connections() == 1 && proxy.fault("slow").counters.active == 0
    })
    .await;

    drop(client);

    let left = names::PROXY_ERRORS;
    let left = proxy.metrics().counter(left, &["web", "client_disconnect"]);
    eventually("the client to be missed", || left.total() == 1).await;
    assert_eq!(proxy.fault("slow").counters.client_gave_up, 0);
}

#[tokio::test]
async fn a_request_is_held_until_its_callers_deadline_and_one_without_passes() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "late", "latency": { "mode": "until_deadline", "margin": "50ms" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    let deadline = |field: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");

    let (_, millis) = client.exchange(deadline("x-timeout-ms: 200")).await;
    let (_, grpc) = client.exchange(deadline("grpc-timeout: 150m")).await;
    let (response, _) = client.exchange(deadline("x-other: 1")).await;

    assert!(millis >= Duration::from_millis(250), "{millis:?}");
    assert!(grpc >= Duration::from_millis(200), "{grpc:?}");
    assert_eq!(response.text(), "hello");
    let status = proxy.fault("late");
    assert_eq!((status.counters.injected, status.counters.skipped), (2, 1));
    let lateness = names::FAULT_LATENESS;
    let lateness = proxy.metrics().histogram(lateness, &["web", "latency"]);
    assert_eq!(
        lateness.distribution().count(),
        2,
        "how late it was is measured"
    );
}
