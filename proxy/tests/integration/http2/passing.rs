//! What passes between a client with HTTP/2 and an upstream.

use std::{future::poll_fn, time::Duration};

use brownout_proxy::{JournalQuery, RecordState};
use brownout_testkit::{RawClient, TestAuthority, TestProxy, TestUpstream, eventually, within};
use bytes::Bytes;
use http::HeaderMap;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_rustls::TlsConnector;

use super::client::{Client, rest, send_all, whole};

/// An upstream that answers each request with these bytes, and tells of each the head as it came.
pub(super) async fn telling(
    answer: impl Into<Vec<u8>>,
) -> (TestUpstream, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let answer: Vec<u8> = answer.into();
    let upstream = TestUpstream::raw(move |stream| {
        let (tell, answer) = (tell.clone(), answer.clone());
        async move {
            let mut connection = RawClient::over(stream);
            while let Some(request) = connection.whole_request().await {
                drop(tell.send(String::from_utf8_lossy(&request).into_owned()));
                connection.send(&answer).await;
            }
        }
    })
    .await;
    (upstream, told)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_becomes_one_of_http1_field_by_field() {
    let (upstream, mut told) = telling(OK).await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;
    let request = client
        .request("GET", "/a%20b?q=1&r")
        .header("x-first", "1")
        .header("cookie", "a=1")
        .header("accept", "*/*")
        .header("cookie", "b=2")
        .header("host", "other.example")
        .header("te", "trailers");

    let (answer, _) = client.send(request, true).await;
    let answer = whole(answer).await.unwrap();

    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"ok"[..])
    );
    assert_eq!(answer.headers["content-length"], "2");
    let authority = proxy.address();
    assert_eq!(
        told.recv().await.unwrap(),
        format!(
            "GET /a%20b?q=1&r HTTP/1.1\r\nhost: {authority}\r\nx-first: 1\r\ncookie: a=1; b=2\r\n\
             accept: */*\r\nte: trailers\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn content_and_trailers_pass_both_ways_with_interim_answers_before() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
                  HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nX-A: 2\r\n\r\n\
                  3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nGrpc-Status: 0\r\n\r\n";
    let (upstream, mut told) = telling(answer).await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;

    let (mut answer, stream) = client.begin(client.request("POST", "/")).await;
    let mut stream = send_all(stream, Bytes::from_static(b"content"), false).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
    let hints = poll_fn(|cx| answer.poll_informational(cx));
    let hints = within("hints", hints).await.unwrap().unwrap();
    let answer = rest(within("the answer", answer).await.unwrap()).await;

    assert_eq!(hints.status().as_u16(), 103);
    assert_eq!(hints.headers()["link"], "</a.css>");
    assert_eq!(answer.body, b"abcde");
    let all: Vec<_> = answer.headers.get_all("x-a").iter().collect();
    assert_eq!(all, ["1", "2"]);
    assert!(!answer.headers.contains_key("transfer-encoding"));
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    let request = told.recv().await.unwrap();
    assert!(
        request.contains("transfer-encoding: chunked\r\n"),
        "{request}"
    );
    assert!(
        request.ends_with("\r\n\r\n7\r\ncontent\r\n0\r\nx-sum: 7\r\n\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn an_abort_of_a_call_of_grpc_says_the_status_that_is_asked_for() {
    let upstream = TestUpstream::replying("hello").await;
    let exhausted =
        json!({ "abort": { "grpc_status": "RESOURCE_EXHAUSTED" }, "match": { "path": "/armed" } });
    let proxy = TestProxy::to(&upstream)
        .with_caller_faults()
        .with_fault(&exhausted)
        .start();
    let mut client = Client::connect(proxy.address()).await;
    let by_caller = "x-envoy-fault-abort-grpc-request";

    for (path, asked, code) in [
        ("/armed", None, "8"),
        ("/", Some("5"), "5"),
        ("/", Some("14"), "14"),
    ] {
        let mut request = client
            .request("POST", path)
            .header("content-type", "application/grpc");
        if let Some(asked) = asked {
            request = request.header(by_caller, asked);
        }
        let answer = whole(client.send(request, true).await.0).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["grpc-status"], code);
        assert!(answer.body.is_empty() && answer.trailers.is_none());
    }
    assert_eq!(upstream.received().len(), 0);
    // Who does not speak gRPC gets the status of HTTP that is armed, and nothing of what he asks for in words of gRPC.
    assert_eq!(client.get("/armed").await.status, 503);
    let request = client.request("GET", "/").header(by_caller, "5");
    let passed = whole(client.send(request, true).await.0).await.unwrap();
    assert_eq!(passed.status, 200);
    assert!(!passed.headers.contains_key("grpc-status"));
    let received = &upstream.received()[0].headers;
    assert!(!received.contains_key(by_caller), "{received:?}");
}

#[tokio::test]
async fn trailers_that_a_request_announces_pass_beside_its_content_length() {
    for (announced, framing, end) in [
        (
            true,
            "transfer-encoding: chunked\r\n",
            "7\r\ncontent\r\n0\r\nx-sum: 7\r\n\r\n",
        ),
        // HTTP/1.1 has no place for these, and who sends them has not said that they come.
        (false, "content-length: 7\r\n", "\r\n\r\ncontent"),
    ] {
        let (upstream, mut told) = telling("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = Client::connect(proxy.address()).await;

        let mut request = client.request("POST", "/").header("content-length", "7");
        if announced {
            request = request.header("trailer", "x-sum");
        }
        let (answer, stream) = client.begin(request).await;
        let mut stream = send_all(stream, Bytes::from_static(b"content"), false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let answer = within("the answer", answer).await.unwrap();

        assert_eq!(answer.status().as_u16(), 200);
        let request = told.recv().await.unwrap();
        let framings = ["content-length", "transfer-encoding"];
        let lines = request
            .lines()
            .filter(|line| framings.iter().any(|it| line.starts_with(it)));
        assert_eq!(lines.count(), 1, "{request}");
        assert!(request.contains(framing), "{request}");
        assert!(request.ends_with(end), "{request}");
    }
}

#[tokio::test]
async fn heads_and_empty_answers_end_with_their_head() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let (upstream, _told) = telling(answer).await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = Client::connect(proxy.address()).await;

        let (answered, _) = client.send(client.request(method, "/"), true).await;
        let answered = within("an answer", answered).await.unwrap();

        assert!(answered.body().is_end_stream(), "{answer}");
    }
}

#[tokio::test]
async fn content_that_ends_with_its_connection_ends_the_stream() {
    let upstream = TestUpstream::raw(|stream| async {
        let mut connection = RawClient::over(stream);
        connection.whole_request().await;
        connection.send("HTTP/1.1 200 OK\r\n\r\nall of it").await;
        connection.finish().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;

    let answer = client.get("/").await;

    assert_eq!(
        (&answer.body[..], answer.broke.is_none()),
        (&b"all of it"[..], true)
    );
}

#[tokio::test]
async fn tls_agrees_on_http2_with_those_who_offer_it() {
    let upstream = TestUpstream::replying("hello").await;
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["web.test"]);
    let proxy = TestProxy::to(&upstream)
        .with_tls(certificate.for_listener())
        .start();
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let mut config = authority.client_config();
        config.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        let tcp = TcpStream::connect(proxy.address()).await.unwrap();
        let name = ServerName::try_from("web.test").unwrap();
        let tls = TlsConnector::from(std::sync::Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();

        let spoken = tls.get_ref().1.alpn_protocol();
        assert_eq!(spoken, agreed.map(str::as_bytes), "{offered:?}");
        if agreed == Some("h2") {
            let mut client = Client::over(tls, "web.test").await;
            assert_eq!(client.get("/").await.body, b"hello");
        }
    }
}

#[tokio::test]
async fn the_journal_has_each_stream_as_a_request_of_its_connection() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_cores(1).start();
    let mut client = Client::connect(proxy.address()).await;
    for _ in 0..3 {
        client.get("/").await;
    }
    drop(client);

    let all = || JournalQuery {
        limit: 100,
        ..JournalQuery::default()
    };
    let handle = proxy.handle();
    let journal = handle.journal().unwrap();
    eventually("the connection to end", || {
        journal.connections(&all()).ended.len() == 1
    })
    .await;

    let connection = journal.connections(&all()).ended.remove(0);
    assert_eq!((connection.requests, connection.is_busy), (3, false));
    eventually("its requests to end", || {
        journal.attempts(&all()).ended.len() == 3
    })
    .await;
    let attempts = journal.attempts(&all()).ended;
    let places: Vec<_> = attempts
        .iter()
        .rev()
        .map(|it| (it.connection, it.connection_seq, it.status))
        .collect();
    let number = connection.number;
    assert_eq!(places, [0, 1, 2].map(|seq| (number, seq, Some(200))));
    assert!(
        journal
            .connections(&JournalQuery {
                state: RecordState::Open,
                ..all()
            })
            .open
            .is_empty()
    );
}

#[tokio::test]
async fn records_and_the_access_log_tell_the_version_of_http() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    Client::connect(proxy.address()).await.get("/").await;
    proxy.get("/").await;
    let mut old = proxy.connect().await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    old.response().await;

    let all = JournalQuery {
        limit: 100,
        ..JournalQuery::default()
    };
    let handle = proxy.handle();
    let journal = handle.journal().unwrap();
    let ended = || journal.attempts(&all).ended;
    eventually("the requests to end", || ended().len() == 3).await;
    eventually("their lines", || proxy.access_lines().len() == 3).await;

    let mut versions: Vec<_> = ended().iter().map(|it| it.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["1.0", "1.1", "2"]);
    let lines = proxy.access_lines();
    let version = |line: &serde_json::Map<String, serde_json::Value>| line["http_version"].clone();
    // Lines are written after the answer, by several cores: in no order.
    for wanted in ["1.0", "1.1", "2"] {
        assert!(lines.iter().any(|it| version(it) == wanted), "{wanted}");
    }
}

#[tokio::test]
async fn draining_lets_streams_end_and_says_goaway() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let upstream = TestUpstream::serving(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(http_body_util::Full::new("late".into()))
        }
    })
    .await;
    let mut proxy = TestProxy::to(&upstream).start();
    let mut client = Client::connect(proxy.address()).await;
    let mut idle = Client::connect(proxy.address()).await;
    let (answer, _) = client.send(client.request("GET", "/"), true).await;
    eventually("the upstream to be asked", || {
        upstream.received().len() == 1
    })
    .await;

    let draining = tokio::task::spawn_blocking(move || proxy.drain(Duration::from_secs(60)));
    idle.closed().await;
    go.send_replace(true);

    assert_eq!(whole(answer).await.unwrap().body, b"late");
    client.closed().await;
    draining.await.unwrap();
}
