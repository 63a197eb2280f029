//! Many streams on a connection, and what one may cost the others.

use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually, within};
use bytes::Bytes;
use h2::client::Builder;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};

use super::client::{Client, piece, send_all, whole};

/// An upstream that answers with as many bytes as the path says, and reads what it is sent.
async fn sized() -> TestUpstream {
    TestUpstream::raw(|stream| async {
        let mut connection = RawClient::over(stream);
        while let Some(head) = connection.whole_head().await {
            let text = String::from_utf8_lossy(&head).into_owned();
            let path = text.split(' ').nth(1).unwrap();
            let size: u64 = path[1..].parse().unwrap();
            if connection.whole_body(&head).await.is_none() {
                return;
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            if connection.try_send(answer.as_bytes()).await.is_err() {
                return;
            }
            let chunk = vec![b'x'; 64 * 1024];
            let mut left = size;
            while left > 0 {
                let piece = usize::try_from(left.min(chunk.len() as u64)).unwrap();
                if connection.try_send(&chunk[..piece]).await.is_err() {
                    return;
                }
                left -= piece as u64;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_thousand_requests_at_once_over_four_connections_are_all_answered() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut answers = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(proxy.address()).await;
        for _ in 0..250 {
            let (answer, _) = client.send(client.request("GET", "/"), true).await;
            answers.spawn(whole(answer));
        }
        clients.push(client);
    }

    while let Some(answer) = answers.join_next().await {
        assert_eq!(answer.unwrap().unwrap().body, b"hello");
    }
}

#[tokio::test]
async fn the_process_holds_ten_thousand_requests_and_lets_the_next_ones_pass() {
    const CONNECTIONS: u64 = 40;
    const STREAMS: u64 = 250;
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let holds = |path: &str| json!({ "latency": "1h", "ttl": "none", "max_active": 10_000, "match": { "path": path } });
    let (one, other) = (proxy.arm(&holds("/one")), proxy.arm(&holds("/other")));
    let active = |id: &str| proxy.fault(id).counters.active;
    let mut clients = Vec::new();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(proxy.address()).await;
        for number in 0..STREAMS {
            let path = if number % 2 == 0 { "/one" } else { "/other" };
            held.push(client.send(client.request("GET", path), true).await);
        }
        clients.push(client);
    }
    eventually("all places to be taken", || {
        active(&one) + active(&other) == CONNECTIONS * STREAMS
    })
    .await;

    let mut next = Client::connect(proxy.address()).await;

    assert_eq!(next.get("/one").await.body, b"hello");
    assert_eq!(proxy.fault(&one).counters.overflow, 1);
    // Those of a fault that is gone are free again.
    proxy.disarm(&other);
    let _waits = next.send(next.request("GET", "/one"), true).await;
    eventually("one more to be held", || {
        active(&one) == CONNECTIONS * STREAMS / 2 + 1
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_costs_the_others_nothing() {
    let upstream = sized().await;
    let proxy = TestProxy::to(&upstream).start();
    let tcp = TcpStream::connect(proxy.address()).await.unwrap();
    // The connection's credit is for many streams, that of each is not.
    let builder = Builder::new()
        .initial_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .clone();
    let mut client = Client::with(&builder, tcp, "web.test").await;
    let mut unread = Vec::new();
    for _ in 0..8 {
        let (answer, _) = client.send(client.request("GET", "/10000000"), true).await;
        unread.push(within("a head", answer).await.unwrap());
    }

    let answer = client.get("/3000000").await;

    assert_eq!(
        (answer.body.len(), answer.broke.is_none()),
        (3_000_000, true)
    );
}

#[tokio::test]
async fn uploads_that_the_upstream_does_not_read_cost_the_others_nothing() {
    let upstream = TestUpstream::raw(|stream| async {
        let mut connection = RawClient::over(stream);
        let head = connection.whole_head().await.unwrap();
        if head.starts_with(b"POST /unread") {
            connection.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            std::future::pending::<()>().await;
        }
        connection.whole_body(&head).await.unwrap();
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).with_cores(1).start();
    let mut client = Client::connect(proxy.address()).await;
    let mut unread = JoinSet::new();
    let mut answers = Vec::new();
    for _ in 0..100 {
        let (answer, stream) = client.begin(client.request("POST", "/unread")).await;
        answers.push(answer);
        unread.spawn(send_all(stream, Bytes::from(vec![b'x'; 20_000_000]), true));
    }

    let answer = client.post("/read", &vec![b'x'; 3_000_000]).await;

    assert_eq!(answer.body, b"ok");
    assert!(unread.try_join_next().is_none(), "nobody has read those");
}

#[tokio::test]
async fn further_streams_wait_for_a_place() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_fault(&serde_json::json!({ "match": { "path": "/hang" }, "blackhole": {} }))
        .start();
    let mut client = Client::connect(proxy.address()).await;
    assert_eq!(client.get("/").await.body, b"hello");
    let mut held = Vec::new();
    for _ in 0..1_000 {
        held.push(client.send(client.request("GET", "/hang"), true).await);
    }
    let (waits, _) = client.send(client.request("GET", "/"), true).await;
    let mut waits = Box::pin(whole(waits));
    assert!(futures_util::poll!(&mut waits).is_pending());

    // A client that resets many before they are served is taken for an attack.
    let open = brownout_proxy::JournalQuery {
        state: brownout_proxy::RecordState::Open,
        limit: 1_000,
        ..Default::default()
    };
    let served = || {
        let handle = proxy.handle();
        handle.journal().unwrap().attempts(&open).open.len()
    };
    eventually("all places to be taken", || served() == 1_000).await;

    held.truncate(200);

    assert_eq!(waits.await.unwrap().body, b"hello");
    let in_progress = || proxy.handle().routes()[0].connections;
    eventually("one connection", || in_progress() == 1).await;
}

#[tokio::test]
async fn a_large_answer_passes_while_it_is_read_slowly() {
    let upstream = sized().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;
    let (answer, _) = client.send(client.request("GET", "/5000000"), true).await;
    let mut content = within("a head", answer).await.unwrap().into_body();

    let mut bytes = 0;
    while let Some(piece) = piece(&mut content).await {
        bytes += piece.unwrap().len();
        tokio::task::yield_now().await;
    }

    assert_eq!(bytes, 5_000_000);
}

#[tokio::test]
async fn the_window_grows_while_a_stream_is_read_as_fast_as_it_comes() {
    use super::raw::{
        ACK, DATA, PREFACE, SETTINGS, WINDOW_UPDATE, frame, frames_to, next_frame, post,
    };
    const FIRST: u32 = 64 * 1024;
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = RawClient::connect(proxy.address()).await;
    client.send(PREFACE).await;
    client.send(frame(SETTINGS, ACK, 0, b"")).await;

    // The connection's own window is told first.
    frames_to(&mut client, WINDOW_UPDATE, 0).await;
    client.send(post(1, "/")).await;
    let mut credit = FIRST;
    let mut told = FIRST;
    while told < 4 * 1024 * 1024 {
        while credit >= 16 * 1024 {
            client.send(frame(DATA, 0, 1, &[b'x'; 16 * 1024])).await;
            credit -= 16 * 1024;
        }
        let frame_of = next_frame(&mut client).await;
        match (frame_of.kind, frame_of.stream) {
            (WINDOW_UPDATE, 1) => credit += frame_of.number(0),
            (SETTINGS, _) if frame_of.flags & ACK == 0 => {
                let window = frame_of.settings().into_iter().find(|(id, _)| *id == 4);
                let Some((_, window)) = window.filter(|(_, window)| *window != told) else {
                    continue;
                };
                assert_eq!(window, 2 * told, "it doubles");
                credit += window - told;
                told = window;
                client.send(frame(SETTINGS, ACK, 0, b"")).await;
            }
            (kind, stream) => assert!(
                ![3, 7].contains(&kind),
                "{frame_of:?} of {stream}, window {told}"
            ),
        }
    }
}
