//! `WebSocket`s over HTTP/2: extended CONNECT (RFC 8441).

mod announced;
mod endings;
mod peers;

use std::time::Duration;

use brownout_proxy::{HostField, JournalQuery};
use brownout_testkit::{eventually, within};
use bytes::Bytes;
use h2::ext::Protocol;
use http::StatusCode;
use serde_json::json;

use self::peers::{Announces, QUIET, Upstream, ask, open, read, read_to_end, spoken, told};
use super::client::{rest, send_all};

#[tokio::test]
async fn what_both_sides_send_behind_a_connect_passes_as_it_comes() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;

    let (answer, mut stream) = ask(&mut client, "/chat?room=1").await;
    let answer = within("an answer", answer).await.unwrap();

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    assert!(!answer.headers().contains_key("upgrade"));
    let mut content = answer.into_body();
    for text in ["one", "two"] {
        stream.send_data(text.into(), false).unwrap();
        assert_eq!(read(&mut content, 3).await, text.as_bytes());
    }
    stream.send_data(Bytes::new(), true).unwrap();
    let (left, broke) = read_to_end(&mut content).await;
    assert!(left.is_empty() && broke.is_none(), "{broke:?}");

    let requests = upstream.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(request.method(), "CONNECT");
    let protocol = request.extensions().get::<Protocol>().unwrap();
    assert_eq!(protocol.as_str(), "websocket");
    assert_eq!(
        request.uri().to_string(),
        format!("http://{}/chat?room=1", proxy.address())
    );
    assert_eq!(request.headers()["sec-websocket-version"], "13");
    assert_eq!(request.headers()["origin"], "http://web.test");
    for of_http1 in [
        "connection",
        "upgrade",
        "content-length",
        "transfer-encoding",
    ] {
        assert!(!request.headers().contains_key(of_http1), "{of_http1}");
    }
}

#[tokio::test]
async fn any_other_protocol_passes_alike() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;

    let request = client
        .request("CONNECT", "/.well-known/masque/udp/192.0.2.6/443/")
        .extension(Protocol::from_static("connect-udp"));
    let (answer, mut stream) = client.begin(request).await;

    let mut content = within("an answer", answer).await.unwrap().into_body();
    stream.send_data("datagram".into(), true).unwrap();
    assert_eq!(read(&mut content, 8).await, b"datagram");
    let protocol = upstream.requests()[0]
        .extensions()
        .get::<Protocol>()
        .cloned();
    assert_eq!(protocol.unwrap().as_str(), "connect-udp");
}

#[tokio::test]
async fn path_and_host_are_those_of_the_upstream() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = spoken(&format!("http://{}/base", upstream.address))
        .with_host(HostField::Text("inner.test".into()))
        .start();
    let mut client = told(&proxy).await;

    let _tunnel = open(&mut client, "/chat").await;

    let uri = upstream.requests()[0].uri().to_string();
    assert_eq!(uri, "http://inner.test/base/chat");
}

/// RFC 9110 §15.3: any 2xx opens it, though a 204 has no content otherwise.
#[tokio::test]
async fn any_2xx_opens_the_tunnel() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;

    let (answer, mut stream) = ask(&mut client, "/no-content").await;
    let answer = within("an answer", answer).await.unwrap();

    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    stream.send_data("ping".into(), true).unwrap();
    assert_eq!(read_to_end(&mut answer.into_body()).await.0, b"ping");
}

#[tokio::test]
async fn an_answer_that_is_no_2xx_is_one_like_any_other() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;

    let (answer, _stream) = ask(&mut client, "/refuses").await;
    let answer = rest(within("an answer", answer).await.unwrap()).await;

    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::FORBIDDEN, &b"no"[..])
    );
    assert!(answer.broke.is_none(), "{:?}", answer.broke);
    assert_eq!(client.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn much_passes_both_ways_at_once() {
    const BYTES: usize = 24 << 20;
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;
    let (mut content, stream) = open(&mut client, "/chat").await;
    let sent: Bytes = (0..=250_u8).cycle().take(BYTES).collect();

    let sending = send_all(stream, sent.clone(), true);
    let reading = async { read_to_end(&mut content).await };
    let both = async { tokio::join!(sending, reading) };
    let (_stream, (came, broke)) = tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .unwrap();

    assert!(broke.is_none(), "{broke:?}");
    assert!(came == sent, "{} of {BYTES} bytes", came.len());
}

/// Flow control goes from end to end: nothing is kept for a side that does not read.
#[tokio::test]
async fn a_side_that_does_not_read_stops_the_other() {
    /// What both connections' windows and buffers may hold of one stream.
    const HELD_MAX: usize = 1 << 20;
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;

    let (_content, stream) = open(&mut client, "/stands").await;
    let sending = send_all(stream, vec![b'x'; HELD_MAX].into(), true);
    let sent = tokio::time::timeout(QUIET, sending).await;
    assert!(sent.is_err(), "all was taken from the client");

    let (_unread, _stream) = open(&mut client, "/floods").await;
    let counted = || proxy.handle().route("web").unwrap();
    eventually("what the client has credit for to come", || {
        counted().bytes_out >= 32 * 1024
    })
    .await;
    tokio::time::sleep(QUIET).await;
    assert!(counted().bytes_out < HELD_MAX as u64, "{:?}", counted());
    // Others are not held up.
    let (mut content, mut stream) = open(&mut client, "/chat").await;
    stream.send_data("ping".into(), true).unwrap();
    assert_eq!(read(&mut content, 4).await, b"ping");
}

#[tokio::test]
async fn the_handshake_is_a_request_for_the_journal_and_the_access_log() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().with_access_log().start();
    let mut client = told(&proxy).await;
    let (mut content, mut stream) = open(&mut client, "/chat?token=secret").await;

    let journal = || {
        let handle = proxy.handle();
        handle.journal().unwrap().attempts(&JournalQuery {
            limit: 10,
            ..JournalQuery::default()
        })
    };
    eventually("the record", || journal().ended.len() == 1).await;
    let record = journal().ended.remove(0);
    assert_eq!(
        (record.method.as_str(), record.path.as_str()),
        ("CONNECT", "/chat")
    );
    assert_eq!(record.status, Some(200));
    assert!(proxy.access_lines().is_empty(), "the tunnel goes on");

    stream.send_data("12345".into(), true).unwrap();
    assert_eq!(read_to_end(&mut content).await.0, b"12345");

    eventually("its line", || !proxy.access_lines().is_empty()).await;
    let line = proxy.access_lines().remove(0);
    for (name, value) in [
        ("method", json!("CONNECT")),
        ("path", json!("/chat")),
        ("http_version", json!("2")),
        ("status", json!(200)),
        ("bytes_in", json!(5)),
        ("bytes_out", json!(5)),
    ] {
        assert_eq!(line.get(name), Some(&value), "{name} of {line:?}");
    }
    assert!(!line.contains_key("ending"), "{line:?}");
}

#[tokio::test]
async fn faults_act_on_the_handshake_as_on_any_request() {
    /// Long beside what a busy machine takes for an echo.
    const LATENCY: Duration = Duration::from_secs(2);
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;
    let of_websockets = json!({"method": "CONNECT", "header": {"upgrade": "websocket"}});

    let fault = proxy.arm(&json!({"latency": "2s", "match": of_websockets}));
    let began = std::time::Instant::now();
    let (mut content, mut stream) = open(&mut client, "/chat").await;
    assert!(began.elapsed() >= LATENCY);
    let began = std::time::Instant::now();
    stream.send_data("ping".into(), true).unwrap();
    assert_eq!(read(&mut content, 4).await, b"ping");
    assert!(began.elapsed() < LATENCY, "only the handshake waits");
    assert_eq!(proxy.fault(&fault).counters.injected, 1);
    proxy.disarm(&fault);

    let fault = proxy.arm(&json!({"abort": 503, "match": of_websockets}));
    let (answer, _stream) = ask(&mut client, "/chat").await;
    assert_eq!(within("an answer", answer).await.unwrap().status(), 503);
    assert_eq!(client.get("/").await.status, 200, "it is no CONNECT");
    proxy.disarm(&fault);

    let fault = proxy.arm(&json!({"reset": {"code": "CANCEL"}, "match": of_websockets}));
    let (answer, _stream) = ask(&mut client, "/chat").await;
    let broke = within("an answer", answer).await.unwrap_err();
    assert_eq!(broke.reason(), Some(h2::Reason::CANCEL));
    proxy.disarm(&fault);

    let fault = proxy.arm(&json!({"latency": {"value": "10s", "side": "response"}}));
    let (mut answer, mut stream) = ask(&mut client, "/waits").await;
    let waits = tokio::time::timeout(QUIET, &mut answer).await;
    assert!(waits.is_err(), "the answer waits");
    stream.send_reset(h2::Reason::CANCEL);
    proxy.disarm(&fault);

    let tunnels = upstream.requests().into_iter();
    let tunnels = tunnels.filter(|it| it.method() == "CONNECT").count();
    assert_eq!(tunnels, 2, "those that passed");
}

#[tokio::test]
async fn credit_for_what_a_tunnel_carries_can_be_withheld() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;
    let fault = proxy.arm(&json!({"flow_control_stall": {"for": "until_removed"}}));
    let (mut content, stream) = open(&mut client, "/chat").await;
    let mut sending = tokio::task::JoinSet::new();
    sending.spawn(send_all(stream, vec![b'x'; 256 * 1024].into(), true));

    assert_eq!(read(&mut content, 64 * 1024).await.len(), 64 * 1024);
    let more = tokio::time::timeout(QUIET, content.data()).await;
    assert!(more.is_err(), "the client got credit");
    assert_eq!(proxy.fault(&fault).counters.injected, 1);
    proxy.disarm(&fault);

    assert_eq!(read_to_end(&mut content).await.0.len(), 192 * 1024);
    sending.join_next().await.unwrap().unwrap();
}
