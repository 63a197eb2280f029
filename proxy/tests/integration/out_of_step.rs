//! Bodies that stop in the middle: proxy and client never disagree about where the next request begins.

use brownout_telemetry::names;
use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually};
use serde_json::json;
use tokio::net::TcpStream;

/// Answers `413` as soon as a head is there and closes, without having read more and without saying so.
async fn hasty() -> TestUpstream {
    TestUpstream::raw(|stream: TcpStream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            .await;
    })
    .await
}

#[tokio::test]
async fn the_rest_of_a_body_is_never_read_as_a_request() {
    // Below and above the size from which bodies are moved inside the kernel.
    for length in [150_000, 900_000] {
        let upstream = hasty().await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;
        let (first, rest) = (60_000, length - 60_000);

        client
            .send(format!(
                "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        client.send(vec![b'x'; first]).await;
        assert_eq!(client.response().await.status(), 413);
        // A request in the body would be read if the proxy lost count.
        let mut body = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n".repeat(rest / 35 + 1);
        body.truncate(rest);
        drop(client.try_send(&body).await);
        drop(
            client
                .try_send(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
                .await,
        );
        client.finish().await;
        client.ended().await;

        let requests = proxy.metrics().counter(names::PROXY_REQUESTS, &["web"]);
        assert!(
            requests.total() <= 2,
            "{length}: {} requests",
            requests.total()
        );
        let refused = proxy
            .metrics()
            .counter(names::PROXY_REFUSED, &["web", "first_line"]);
        assert_eq!(refused.total(), 0, "{length}");
    }
}

#[tokio::test]
async fn half_a_chunk_line_under_a_blackhole_keeps_nobody_else_waiting() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "blackhole": {}, "match": { "path": "/hole" } });
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_fault(&fault)
        .start();
    let mut stuck = proxy.connect().await;
    stuck
        .send("POST /hole HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5")
        .await;
    eventually("the request to be held", || {
        proxy.fault("blackhole-1").counters.active == 1
    })
    .await;

    assert_eq!(proxy.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_body_for_an_answer_that_has_none_is_not_written() {
    for status in ["204 No Content", "304 Not Modified"] {
        let upstream = TestUpstream::raw(move |stream: TcpStream| async move {
            let mut upstream = RawClient::over(stream);
            loop {
                if upstream.try_head().await.is_none() {
                    return;
                }
                upstream
                    .send(format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\n\r\n"))
                    .await;
            }
        })
        .await;
        let fault = json!({ "mutate": { "response": { "body": "smuggled" } } });
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;

        for _ in 0..2 {
            client.get("/").await;
            let head = client.head().await;
            assert!(head.head.contains(status), "{}", head.head);
            assert!(head.values("content-length").is_empty(), "{}", head.head);
        }
    }
}

#[tokio::test]
async fn a_chunk_that_is_wrong_from_the_start_is_a_502() {
    let upstream = TestUpstream::raw(|stream: TcpStream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
            .await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("chunk size"), "{}", answer.text());
}

#[tokio::test]
async fn an_answer_that_breaks_while_it_is_gathered_is_not_taken_as_whole() {
    let upstream = TestUpstream::raw(|stream: TcpStream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":")
            .await;
        upstream.reset();
    })
    .await;
    let patch = json!([{ "op": "remove", "path": "/a" }]);
    let fault = json!({ "mutate": { "response": { "json_patch": patch } } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    client.get("/").await;

    let ended = client.ended().await;
    assert!(!ended.bytes.ends_with(b"0\r\n\r\n"), "{:?}", ended.bytes);
}

#[tokio::test]
async fn an_upgrade_counts_as_1xx() {
    let upstream = TestUpstream::raw(|stream: TcpStream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            .await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status(), 101);

    let switched = proxy
        .metrics()
        .counter(names::PROXY_RESPONSES, &["web", "1xx"]);
    eventually("it to be counted", || switched.total() == 1).await;
}
