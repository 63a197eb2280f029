//! Bodies are streamed in both directions and never held.

use std::time::Duration;

use brownout_testkit::{RawClient, TestProxy, TestUpstream, within};
use serde_json::json;
use tokio::time::timeout;

#[tokio::test]
async fn an_upstream_that_sends_half_and_waits_for_the_clients_word_gets_it() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        assert_eq!(upstream.read_exact(5).await, b"first");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            .await;
        assert_eq!(upstream.read_exact(6).await, b"second");
        upstream.send("rest").await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nfirst")
        .await;
    assert_eq!(client.head().await.status(), 200);
    assert_eq!(client.read_exact(4).await, b"half");
    client.send("second").await;

    assert_eq!(client.read_exact(4).await, b"rest");
}

#[tokio::test]
async fn each_chunk_goes_on_as_soon_as_it_comes() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..3 {
            upstream.send("7\r\nevent\r\n\r\n").await;
            upstream.read_exact(2).await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n")
        .await;
    client.head().await;
    for _ in 0..3 {
        // The upstream sends the next event only when it has heard of this one.
        client.read_until(b"event").await;
        client.send("ok").await;
    }
}

#[tokio::test]
async fn expect_100_continue_waits_for_the_upstreams_word() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        let head = upstream.head().await;
        assert_eq!(head.values("expect"), ["100-continue"]);
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(upstream.read_exact(5).await, b"hello");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let interim = client.head().await;
    assert_eq!(interim.status(), 100);
    client.send("hello").await;

    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn an_upstream_that_knows_no_100_gets_the_body_after_a_second() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        assert_eq!(upstream.read_exact(5).await, b"hello");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    let began = std::time::Instant::now();

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status(), 100);
    assert!(began.elapsed() >= Duration::from_secs(1));
    client.send("hello").await;

    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn injected_answers_and_resets_never_send_100() {
    let upstream = TestUpstream::replying("hello").await;
    for fault in [json!({ "abort": 503 }), json!({ "reset": {} })] {
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;

        client
            .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await;

        let bytes = client.ended().await.bytes;
        assert!(
            !bytes.starts_with(b"HTTP/1.1 100"),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[tokio::test]
async fn an_aborted_upload_is_answered_and_leaves_the_connection_usable() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "abort": { "status": 413, "body": "big" }, "limit": 1 }))
        .start();
    let mut client = proxy.connect().await;
    // Enough that the kernel's buffers cannot take it all.
    let body = "x".repeat(900_000);

    // A client that sends everything before it looks for an answer, as most do.
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let response = client.response().await;
    assert_eq!((response.status(), response.text().as_str()), (413, "big"));
    client.get("/").await;

    assert_eq!(client.response().await.text(), "hello");
}

#[tokio::test]
async fn a_client_that_stops_reading_slows_the_upstream_down() {
    let (progress, mut written) = tokio::sync::watch::channel(0usize);
    let upstream = TestUpstream::raw(move |stream| {
        let progress = progress.clone();
        async move {
            let mut upstream = RawClient::over(stream);
            upstream.head().await;
            upstream
                .send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
                .await;
            let chunk = vec![0; 64 * 1024];
            while upstream.try_send(&chunk).await.is_ok() {
                progress.send_modify(|written| *written += chunk.len());
            }
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    client.head().await;

    // Until nothing more is written for a while: everything between is full.
    let settled = async {
        while timeout(Duration::from_millis(500), written.changed())
            .await
            .is_ok()
        {}
    };
    brownout_testkit::within("the upstream to be slowed down", settled).await;

    let written = *written.borrow();
    assert!(
        written < 64 * 1024 * 1024,
        "{written} bytes were taken from the upstream"
    );
}

#[tokio::test]
async fn an_upload_goes_on_while_the_client_does_not_read_the_answer() {
    const SIZE: u64 = 32 * 1024 * 1024;
    let (done, mut upload_done) = tokio::sync::mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let done = done.clone();
        async move {
            let mut client = RawClient::over(stream);
            client.head().await;
            // The answer comes early, and more of it than sockets hold.
            client
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
                .await;
            client.patterns_both_ways(SIZE).await;
            done.send(()).unwrap();
            client.ended().await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n"
        ))
        .await;
    client.send_pattern(SIZE).await;
    client.head().await;
    client.expect_pattern(SIZE).await;

    within("the upload", upload_done.recv()).await.unwrap();
}
