//! A client that takes too long over a head, or asks for nothing, loses its connection.

use std::time::{Duration, Instant};

use brownout_testkit::{How, TestProxy, TestUpstream};
use serde_json::json;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_that_does_not_end_in_time_ends_its_connection() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_head_timeout(SHORT).start();
    for is_first in [true, false] {
        let began = Instant::now();
        let mut client = proxy.connect().await;
        if !is_first {
            client.get("/").await;
            assert_eq!(client.response().await.status(), 200);
        }
        client.send("GET / HTTP/1.1\r\nHost: h\r\n").await;

        let ended = client.ended().await;

        assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
        assert!(ended.bytes.is_empty(), "nothing is answered: {ended:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_idle_for_too_long_is_closed_in_order() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_idle_timeout(SHORT).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    let asked = Instant::now();
    assert_eq!(client.response().await.status(), 200);

    let ended = client.ended().await;

    assert_eq!(ended.how, How::Fin);
    assert!(asked.elapsed() >= SHORT, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_request_in_progress_is_neither() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_head_timeout(SHORT / 4)
        .with_idle_timeout(SHORT / 4)
        .with_fault(&json!({ "latency": "200ms" }))
        .start();

    assert_eq!(proxy.get("/").await.status(), 200);
}
