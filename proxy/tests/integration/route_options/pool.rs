use std::time::Duration;

use brownout_proxy::AttemptEnd;
use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;
use tokio::{sync::Semaphore, time::sleep};

use super::{endings, ends, errors, options};

/// Answers once the test lets it.
async fn gated() -> (TestUpstream, std::sync::Arc<Semaphore>) {
    let gate = std::sync::Arc::new(Semaphore::new(0));
    let held = std::sync::Arc::clone(&gate);
    let upstream = TestUpstream::serving(move |_| {
        let gate = std::sync::Arc::clone(&held);
        async move {
            gate.acquire().await.unwrap().forget();
            hyper::Response::new(Full::new(Bytes::from_static(b"hello")))
        }
    })
    .await;
    (upstream, gate)
}

#[tokio::test]
async fn a_request_waits_until_a_connection_of_its_core_is_free_and_uses_it() {
    let (upstream, gate) = gated().await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| it.pool.max_connections = Some(1)))
        .start();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        clients.push(client);
    }
    eventually("the first request", || upstream.received().len() == 1).await;

    gate.add_permits(5);
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "hello");
    }

    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_request_for_which_no_connection_is_free_in_time_is_a_503_that_says_so() {
    let (upstream, gate) = gated().await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| {
            it.pool.max_connections = Some(1);
            it.connect_timeout = Duration::from_millis(100);
        }))
        .with_access_log()
        .start();
    let mut first = proxy.connect().await;
    first.get("/").await;
    eventually("the first request", || upstream.received().len() == 1).await;

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 503);
    let told = answer.text();
    assert!(told.contains("has all 1 connections"), "{told}");
    assert!(told.contains("within 100ms"), "{told}");
    assert_eq!(endings(&proxy, 1).await, ["pool_full"]);
    assert_eq!(ends(&proxy, 1).await, [AttemptEnd::UpstreamError]);
    assert_eq!(errors(&proxy, "pool_full"), 1);
    gate.add_permits(2);
    assert_eq!(first.response().await.status(), 200);
    assert_eq!(proxy.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_and_its_turn_back() {
    let (upstream, gate) = gated().await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| it.pool.max_connections = Some(1)))
        .start();
    let mut using = proxy.connect().await;
    using.get("/").await;
    eventually("the first request", || upstream.received().len() == 1).await;
    let mut waiting = proxy.connect().await;
    waiting.get("/").await;
    eventually("two connections", || {
        proxy.handle().route("web").unwrap().requests == 2
    })
    .await;

    drop(waiting);
    drop(using);
    gate.add_permits(10);

    assert_eq!(proxy.get("/").await.text(), "hello");
    assert_eq!(ends(&proxy, 3).await.last(), Some(&AttemptEnd::Answered));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_makes_place_for_a_new_one() {
    let upstream = TestUpstream::closing_before_it_reads_the_second_request().await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| it.pool.max_connections = Some(1)))
        .start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.response().await.status(), 200);

    client.send(TestUpstream::long_request()).await;

    assert_eq!(client.response().await.status(), 200);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn copies_of_a_request_keep_to_the_limit() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| it.pool.max_connections = Some(1)))
        .with_fault(&json!({ "duplicate": { "copies": 2 } }))
        .start();

    assert_eq!(proxy.get("/").await.status(), 200);

    eventually("the copies", || upstream.received().len() == 3).await;
}

#[tokio::test]
async fn a_connection_that_changed_its_protocol_keeps_its_place() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| {
            it.pool.max_connections = Some(1);
            it.connect_timeout = Duration::from_millis(100);
        }))
        .start();
    let mut upgraded = proxy.connect().await;
    upgraded
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(upgraded.head().await.status(), 101);

    assert_eq!(proxy.get("/").await.status(), 503);

    upgraded.finish().await;
    drop(upgraded);
    eventually("the tunnel to end", || {
        proxy.handle().route("web").unwrap().connections == 0
    })
    .await;
    let mut next = proxy.connect().await;
    next.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(next.head().await.status(), 101);
}

#[tokio::test]
async fn a_tcp_connection_waits_for_its_place_too() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.send("hi").await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream)
        .with_cores(1)
        .with_options(options(|it| it.pool.max_connections = Some(1)))
        .start();
    let mut first = proxy.connect().await;
    first.read_exact(2).await;
    let mut second = proxy.connect().await;
    eventually("both", || {
        proxy.handle().route("web").unwrap().connections == 2
    })
    .await;
    assert_eq!(upstream.connections(), 1);

    first.finish().await;
    drop(first);

    second.read_exact(2).await;
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn with_no_unused_connections_each_request_has_its_own() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| it.pool.max_idle = 0))
        .start();
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        assert_eq!(client.response().await.status(), 200);
    }

    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_was_unused_for_too_long_is_not_used_again() {
    let upstream = TestUpstream::replying("hello").await;
    let timeout = Duration::from_millis(50);
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_options(options(|it| it.pool.idle_timeout = timeout))
        .start();
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.get("/").await;
        assert_eq!(client.response().await.status(), 200);
        sleep(timeout * 2).await;
    }

    assert_eq!(upstream.connections(), 2);
}
