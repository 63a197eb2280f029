//! A client that takes too long is closed, and no other.

use std::time::{Duration, Instant};

use brownout_proxy::ClientTimeouts;
use brownout_testkit::{How, TestProxy, TestUpstream};
use serde_json::json;

/// Longer than a machine stands still: a client that does nothing wrong shall not be late.
const HEAD: Duration = Duration::from_millis(1_500);
const IDLE: Duration = Duration::from_secs(2);

fn timeouts() -> ClientTimeouts {
    ClientTimeouts {
        head: HEAD,
        idle: IDLE,
    }
}

#[tokio::test]
async fn the_defaults_are_those_of_the_documentation() {
    let page = include_str!("../../../docs/limits.md");
    let ClientTimeouts { head, idle } = ClientTimeouts::default();

    assert!(page.contains(&format!("| time to send a head | {} s |", head.as_secs())));
    assert!(page.contains(&format!(
        "| time between two requests | {} s |",
        idle.as_secs()
    )));
}

#[tokio::test]
async fn a_head_that_does_not_come_whole_ends_its_connection() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_client_timeouts(timeouts())
        .start();
    for begun in ["", "GET / HTTP/1.1\r\nHost: h\r\n"] {
        let began = Instant::now();
        let mut client = proxy.connect().await;
        client.send(begun).await;

        let ended = client.ended().await;

        assert!(ended.bytes.is_empty(), "{begun:?}");
        assert!(began.elapsed() >= HEAD, "{begun:?}");
    }
    // Nor is one that begins on a warm connection, from its own first byte.
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.response().await.status(), 200);
    let began = Instant::now();
    client.send("GET / HT").await;

    assert!(client.ended().await.bytes.is_empty());
    assert!(began.elapsed() >= HEAD);
    assert!(upstream.received().len() == 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_good_order_and_not_before_its_time() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_client_timeouts(timeouts())
        .start();
    let mut client = proxy.connect().await;
    // It is idle from some moment behind this one.
    let began = Instant::now();
    client.get("/").await;
    assert_eq!(client.response().await.status(), 200);

    let ended = client.ended().await;

    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
    assert!(began.elapsed() >= IDLE);
}

#[tokio::test]
async fn a_request_in_progress_may_take_longer_than_both() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_client_timeouts(timeouts())
        .with_fault(&json!({ "latency": "4s" }))
        .start();
    let began = Instant::now();

    assert_eq!(proxy.get("/").await.text(), "hello");
    assert!(began.elapsed() > HEAD + IDLE);
}
