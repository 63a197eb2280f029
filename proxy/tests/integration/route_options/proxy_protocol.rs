//! The PROXY protocol on both sides of a route.

use std::time::Duration;

use brownout_proxy::{ClientTimeouts, JournalQuery, ProxyVersion, UpstreamTlsOptions};
use brownout_telemetry::names;
use brownout_testkit::{
    How, RawClient, TestAuthority, TestProxy, TestUpstream, TlsFront, TlsTunnel, eventually,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::options;

/// A header of version 2 for 192.0.2.7:1000 to 198.51.100.1:443.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x03\xe8\x01\xbb";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn refused(proxy: &TestProxy, why: &str) -> u64 {
    let counter = (proxy.metrics()).counter(names::PROXY_REFUSED, &[proxy.route(), why]);
    counter.total()
}

/// The clients of the requests so far, once there are so many.
async fn peers(proxy: &TestProxy, count: usize) -> Vec<String> {
    let query = JournalQuery {
        limit: 100,
        ..JournalQuery::default()
    };
    let read = || proxy.handle().journal().unwrap().attempts(&query).ended;
    eventually("the requests to end", || read().len() >= count).await;
    let peers = read().into_iter().map(|it| it.peer.unwrap().to_string());
    peers.collect()
}

/// An upstream that tells the test what each connection begins with, to the byte that `until` ends with, and answers.
async fn telling(until: &'static [u8]) -> (TestUpstream, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let begun = begun.clone();
        async move {
            let mut upstream = RawClient::over(stream);
            begun.send(upstream.read_until(until).await).unwrap();
            upstream
                .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                .await;
            upstream.ended().await;
        }
    })
    .await;
    (upstream, begins)
}

#[tokio::test]
async fn a_client_is_who_its_header_says() {
    for header in [LINE, BINARY] {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream)
            .with_accept_proxy()
            .with_access_log()
            .with_fault(&json!({ "abort": 418, "match": { "client": "192.0.2.7" } }))
            .start();
        let mut client = proxy.connect().await;

        client.send([header, GET].concat()).await;

        assert_eq!(client.response().await.status(), 418);
        assert_eq!(peers(&proxy, 1).await, ["192.0.2.7:1000"]);
        client.send(GET).await;
        assert_eq!(client.response().await.status(), 418, "kept alive");
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    for header in [LINE, BINARY] {
        let upstream = TestUpstream::replying("hello").await;
        let proxy = TestProxy::to(&upstream).with_accept_proxy().start();
        let mut client = proxy.connect().await;

        for byte in [header, GET].concat() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }

        assert_eq!(client.response().await.text(), "hello");
    }
}

#[tokio::test]
async fn a_sender_that_speaks_for_itself_is_served_as_itself() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_accept_proxy()
        .with_access_log()
        .start();
    let own = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [&b"PROXY UNKNOWN\r\n"[..], own] {
        let mut client = proxy.connect().await;
        client.send([header, GET].concat()).await;
        assert_eq!(client.response().await.text(), "hello");
    }

    for peer in peers(&proxy, 2).await {
        assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    }
}

#[tokio::test]
async fn a_connection_without_a_header_is_closed_counted_and_told_of() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_accept_proxy()
        .with_access_log()
        .start();

    for begin in [GET, b"PROXY TCP4 a b 1 2\r\n", b"PROXY TCP4 1.2"] {
        let mut client = proxy.connect().await;
        client.send(begin).await;
        client.finish().await;
        assert_eq!(client.ended().await.bytes, b"");
    }

    eventually("the count", || refused(&proxy, "proxy_header") == 3).await;
    assert_eq!(upstream.connections(), 0);
    let told = proxy.log_lines();
    assert_eq!(told.len(), 1, "once a minute: {told:?}");
    let told = told[0]["message"].as_str().unwrap();
    assert!(told.contains("does not begin with a header"), "{told}");
    assert_eq!(proxy.handle().route(proxy.route()).unwrap().requests, 0);
}

#[tokio::test]
async fn a_client_that_only_looks_whether_somebody_listens_is_no_error() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).with_accept_proxy().start();

    let mut client = proxy.connect().await;
    client.finish().await;

    assert_eq!(client.ended().await.how, How::Fin);
    assert_eq!(refused(&proxy, "proxy_header"), 0);
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_accept_proxy()
        .with_client_timeouts(ClientTimeouts {
            head: Duration::from_millis(100),
            ..ClientTimeouts::default()
        })
        .start();
    let mut client = proxy.connect().await;
    client.send("PROXY TCP4 192.0.2.7 ").await;

    assert_eq!(client.ended().await.bytes, b"");

    assert_eq!(refused(&proxy, "proxy_header_timeout"), 1);
}

#[tokio::test]
async fn a_route_that_is_closed_closes_those_who_have_sent_no_header() {
    let upstream = TestUpstream::replying("hello").await;
    let mut proxy = TestProxy::to(&upstream).with_accept_proxy().start();
    let mut client = proxy.connect().await;
    client.send("PROXY ").await;
    // Accepted, as a later one is served.
    let mut later = proxy.connect().await;
    later.send([LINE, GET].concat()).await;
    later.response().await;

    tokio::task::spawn_blocking(move || proxy.drain(Duration::from_secs(5)))
        .await
        .unwrap();

    assert_eq!(client.ended().await.bytes, b"");
}

#[tokio::test]
async fn the_upstream_is_told_of_the_client_of_each_request() {
    let (upstream, mut begins) = telling(b"\r\n\r\n").await;
    let proxy = TestProxy::to(&upstream)
        .with_options(options(|it| it.send_proxy = Some(ProxyVersion::V1)))
        .start();
    let mut client = proxy.connect().await;
    let from = client.address();
    let to = proxy.address();
    let line = format!(
        "PROXY TCP4 {} {} {} {}\r\nGET / HTTP/1.1\r\n",
        from.ip(),
        to.ip(),
        from.port(),
        to.port()
    );

    for _ in 0..2 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");
        let begin = String::from_utf8(begins.recv().await.unwrap()).unwrap();
        assert!(begin.starts_with(&line), "{begin}");
    }

    assert_eq!(upstream.connections(), 2, "no connection of another client");
}

#[tokio::test]
async fn two_proxies_pass_on_who_the_client_is_and_where_it_went() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let (upstream, mut begins) = telling(b"PING").await;
        let second = TestProxy::to_tcp(&upstream)
            .with_accept_proxy()
            .with_options(options(|it| it.send_proxy = Some(ProxyVersion::V2)))
            .start();
        let first = TestProxy::to_url(&format!("tcp://{}", second.address()))
            .with_accept_proxy()
            .with_options(options(|it| it.send_proxy = Some(version)))
            .start();
        let mut client = first.connect().await;

        client.send([LINE, b"PING"].concat()).await;

        assert_eq!(begins.recv().await.unwrap(), [BINARY, b"PING"].concat());
        assert_eq!(client.response().await.text(), "hello");
    }
}

#[tokio::test]
async fn headers_stand_before_tls() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let second = TestProxy::to(&upstream)
        .with_tls(authority.issue(&["127.0.0.1"]).for_listener())
        .with_accept_proxy()
        .with_access_log()
        .start();
    let first = TestProxy::to_url(&format!("tcp://{}", second.address()))
        .with_options(options(|it| it.send_proxy = Some(ProxyVersion::V2)))
        .start();
    let tunnel = TlsTunnel::to(first.address(), "127.0.0.1", &authority).await;
    let mut client = RawClient::connect(tunnel.address()).await;

    client.get("/").await;

    assert_eq!(client.response().await.text(), "hello");
    // To an upstream with TLS: a proxy that takes a header and leads to it.
    let front = TlsFront::before(upstream.address(), &authority.issue(&["127.0.0.1"])).await;
    let takes = TestProxy::to_url(&format!("tcp://127.0.0.1:{}", front.port()))
        .with_accept_proxy()
        .start();
    let proxy = TestProxy::to_url(&format!("https://{}", takes.address()))
        .with_upstream_tls(UpstreamTlsOptions {
            ca: Some(authority.file()),
            ..UpstreamTlsOptions::default()
        })
        .with_options(options(|it| it.send_proxy = Some(ProxyVersion::V1)))
        .start();
    assert_eq!(proxy.get("/").await.text(), "hello");
}
