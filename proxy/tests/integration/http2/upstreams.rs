//! Upstreams that speak HTTP/2.

mod messages;
mod options;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use brownout_proxy::{HttpVersion, UpstreamOptions};
use brownout_testkit::{
    TestAuthority, TestProxy, TestProxyBuilder, TestUpstream, TlsFront, eventually, within,
};
use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    client::{Client, piece, rest, send_all, whole},
    raw::{DATA, PREFACE, frame, next_frame, post},
};

/// An upstream that speaks HTTP/2 alone.
struct Upstream {
    address: std::net::SocketAddr,
    seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request<()>>>,
    connections: AtomicUsize,
    /// Streams that are to be refused before one is served.
    refusals: AtomicUsize,
    cancelled: AtomicUsize,
    /// Requests whose content was read to its end.
    whole: AtomicUsize,
}

impl Upstream {
    async fn start() -> Self {
        Self::with(256).await
    }

    /// One that takes so many streams at once on a connection.
    async fn with(streams_max: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Seen> = Arc::default();
        let seen_there = Arc::clone(&seen);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen_there);
                seen.connections.fetch_add(1, Ordering::Relaxed);
                open.spawn(serve(tcp, streams_max, seen));
            }
        });
        Self {
            address,
            seen,
            _serving: serving,
        }
    }

    fn requests(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// A proxy before it.
    fn proxy(&self) -> TestProxyBuilder {
        spoken(&format!("http://{}", self.address), HttpVersion::Http2).with_cores(1)
    }
}

fn spoken(url: &str, http: HttpVersion) -> TestProxyBuilder {
    TestProxy::to_url(url).with_options(UpstreamOptions {
        http,
        ..UpstreamOptions::default()
    })
}

async fn serve(io: TcpStream, streams_max: u32, seen: Arc<Seen>) {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(streams_max);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else {
        return;
    };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let refuses = |left: usize| left.checked_sub(1);
        let refused = seen
            .refusals
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuses);
        if refused.is_ok() {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        let (parts, content) = request.into_parts();
        let head = Request::from_parts(parts, ());
        seen.requests.lock().unwrap().push(head.clone());
        streams.spawn(answer(head, content, respond, Arc::clone(&seen)));
    }
}

/// Answers as the path says.
async fn answer(
    head: Request<()>,
    mut content: RecvStream,
    mut respond: SendResponse<Bytes>,
    seen: Arc<Seen>,
) {
    match head.uri().path() {
        "/hang" => {
            drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await);
            seen.cancelled.fetch_add(1, Ordering::Relaxed);
        }
        "/breaks" => {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data("abc".into(), false).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "/trailers-only" => {
            let mut answer = Response::new(());
            let status = "grpc-status".parse::<http::HeaderName>().unwrap();
            answer.headers_mut().insert(status, "5".parse().unwrap());
            respond.send_response(answer, true).unwrap();
        }
        // The length is said, and trailers follow.
        "/sized" => {
            let mut answer = Response::builder().header("content-length", "3");
            for name in ["trailer", "content-type"] {
                if let Some(value) = head.headers().get(format!("x-{name}")) {
                    answer = answer.header(name, value);
                }
            }
            let answer = answer.body(()).unwrap();
            let mut stream = respond.send_response(answer, false).unwrap();
            stream.send_data("abc".into(), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "3".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
        // What no HTTP/2 server may do (RFC 9113 §8.6).
        "/switches" => {
            let mut switches = Response::new(());
            *switches.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            respond.send_informational(switches).unwrap();
            drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await);
        }
        "/hints" => {
            let mut hints = Response::new(());
            *hints.status_mut() = StatusCode::EARLY_HINTS;
            respond.send_informational(hints).unwrap();
            respond.send_response(Response::new(()), true).unwrap();
        }
        // Each piece goes back as it comes: both directions at once.
        _ => {
            let stream = respond.send_response(Response::new(()), false).unwrap();
            let mut stream = Some(stream);
            while let Some(Ok(piece)) = piece(&mut content).await {
                let back = send_all(stream.take().unwrap(), piece, false).await;
                stream = Some(back);
            }
            let mut stream = stream.unwrap();
            match content.trailers().await {
                Ok(Some(trailers)) => drop(stream.send_trailers(trailers)),
                _ => drop(stream.send_data(Bytes::new(), true)),
            }
            if content.is_end_stream() {
                seen.whole.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[tokio::test]
async fn a_client_with_http1_reaches_an_upstream_with_http2() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = proxy.connect().await;
    client
        .send(
            "POST /a?b HTTP/1.1\r\nHost: web.test\r\nX-Upper: 1\r\nTE: trailers, gzip\r\nConnection: close, x-hop\r\n\
             X-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n",
        )
        .await;

    let answer = client.response().await;

    assert_eq!((answer.status(), answer.text()), (200, "hello".to_owned()));
    assert_eq!(answer.trailers, ["x-sum: 5"]);
    let request = upstream.seen.requests.lock().unwrap()[0].clone();
    assert_eq!(request.uri(), "http://web.test/a?b");
    let names: Vec<_> = request
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    assert_eq!(names, ["x-upper", "te"]);
    assert_eq!(request.headers()["te"], "trailers");
}

#[tokio::test]
async fn requests_share_a_connection_and_further_ones_get_another() {
    let upstream = Upstream::with(10).await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;
    for _ in 0..5 {
        assert_eq!(client.post("/", b"x").await.body, b"x");
    }
    assert_eq!(upstream.connections(), 1);

    let mut held = Vec::new();
    for _ in 0..25 {
        held.push(client.send(client.request("GET", "/hang"), true).await);
    }

    eventually("all to be asked", || upstream.requests() == 30).await;
    assert_eq!(upstream.connections(), 3);
    drop(held);
    let cancelled = || upstream.seen.cancelled.load(Ordering::Relaxed);
    eventually("all to be cancelled", || cancelled() == 25).await;
    assert_eq!(client.post("/", b"x").await.body, b"x");
}

#[tokio::test]
async fn requests_go_to_several_servers_by_turns_and_pass_one_that_is_down() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let down = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let down = down.unwrap();
    let url = format!(
        "http://{},http://{},http://{down}",
        one.address, two.address
    );
    let proxy = spoken(&url, HttpVersion::Http2).with_cores(1).start();

    for _ in 0..6 {
        assert_eq!(proxy.get("/").await.status(), 200);
    }

    // The first takes over the one for the third server, as it comes next. From then on that has no turns.
    assert_eq!((one.requests(), two.requests()), (3, 3));
    assert_eq!((one.connections(), two.connections()), (1, 1));
}

#[tokio::test]
async fn with_fewer_connections_than_servers_requests_go_where_there_is_one() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let url = format!("http://{},http://{}", one.address, two.address);
    let mut options = UpstreamOptions {
        http: HttpVersion::Http2,
        ..UpstreamOptions::default()
    };
    options.pool.max_connections = Some(1);
    let proxy = TestProxy::to_url(&url)
        .with_options(options)
        .with_cores(1)
        .start();

    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.status(), 200);
    }

    assert_eq!((one.requests(), two.requests()), (4, 0));
}

#[tokio::test]
async fn both_directions_of_a_stream_go_on_at_once() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;
    let request = client.request("POST", "/").header("te", "trailers");
    let (answer, mut stream) = client.begin(request).await;
    let mut answer = answer.await.unwrap().into_body();

    for n in 0..20_u8 {
        stream.send_data(Bytes::from(vec![n; 100]), false).unwrap();
        let mut back = Vec::new();
        while back.len() < 100 {
            back.extend_from_slice(&piece(&mut answer).await.unwrap().unwrap());
        }
        assert_eq!(back, [n; 100]);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    stream.send_trailers(trailers).unwrap();

    assert!(piece(&mut answer).await.is_none());
    assert_eq!(answer.trailers().await.unwrap().unwrap()["x-sum"], "1");
}

#[tokio::test]
async fn content_that_comes_with_its_head_is_passed_on_before_more_comes() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    for pieces in [1, 2, 3] {
        let mut client = proxy.connect().await;
        let mut sent = [PREFACE, &post(1, "/")[..]].concat();
        for _ in 0..pieces {
            sent.extend(frame(DATA, 0, 1, b"message"));
        }
        client.send(sent).await;

        let mut back = Vec::new();
        while back.len() < 7 * pieces {
            let frame = next_frame(&mut client).await;
            if frame.kind == DATA {
                back.extend(frame.payload);
            }
        }
        assert_eq!(back, b"message".repeat(pieces));
    }
}

#[tokio::test]
async fn copies_of_a_request_reach_the_upstream_with_all_of_their_content() {
    let upstream = Upstream::start().await;
    let duplicate = json!({ "duplicate": { "copies": 2, "methods": "POST" } });
    let proxy = upstream.proxy().with_fault(&duplicate).start();
    let mut client = Client::connect(proxy.address()).await;

    // Without its length a request is not copied.
    let request = client.request("POST", "/").header("content-length", "7");
    let (answer, stream) = client.begin(request).await;
    let (answer, _stream) = tokio::join!(whole(answer), send_all(stream, "content".into(), true));

    assert_eq!(answer.unwrap().body, b"content");
    let whole = || upstream.seen.whole.load(Ordering::Relaxed) == 3;
    eventually("three whole requests", whole).await;
}

#[tokio::test]
async fn large_content_goes_up_and_down_whole() {
    const SIZE: usize = 20_000_000;
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;
    let content: Vec<u8> = (0..=250_u8).cycle().take(SIZE).collect();

    let answer = client.post("/", &content).await;

    assert!(answer.body == content, "{} bytes", answer.body.len());
}

#[tokio::test]
async fn a_stream_that_breaks_off_breaks_off_at_the_client() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = Client::connect(proxy.address()).await;

    let answer = client.get("/breaks").await;
    assert_eq!(answer.body, b"abc");
    assert_eq!(answer.broke.unwrap().reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(client.get("/reset").await.status, 502);

    let mut plain = proxy.connect().await;
    plain.get("/breaks").await;
    let ended = plain.ended().await;
    assert!(!ended.bytes.ends_with(b"0\r\n\r\n"), "{ended:?}");
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once_whatever_it_is() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().start();
    let mut client = proxy.connect().await;
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";

    upstream.seen.refusals.store(1, Ordering::Relaxed);
    client.send(post).await;
    assert_eq!(client.response().await.text(), "hello");

    upstream.seen.refusals.store(2, Ordering::Relaxed);
    client.send(post).await;
    assert_eq!(client.response().await.status(), 502);
}

#[tokio::test]
async fn faults_act_on_streams_to_both_sides() {
    let upstream = Upstream::start().await;
    let proxy = upstream
        .proxy()
        .with_fault(&json!({ "match": { "path": "/late" }, "latency": { "value": "200ms" } }))
        .with_fault(&json!({ "match": { "path": "/cut" }, "truncate": { "after_bytes": "3B", "ending": "fin" } }))
        .start();
    let mut client = Client::connect(proxy.address()).await;

    let began = Instant::now();
    assert_eq!(client.post("/late", b"x").await.body, b"x");
    assert!(began.elapsed() >= Duration::from_millis(200));
    let answer = client.post("/cut", b"content").await;
    assert_eq!(answer.body, b"con");
    assert!(answer.broke.is_some());
}

#[tokio::test]
async fn tls_agrees_on_the_version_that_the_route_asks_for() {
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let trusting = brownout_proxy::UpstreamTlsOptions {
        ca: Some(authority.file()),
        ..Default::default()
    };
    let speaks_http2 = Upstream::start().await;
    let mut config = certificate.server_config();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let front = TlsFront::with(speaks_http2.address, config).await;
    for http in [HttpVersion::Http2, HttpVersion::Auto] {
        let proxy = spoken(&front.url(), http)
            .with_upstream_tls(trusting.clone())
            .start();
        let mut client = proxy.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.response().await.text(), "ok", "{http:?}");
    }

    let plain = TestUpstream::replying("old").await;
    let front = TlsFront::before(plain.address(), &certificate).await;
    let proxy = spoken(&front.url(), HttpVersion::Auto)
        .with_upstream_tls(trusting.clone())
        .start();
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "old");
    }
    let proxy = spoken(&front.url(), HttpVersion::Http2)
        .with_upstream_tls(trusting)
        .start();
    let refused = proxy.get("/").await;
    assert_eq!(refused.status(), 502);
    assert!(refused.text().contains("HTTP/2"), "{}", refused.text());
}

#[test]
fn a_version_that_cannot_be_spoken_is_refused() {
    let of = |url: &str, http| {
        let upstream = brownout_proxy::Upstream::parse(url).unwrap();
        let options = UpstreamOptions {
            http,
            ..UpstreamOptions::default()
        };
        upstream
            .with_options(options)
            .map_err(|error| error.to_string())
    };

    assert!(
        of("http://up", HttpVersion::Auto)
            .unwrap_err()
            .contains("TLS")
    );
    assert!(
        of("tcp://up:1", HttpVersion::Http2)
            .unwrap_err()
            .contains("tcp route")
    );
    assert!(of("http://up", HttpVersion::Http2).is_ok());
}
