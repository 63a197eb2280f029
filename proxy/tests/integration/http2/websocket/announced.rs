//! When clients are told that extended CONNECT passes, and what becomes of one that comes all the same.

use brownout_proxy::RouteChange;
use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually, within};
use http::StatusCode;

use super::peers::{Announces, QUIET, Upstream, ask, open, read, spoken, told};
use crate::http2::{
    client::{Client, rest},
    raw::{
        ACK, DATA, END_HEADERS, END_STREAM, Field, HEADERS, PREFACE, PROTOCOL_ERROR, RST_STREAM,
        SETTINGS, block, end_of_stream, frame, frames_to, get, next_frame,
    },
};

const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const METHOD: Field<'_> = (b":method", b"CONNECT");
const PROTOCOL: Field<'_> = (b":protocol", b"websocket");
const SCHEME: Field<'_> = (b":scheme", b"http");
const PATH: Field<'_> = (b":path", b"/chat");
const AUTHORITY: Field<'_> = (b":authority", b"web.test");
const CONNECT: [Field<'_>; 5] = [METHOD, PROTOCOL, SCHEME, PATH, AUTHORITY];

/// A client that has confirmed the first SETTINGS, and what these say of extended CONNECT.
async fn connect(proxy: &TestProxy) -> (RawClient, Option<u32>) {
    let mut client = proxy.connect().await;
    client.send(PREFACE).await;
    let settings = next_frame(&mut client).await.settings();
    client.send(frame(SETTINGS, ACK, 0, &[])).await;
    (client, said(&settings))
}

fn said(settings: &[(u16, u32)]) -> Option<u32> {
    let said = settings
        .iter()
        .find(|(id, _)| *id == ENABLE_CONNECT_PROTOCOL);
    said.map(|(_, value)| *value)
}

/// A request on stream 1 has passed, and nothing was announced behind it.
async fn nothing_is_announced(client: &mut RawClient) {
    client.send(get(1, "/")).await;
    let frames = frames_to(client, HEADERS, 1).await;
    let later = frames
        .iter()
        .filter(|it| it.kind == SETTINGS && it.flags & ACK == 0);
    let later: Vec<_> = later.map(|it| said(&it.settings())).collect();
    assert!(later.iter().all(Option::is_none), "{later:?}");
    // The next frames are the same, after the proxy had time to say more.
    tokio::time::sleep(QUIET).await;
    client
        .send(frame(HEADERS, END_HEADERS, 3, &block(&CONNECT)))
        .await;
    assert_eq!(end_of_stream(client, 3).await, (RST_STREAM, PROTOCOL_ERROR));
    client.send(get(5, "/")).await;
    frames_to(client, HEADERS, 5).await;
}

#[tokio::test]
async fn the_first_client_is_told_as_soon_as_the_upstream_has_said_so() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();

    let (mut client, at_first) = connect(&proxy).await;

    assert_eq!(at_first, None, "the upstream was not connected to before");
    let told = loop {
        let frame = next_frame(&mut client).await;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 && !frame.payload.is_empty() {
            break frame.settings();
        }
    };
    assert_eq!(told, [(ENABLE_CONNECT_PROTOCOL, 1)]);
    client.send(frame(SETTINGS, ACK, 0, &[])).await;
    client
        .send(frame(HEADERS, END_HEADERS, 1, &block(&CONNECT)))
        .await;
    assert_eq!(end_of_stream(&mut client, 1).await.0, HEADERS);

    let (_, at_first) = connect(&proxy).await;
    assert_eq!(at_first, Some(1), "now it is known");
}

/// An upstream may have closed what an empty frame behind the last one would come to.
#[tokio::test]
async fn the_end_of_a_direction_stays_on_its_last_frame() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    told(&proxy).await;
    let (mut client, _) = connect(&proxy).await;
    let mut fields = CONNECT;
    fields[3] = (b":path", b"/ends");

    client
        .send(frame(HEADERS, END_HEADERS, 1, &block(&fields)))
        .await;

    let frames = frames_to(&mut client, DATA, 1).await;
    let last = frames.last().unwrap();
    assert_eq!((last.flags, &last.payload[..]), (END_STREAM, &b"bye"[..]));
}

#[tokio::test]
async fn it_is_not_announced_for_an_upstream_that_does_not() {
    let upstream = Upstream::start(Announces::Never).await;
    let proxy = upstream.proxy().start();
    for _ in 0..2 {
        let (mut client, at_first) = connect(&proxy).await;
        assert_eq!(at_first, None);
        nothing_is_announced(&mut client).await;
    }
    assert!(upstream.requests().iter().all(|it| it.method() == "GET"));
}

#[tokio::test]
async fn it_is_not_announced_for_an_upstream_with_http1() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();

    let (mut client, at_first) = connect(&proxy).await;

    assert_eq!(at_first, None);
    nothing_is_announced(&mut client).await;
    assert!(upstream.received().iter().all(|it| it.method == "GET"));
}

#[tokio::test]
async fn an_upstream_that_announces_it_late_is_enough() {
    let upstream = Upstream::start(Announces::Late).await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;
    for _ in 0..2 {
        client.get("/").await;
    }

    eventually("it to be announced with what comes next", || {
        client.requests.is_extended_connect_protocol_enabled()
    })
    .await;

    let (mut content, mut stream) = open(&mut client, "/chat").await;
    stream.send_data("ping".into(), true).unwrap();
    assert_eq!(read(&mut content, 4).await, b"ping");
}

/// What was announced cannot be taken back (RFC 8441 §3).
#[tokio::test]
async fn a_client_that_was_told_gets_a_502_once_the_upstream_takes_none() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let without = Upstream::start(Announces::Never).await;
    let proxy = upstream.proxy().start();
    let mut client = told(&proxy).await;
    let options = brownout_proxy::UpstreamOptions {
        http: brownout_proxy::HttpVersion::Http2,
        ..brownout_proxy::UpstreamOptions::default()
    };
    let changed = brownout_proxy::Upstream::parse(&format!("http://{}", without.address)).unwrap();
    let change = RouteChange {
        upstream: Some(changed.with_options(options).unwrap()),
        ..RouteChange::default()
    };
    proxy
        .handle()
        .change_route(TestProxy::ROUTE, change)
        .unwrap();

    let (answer, _stream) = ask(&mut client, "/chat").await;
    let answer = rest(within("an answer", answer).await.unwrap()).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("RFC 8441"), "{text}");
    assert!(without.requests().is_empty());
    assert_eq!(client.get("/").await.status, StatusCode::OK);
    let (_, at_first) = connect(&proxy).await;
    assert_eq!(at_first, None, "further clients are not told");
}

#[tokio::test]
async fn of_several_servers_all_have_to_take_it_that_are_known() {
    let with = Upstream::start(Announces::AtOnce).await;
    let without = Upstream::start(Announces::Never).await;
    let url = format!("http://{},http://{}", with.address, without.address);
    let proxy = spoken(&url).start();
    let mut client = told(&proxy).await;

    let mut statuses = Vec::new();
    for _ in 0..2 {
        let (answer, _stream) = ask(&mut client, "/chat").await;
        statuses.push(within("an answer", answer).await.unwrap().status());
    }

    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::BAD_GATEWAY]);
    assert!(without.requests().is_empty(), "it was not asked");
    assert_eq!(with.requests().len(), 1, "nor another in its stead");
    let (_, at_first) = connect(&proxy).await;
    assert_eq!(at_first, None);
}

#[tokio::test]
async fn an_upstream_that_is_down_when_the_first_client_comes_is_asked_again() {
    let mut upstream = Upstream::start(Announces::AtOnce).await;
    let address = upstream.address;
    upstream.die();
    drop(upstream);
    let proxy = spoken(&format!("http://{address}")).start();
    let mut client = Client::connect(proxy.address()).await;
    assert_eq!(client.get("/").await.status, StatusCode::BAD_GATEWAY);
    assert!(!client.requests.is_extended_connect_protocol_enabled());

    let _upstream = Upstream::at(address, Announces::AtOnce).await;

    told(&proxy).await;
}

#[tokio::test]
async fn a_malformed_connect_is_reset_and_reaches_nobody() {
    let upstream = Upstream::start(Announces::AtOnce).await;
    let proxy = upstream.proxy().start();
    told(&proxy).await;
    let (mut client, at_first) = connect(&proxy).await;
    assert_eq!(at_first, Some(1));
    let with = |field: Field<'static>| {
        let mut fields = CONNECT.to_vec();
        fields.push(field);
        fields
    };
    let protocol = |name: &'static [u8]| -> Vec<Field<'static>> {
        vec![METHOD, (b":protocol", name), SCHEME, PATH, AUTHORITY]
    };
    let rows: Vec<(&str, Vec<Field<'_>>)> = vec![
        (
            "of a GET",
            vec![(b":method", b"GET"), PROTOCOL, SCHEME, PATH, AUTHORITY],
        ),
        ("no path", vec![METHOD, PROTOCOL, SCHEME, AUTHORITY]),
        ("no scheme", vec![METHOD, PROTOCOL, PATH, AUTHORITY]),
        (
            "empty path",
            vec![METHOD, PROTOCOL, SCHEME, (b":path", b""), AUTHORITY],
        ),
        (
            "star",
            vec![METHOD, PROTOCOL, SCHEME, (b":path", b"*"), AUTHORITY],
        ),
        (
            "a path without protocol",
            vec![METHOD, SCHEME, PATH, AUTHORITY],
        ),
        ("protocol twice", with(PROTOCOL)),
        (
            "late protocol",
            vec![METHOD, SCHEME, PATH, AUTHORITY, (b"x", b"1"), PROTOCOL],
        ),
        ("empty protocol", protocol(b"")),
        ("two protocols", protocol(b"websocket, chat")),
        ("a protocol with a line", protocol(b"websocket\r\nx: y")),
        ("HTTP/2 anew", protocol(b"h2c")),
        ("a length", with((b"content-length", b"5"))),
        ("no length", with((b"content-length", b"0"))),
        ("upgrade", with((b"upgrade", b"websocket"))),
        ("connection", with((b"connection", b"upgrade"))),
        (
            "a user",
            vec![
                METHOD,
                PROTOCOL,
                SCHEME,
                PATH,
                (b":authority", b"me@web.test"),
            ],
        ),
    ];
    let mut stream = 1;
    let mut wrong = Vec::new();
    for (name, fields) in rows {
        client
            .send(frame(HEADERS, END_HEADERS, stream, &block(&fields)))
            .await;
        let end = end_of_stream(&mut client, stream).await;
        if end != (RST_STREAM, PROTOCOL_ERROR) {
            wrong.push((name, end));
        }
        stream += 2;
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(upstream.requests().is_empty());
    // A CONNECT without a protocol is one to a forward proxy.
    let plain = block(&[METHOD, (b":authority", b"web.test:443")]);
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &plain))
        .await;
    assert_eq!(end_of_stream(&mut client, stream).await.0, HEADERS);
    assert!(upstream.requests().is_empty());
}
