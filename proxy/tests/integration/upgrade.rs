//! A connection that changes its protocol is handed through.

use brownout_testkit::{RawClient, TestProxy, TestUpstream, within};
use serde_json::json;

#[tokio::test]
async fn after_101_bytes_pass_both_ways_until_either_side_closes() {
    let (closed, mut upstream_closed) = tokio::sync::mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let closed = closed.clone();
        async move {
            let mut upstream = RawClient::over(stream);
            let head = upstream.head().await;
            assert_eq!(head.values("upgrade"), ["websocket"]);
            assert_eq!(head.values("connection"), ["upgrade"]);
            assert_eq!(head.values("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
            // The first bytes of the new protocol come together with the answer.
            upstream
                .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome")
                .await;
            assert_eq!(upstream.read_exact(4).await, b"ping");
            upstream.send("pong").await;
            upstream.ended().await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(head.status(), 101);
    assert_eq!(head.values("upgrade"), ["websocket"]);
    assert_eq!(client.read_exact(7).await, b"welcome");
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"pong");
    drop(client);

    within("the upstream to be closed", upstream_closed.recv())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_answer_like_any_other() {
    let upstream = TestUpstream::replying("no").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

    for _ in 0..2 {
        let (response, _) = client.exchange(request).await;
        assert_eq!((response.status(), response.text().as_str()), (200, "no"));
    }
}

#[tokio::test]
async fn faults_of_bodies_leave_a_changed_protocol_alone() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nwelcome")
            .await;
        let ping = upstream.read_exact(4).await;
        upstream.send(ping).await;
        upstream.ended().await;
    })
    .await;
    for fault in [
        json!({ "truncate": {} }),
        json!({ "stall": { "for": "1h" } }),
        json!({ "bandwidth": "1B/s" }),
        json!({ "corrupt": { "rate": 1 } }),
        json!({ "latency": { "value": "20ms", "side": "response" } }),
    ] {
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;

        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            .await;

        assert_eq!(client.head().await.status(), 101, "{fault}");
        assert_eq!(client.read_exact(7).await, b"welcome", "{fault}");
        client.send("ping").await;
        assert_eq!(client.read_exact(4).await, b"ping", "{fault}");
    }
}
