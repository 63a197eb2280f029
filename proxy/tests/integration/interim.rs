//! Interim answers (1xx) where something else happens: faults, and a 100 of the proxy's own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream};
use serde_json::json;
use tokio::sync::Notify;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends hints at once, and the answer behind them.
async fn hinting() -> TestUpstream {
    TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        while connection.whole_request().await.is_some() {
            connection.send(HINTS).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            connection.send(OK).await;
        }
    })
    .await
}

#[tokio::test]
async fn hints_reach_the_client_before_the_answer_is_there() {
    let has_hints = Arc::new(Notify::new());
    let waiting = Arc::clone(&has_hints);
    let upstream = TestUpstream::raw(move |stream| {
        let waiting = Arc::clone(&waiting);
        async move {
            let mut connection = RawClient::over(stream);
            connection.whole_request().await;
            connection.send(HINTS).await;
            // The answer comes only when the client has the hints.
            waiting.notified().await;
            connection.send(OK).await;
            connection.ended().await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client.get("/").await;

    assert_eq!(client.head().await.head, HINTS);
    has_hints.notify_one();
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn a_delay_of_the_answer_holds_its_hints_too() {
    let upstream = hinting().await;
    let fault = json!({ "latency": { "value": "300ms", "side": "response" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.get("/").await;

    assert_eq!(client.head().await.head, HINTS);
    assert!(
        began.elapsed() >= Duration::from_millis(295),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn an_answer_that_is_replaced_drops_its_hints() {
    let upstream = hinting().await;
    let fault = json!({ "abort": { "status": 503, "at": "after" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 503, "{}", response.head);
}

#[tokio::test]
async fn an_answer_that_is_ended_drops_its_hints() {
    let upstream = hinting().await;
    let fault = json!({ "reset": { "at": "response_head" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    client.get("/").await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
}

#[tokio::test]
async fn a_late_100_of_the_upstream_is_dropped_behind_our_own() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        connection.whole_head().await;
        // The proxy asks for the body by itself after a second; only then does this one.
        connection.read_exact(5).await;
        connection.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        connection.send(HINTS).await;
        connection.send(OK).await;
        connection.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status(), 100);
    client.send("hello").await;

    assert_eq!(client.head().await.head, HINTS);
    assert_eq!(client.response().await.text(), "ok");
}
