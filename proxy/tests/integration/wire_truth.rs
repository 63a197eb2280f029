//! What the kernel makes of each ending: bytes, FIN or RST, with slow readers and small buffers.

use std::{net::SocketAddr, time::Duration};

use brownout_testkit::{Ended, How, RawClient, TestProxy, TestUpstream, eventually, within};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

/// A client whose kernel takes little at a time.
async fn small_buffered(address: SocketAddr) -> RawClient {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    RawClient::over(socket.connect(address).await.unwrap())
}

/// What follows the head of an answer of 300,000 bytes to a client that begins to read late.
async fn read_late(fault: &Value) -> Ended {
    let upstream = TestUpstream::replying("a".repeat(600_000)).await;
    let proxy = TestProxy::to(&upstream).with_fault(fault).start();
    let mut client = small_buffered(proxy.address()).await;

    client.get("/").await;
    eventually("the fault to act", || {
        proxy.fault("cut").counters.injected == 1
    })
    .await;
    // The proxy is at its work while nobody reads; the drain is for two seconds.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.head().await;
    client.ended().await
}

#[tokio::test]
async fn a_close_after_the_whole_request_is_an_end_without_a_byte() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "close": {} }))
        .start();

    for _ in 0..20 {
        let mut client = proxy.connect().await;
        client.get("/").await;
        let ended = client.ended().await;
        assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
    }
}

#[tokio::test]
async fn a_close_stays_a_close_though_the_request_is_still_coming() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "close": {} }))
        .start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n0123456789")
        .await;
    eventually("the fault to act", || {
        proxy.fault("close-1").counters.injected == 1
    })
    .await;
    client.send("0123456789").await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
}

#[tokio::test]
async fn a_reset_is_a_reset_every_time_also_with_unread_bytes() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "reset": {} }))
        .start();

    for body in ["", "0123456789"] {
        for _ in 0..20 {
            let mut client = proxy.connect().await;
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{body}");
            client.send(head).await;
            let ended = client.ended().await;
            assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
        }
    }
}

#[tokio::test]
async fn a_thousand_bytes_arrive_before_the_reset_at_a_slow_reader() {
    let ended = read_late(&json!({ "id": "cut", "reset": { "after_bytes": "1000B" } })).await;

    assert_eq!((ended.bytes.len(), ended.how), (1_000, How::Reset));
}

#[tokio::test]
async fn three_hundred_thousand_bytes_arrive_before_the_reset_through_a_small_buffer() {
    let ended = read_late(&json!({ "id": "cut", "reset": { "after_bytes": "300000B" } })).await;

    assert_eq!((ended.bytes.len(), ended.how), (300_000, How::Reset));
}

#[tokio::test]
async fn three_hundred_thousand_bytes_arrive_before_the_fin_through_a_small_buffer() {
    let fault = json!({ "id": "cut", "truncate": { "after_bytes": "300000B" } });

    let ended = read_late(&fault).await;

    assert_eq!((ended.bytes.len(), ended.how), (300_000, How::Fin));
}

#[tokio::test]
async fn a_removed_fault_holds_nothing_though_its_client_reads_no_more() {
    let upstream = TestUpstream::replying("a".repeat(5_000_000)).await;
    for kind in [
        json!({ "latency": "1h" }),
        json!({ "latency": { "value": "1h", "side": "response" } }),
        json!({ "blackhole": {} }),
        json!({ "bandwidth": "1KiB/s" }),
        json!({ "dribble": { "chunk_size": "10B", "gap": "1h" } }),
        json!({ "stall": { "after_bytes": "10B", "for": "until_removed" } }),
        json!({ "saturate": { "concurrency": 1, "service_time": "1h" } }),
    ] {
        let mut fault = kind.clone();
        fault["id"] = json!("holding");
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = small_buffered(proxy.address()).await;
        client.get("/").await;
        eventually("the request to be held", || {
            proxy.fault("holding").counters.active == 1
        })
        .await;

        proxy.disarm("holding");
        proxy.arm(&fault);

        assert_eq!(proxy.fault("holding").counters.active, 0, "{kind}");
        // Nothing is stuck: the next request is served though the first client does not read.
        proxy.disarm("holding");
        let next = within("the next answer", proxy.get("/")).await;
        assert_eq!(next.body.len(), 5_000_000, "{kind}");
    }
}

#[tokio::test]
async fn arming_the_first_fault_resets_nothing_in_flight() {
    let upstream = TestUpstream::replying("a".repeat(3_000_000)).await;
    let proxy = TestProxy::to(&upstream).start();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = small_buffered(proxy.address()).await;
        client.get("/").await;
        client.head().await;
        clients.push(client);
    }

    proxy.arm(&json!({ "reset": {} }));
    proxy.arm(&json!({ "refuse": {} }));

    for client in &mut clients {
        client.read_exact(3_000_000).await;
    }
    assert!(TcpStream::connect(proxy.address()).await.is_err());
}

#[tokio::test]
async fn an_expected_100_is_never_sent_by_an_ending_before_the_upstream() {
    for kind in [
        json!({ "close": {} }),
        json!({ "reset": {} }),
        json!({ "abort": 503 }),
    ] {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream).with_fault(&kind).start();
        let mut client = proxy.connect().await;

        client
            .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
            .await;

        let ended = client.ended().await;
        assert!(!ended.bytes.starts_with(b"HTTP/1.1 100"), "{kind}");
    }
}

#[tokio::test]
async fn trailers_pass_a_body_that_is_shaped() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        while client.try_head().await.is_some() {
            client
                .send("HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n")
                .await;
        }
    })
    .await;
    for kind in [
        json!({ "dribble": { "chunk_size": "2B", "gap": "10ms" } }),
        json!({ "bandwidth": "1KiB/s" }),
        json!({ "stall": { "after_bytes": "5B", "for": "20ms" } }),
    ] {
        let proxy = TestProxy::to(&upstream).with_fault(&kind).start();
        let mut client = proxy.connect().await;

        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
            .await;

        let response = client.response().await;
        assert_eq!(response.text(), "hello", "{kind}");
        assert_eq!(response.trailers, ["x-sum: 7"], "{kind}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_damaged_as_it_is_on_the_wire() {
    let gzip: Vec<u8> = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]
        .into_iter()
        .chain((0..90).map(|n| n * 2))
        .collect();
    let sent = gzip.clone();
    let upstream = TestUpstream::serving(move |_| {
        let answer = http_answer(&sent);
        async move { answer }
    })
    .await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "corrupt": { "how": "gzip" } }))
        .start();

    let response = proxy.get("/").await;

    assert_eq!(response.values("content-encoding"), ["gzip"]);
    assert_eq!(response.body.len(), gzip.len());
    assert_eq!(
        response.body[..10],
        gzip[..10],
        "the decoder begins its work"
    );
    assert_ne!(response.body[10..], gzip[10..]);
}

fn http_answer(body: &[u8]) -> hyper::Response<http_body_util::Full<bytes::Bytes>> {
    hyper::Response::builder()
        .header("content-encoding", "gzip")
        .body(http_body_util::Full::new(bytes::Bytes::copy_from_slice(
            body,
        )))
        .unwrap()
}
