//! Frames that no client would send: a malformed request ends its stream and never reaches the upstream.

use brownout_testkit::{TestProxy, TestUpstream};

use super::raw::{
    DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, PREFACE, PROTOCOL_ERROR, RST_STREAM,
    block, end_of_stream, frame, get, next_frame,
};

const METHOD: Field<'_> = (b":method", b"GET");
const SCHEME: Field<'_> = (b":scheme", b"http");
const PATH: Field<'_> = (b":path", b"/");
const AUTHORITY: Field<'_> = (b":authority", b"web.test");

fn with<'a>(further: &[Field<'a>]) -> Vec<Field<'a>> {
    let mut fields = vec![METHOD, SCHEME, PATH, AUTHORITY];
    fields.extend_from_slice(further);
    fields
}

#[tokio::test]
async fn a_malformed_head_ends_its_stream_and_reaches_nobody() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let rows: Vec<(&str, Vec<Field<'_>>)> = vec![
        ("connection", with(&[(b"connection", b"close")])),
        ("keep-alive", with(&[(b"keep-alive", b"1")])),
        ("proxy-connection", with(&[(b"proxy-connection", b"x")])),
        (
            "transfer-encoding",
            with(&[(b"transfer-encoding", b"chunked")]),
        ),
        ("upgrade", with(&[(b"upgrade", b"websocket")])),
        ("te", with(&[(b"te", b"gzip")])),
        ("upper case", with(&[(b"X-Upper", b"1")])),
        ("empty name", with(&[(b"", b"1")])),
        ("space in a name", with(&[(b"x y", b"1")])),
        ("colon in a name", with(&[(b"x:y", b"1")])),
        ("CR in a value", with(&[(b"x", b"a\rb")])),
        ("LF in a value", with(&[(b"x", b"a\nb")])),
        ("CR LF in a value", with(&[(b"x", b"a\r\nx: y")])),
        ("NUL in a value", with(&[(b"x", b"a\0b")])),
        ("unknown pseudo-header", with(&[(b":unknown", b"1")])),
        (
            "late pseudo-header",
            vec![METHOD, SCHEME, (b"x", b"1"), PATH, AUTHORITY],
        ),
        ("method twice", with(&[METHOD])),
        ("path twice", with(&[PATH])),
        ("authority twice", with(&[AUTHORITY])),
        ("status", with(&[(b":status", b"200")])),
        ("no method", vec![SCHEME, PATH, AUTHORITY]),
        ("no scheme", vec![METHOD, PATH, AUTHORITY]),
        ("no path", vec![METHOD, SCHEME, AUTHORITY]),
        ("no path and no authority", vec![METHOD, SCHEME]),
        (
            "empty path",
            vec![METHOD, SCHEME, (b":path", b""), AUTHORITY],
        ),
        (
            "path without a slash",
            vec![METHOD, SCHEME, (b":path", b"a"), AUTHORITY],
        ),
        (
            "path with a space",
            vec![METHOD, SCHEME, (b":path", b"/a b"), AUTHORITY],
        ),
        (
            "path with a line",
            vec![METHOD, SCHEME, (b":path", b"/ HTTP/1.1\r\nx: y"), AUTHORITY],
        ),
        (
            "a whole URI as path",
            vec![METHOD, SCHEME, (b":path", b"http://a/"), AUTHORITY],
        ),
        (
            "star of a GET",
            vec![METHOD, SCHEME, (b":path", b"*"), AUTHORITY],
        ),
        (
            "method with a space",
            vec![(b":method", b"GET /x"), SCHEME, PATH, AUTHORITY],
        ),
        (
            "empty method",
            vec![(b":method", b""), SCHEME, PATH, AUTHORITY],
        ),
        (
            "method with a line",
            vec![(b":method", b"GET\r\n"), SCHEME, PATH, AUTHORITY],
        ),
        (
            "authority with a space",
            vec![METHOD, SCHEME, PATH, (b":authority", b"a b")],
        ),
        (
            "authority with a user",
            vec![METHOD, SCHEME, PATH, (b":authority", b"me@web.test")],
        ),
        (
            "authority with a path",
            vec![METHOD, SCHEME, PATH, (b":authority", b"a/b")],
        ),
        (
            "two hosts",
            vec![METHOD, SCHEME, PATH, (b"host", b"a"), (b"host", b"b")],
        ),
        (
            "a host that is none",
            vec![METHOD, SCHEME, PATH, (b"host", b"a b")],
        ),
        (
            "content-length without content",
            with(&[(b"content-length", b"5")]),
        ),
        (
            "content-length that is no number",
            with(&[(b"content-length", b"x")]),
        ),
        (
            "content-length twice",
            with(&[(b"content-length", b"0"), (b"content-length", b"1")]),
        ),
        (
            "content-length with a sign",
            with(&[(b"content-length", b"+0")]),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, fields) in rows {
        let mut client = proxy.connect().await;
        client.send(PREFACE).await;
        let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
        client.send(head).await;
        let end = end_of_stream(&mut client, 1).await;
        if !matches!(end, (RST_STREAM | GOAWAY, PROTOCOL_ERROR)) {
            wrong.push((name, end));
        }
    }

    assert_eq!(wrong, []);
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[tokio::test]
async fn a_well_formed_head_of_the_same_making_passes() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.send(PREFACE).await;
    let fields = [METHOD, SCHEME, PATH];
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)))
        .await;

    assert_eq!(end_of_stream(&mut client, 1).await.0, HEADERS);
    let received = upstream.received();
    assert_eq!(received[0].headers["host"], "", "there was no authority");
}

#[tokio::test]
async fn content_that_does_not_fit_its_length_never_ends_well_at_the_upstream() {
    // Where trailers are announced, the upstream gets chunks in place of the length.
    let further: [Field<'_>; 2] = [(b"x", b"1"), (b"trailer", b"x-sum")];
    let contents = [&b"abc"[..], b"abcdefg"];
    for (further, content) in further
        .into_iter()
        .flat_map(|it| contents.map(|content| (it, content)))
    {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;
        client.send(PREFACE).await;
        let fields = [
            (&b":method"[..], &b"POST"[..]),
            SCHEME,
            PATH,
            AUTHORITY,
            (b"content-length", b"5"),
            further,
        ];
        client
            .send(frame(HEADERS, END_HEADERS, 1, &block(&fields)))
            .await;
        client.send(frame(DATA, END_STREAM, 1, content)).await;

        assert_eq!(
            end_of_stream(&mut client, 1).await,
            (RST_STREAM, PROTOCOL_ERROR)
        );
        assert!(upstream.received().is_empty());
    }
}

#[tokio::test]
async fn a_websocket_over_http2_is_reset_and_its_connection_goes_on() {
    const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.send(PREFACE).await;
    let settings = next_frame(&mut client).await.settings();
    // RFC 8441 §4: an extended CONNECT, that the settings do not allow.
    let fields = [
        (&b":method"[..], &b"CONNECT"[..]),
        SCHEME,
        PATH,
        AUTHORITY,
        (b":protocol", b"websocket"),
        (b"sec-websocket-version", b"13"),
    ];

    client
        .send(frame(HEADERS, END_HEADERS, 1, &block(&fields)))
        .await;

    assert!(
        settings
            .iter()
            .all(|(id, _)| *id != ENABLE_CONNECT_PROTOCOL)
    );
    let end = end_of_stream(&mut client, 1).await;
    assert_eq!(end, (RST_STREAM, PROTOCOL_ERROR));
    client.send(get(3, "/")).await;
    assert_eq!(end_of_stream(&mut client, 3).await.0, HEADERS);
    assert_eq!(upstream.received().len(), 1, "the second alone");
}

#[tokio::test]
async fn a_method_that_the_proxy_does_not_serve_is_answered() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = super::client::Client::connect(proxy.address()).await;
    let request = http::Request::builder()
        .method("CONNECT")
        .uri("web.test:80");

    let (answer, _) = client.send(request, true).await;

    let answer = super::client::whole(answer).await.unwrap();
    assert_eq!(answer.status, 405);
}
