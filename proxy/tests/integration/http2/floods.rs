//! Floods of frames: whoever sends them hurts nobody else, and not for long.

use std::time::{Duration, Instant};

use brownout_testkit::{PATIENCE, RawClient, TestProxy, TestUpstream};

use super::{
    client::Client,
    raw::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM,
        SETTINGS, block, frame, get, post,
    },
};

/// What a flood consists of: bytes that are sent again and again, made for each stream.
type Flood = fn(stream: u32) -> Vec<u8>;

fn rapid_reset(stream: u32) -> Vec<u8> {
    let cancel = 8_u32.to_be_bytes();
    [get(stream, "/"), frame(RST_STREAM, 0, stream, &cancel)].concat()
}

fn settings(_stream: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, b"")
}

fn pings(_stream: u32) -> Vec<u8> {
    frame(PING, 0, 0, b"flooding")
}

fn continuations(stream: u32) -> Vec<u8> {
    match stream {
        1 => frame(HEADERS, END_STREAM, 1, &block(&[(b":method", b"GET")])),
        _ => frame(CONTINUATION, 0, 1, &block(&[(b"x", &[b'x'; 100])])),
    }
}

fn empty_continuations(stream: u32) -> Vec<u8> {
    match stream {
        1 => frame(HEADERS, END_STREAM, 1, &block(&[(b":method", b"GET")])),
        _ => frame(CONTINUATION, 0, 1, b""),
    }
}

fn empty_data(stream: u32) -> Vec<u8> {
    match stream {
        1 => post(1, "/"),
        _ => frame(DATA, 0, 1, b""),
    }
}

fn malformed_heads(stream: u32) -> Vec<u8> {
    let fields = block(&[(b":method", b"GET"), (b"connection", b"close")]);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields)
}

/// Sends a flood without reading, until the proxy takes no more or ends the connection, or `until`. Whether the connection ended.
async fn flood(client: &mut RawClient, flood: Flood, until: Instant) -> bool {
    let mut stream = 1;
    while Instant::now() < until {
        let mut piece = Vec::new();
        for _ in 0..100 {
            piece.extend(flood(stream));
            stream += 2;
        }
        let sent = client.try_send(&piece);
        match tokio::time::timeout(Duration::from_secs(2), sent).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return true,
            // Nobody reads what it would be answered.
            Err(_) => return false,
        }
    }
    false
}

#[tokio::test]
async fn floods_do_not_hurt_other_clients() {
    let floods: [(&str, Flood, Option<bool>); 7] = [
        ("rapid reset", rapid_reset, Some(true)),
        ("SETTINGS", settings, Some(false)),
        ("PING", pings, Some(false)),
        ("CONTINUATION", continuations, Some(true)),
        ("empty CONTINUATION", empty_continuations, Some(true)),
        ("empty DATA", empty_data, None),
        ("malformed heads", malformed_heads, Some(true)),
    ];
    // `None`: that depends on how fast they come.
    for (name, sent, ends) in floods {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream).with_cores(1).start();
        let mut other = Client::connect(proxy.address()).await;
        assert_eq!(other.get("/").await.body, b"hello");
        let mut flooding = RawClient::connect(proxy.address()).await;
        flooding.send(PREFACE).await;
        flooding.send(frame(SETTINGS, ACK, 0, b"")).await;
        let until = Instant::now() + Duration::from_secs(3);

        let floods = flood(&mut flooding, sent, until);
        let asks = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..50 {
                let began = Instant::now();
                assert_eq!(other.get("/").await.body, b"hello", "{name}");
                slowest = slowest.max(began.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            slowest
        };
        let (ended, slowest) = tokio::join!(floods, asks);

        assert!(slowest < PATIENCE / 2, "{name}: {slowest:?}");
        if let Some(ends) = ends {
            assert_eq!(ended, ends, "{name}");
        }
        let mut another = Client::connect(proxy.address()).await;
        assert_eq!(another.get("/").await.body, b"hello", "{name}");
    }
}
