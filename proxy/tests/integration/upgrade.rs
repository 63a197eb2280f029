//! A connection that changes its protocol is handed through.

use std::{future::Future, time::Duration};

use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually, within};
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

/// An upstream may switch before it has read the request's content. The rest of that still comes, then the other protocol.
#[tokio::test]
async fn content_that_is_on_its_way_when_the_protocol_changes_is_not_lost() {
    const CONTENT: u64 = 32 << 20;
    /// The upstream reads nothing meanwhile, so that the proxy has bytes it cannot write. Without that the test shows less.
    const STANDSTILL: Duration = Duration::from_millis(300);
    let upstream = switching_after(STANDSTILL, |mut upstream| async move {
        upstream.expect_pattern(CONTENT).await;
        upstream.send("welcome").await;
        assert_eq!(upstream.read_exact(4).await, b"ping");
        upstream.send("pong").await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: chat\r\nContent-Length: {CONTENT}\r\n\r\n"
    );

    client.send(head).await;
    client.send_pattern(CONTENT).await;

    assert_eq!(client.head().await.status(), 101);
    assert_eq!(client.read_exact(7).await, b"welcome");
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"pong");
}

/// An upstream that switches protocols and then does as `then` says.
async fn switching<F>(then: fn(RawClient) -> F) -> TestUpstream
where
    F: Future<Output = ()> + Send + 'static,
{
    switching_after(Duration::ZERO, then).await
}

/// As [`switching`], with a wait between the request's head and the switch.
async fn switching_after<F>(wait: Duration, then: fn(RawClient) -> F) -> TestUpstream
where
    F: Future<Output = ()> + Send + 'static,
{
    TestUpstream::raw(move |stream| async move {
        let mut client = RawClient::over(stream);
        client.head().await;
        tokio::time::sleep(wait).await;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";
        client.send(head).await;
        then(client).await;
    })
    .await
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";

#[tokio::test]
async fn a_client_that_goes_on_after_the_upstream_has_left_is_told() {
    let upstream = switching(|client| async move { drop(client) }).await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.status(), 101);

    // What is sent into the void ends, at the latest when no buffer takes more.
    while client.try_send(&[0; 64 * 1024]).await.is_ok() {}

    eventually("the connection to be over", || {
        proxy.handle().route(TestProxy::ROUTE).unwrap().connections == 0
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_keeps_its_place_among_the_connections() {
    let upstream = switching(|mut client| async move { drop(client.ended().await) }).await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_connections_max(2)
        .start();
    let mut tunnels = Vec::new();
    for _ in 0..2 {
        let mut client = proxy.connect().await;
        client.send(UPGRADE).await;
        assert_eq!(client.head().await.status(), 101);
        tunnels.push(client);
    }
    // The kernel accepts it; nobody serves it yet.
    let mut third = proxy.connect().await;
    third.send(UPGRADE).await;
    assert_eq!(
        proxy.handle().route(TestProxy::ROUTE).unwrap().connections,
        2
    );
    assert_eq!(upstream.connections(), 2);

    drop(tunnels.pop());

    assert_eq!(third.head().await.status(), 101);
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
