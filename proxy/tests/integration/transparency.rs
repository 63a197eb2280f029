//! A route with no fault armed changes nothing that is not the hop's own.

use brownout_testkit::{RawClient, TestProxy, TestUpstream, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

/// An upstream that passes on each request's head as it came, and answers with `reply`.
async fn recording(reply: &'static str) -> (TestUpstream, mpsc::UnboundedReceiver<String>) {
    let (heads, received) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |mut stream: TcpStream| {
        let heads = heads.clone();
        async move {
            let mut bytes = Vec::new();
            while let Ok(1..) = stream.read_buf(&mut bytes).await {
                while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    let head: Vec<u8> = bytes.drain(..end + 4).collect();
                    heads.send(String::from_utf8(head).unwrap()).unwrap();
                    stream.write_all(reply.as_bytes()).await.unwrap();
                }
            }
        }
    })
    .await;
    (upstream, received)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn forwarded(request: &str) -> String {
    let (upstream, mut heads) = recording(OK).await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client.exchange(request).await;

    within("the upstream to see the request", heads.recv())
        .await
        .unwrap()
}

/// The lines of a head, sorted: order across names is the hop's own.
fn sorted(head: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = head.trim_end().lines().map(str::trim_end).collect();
    lines[1..].sort_unstable();
    lines
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_names_values_and_target() {
    let head = "GET /a%20b//c;d?q=%7B&&x HTTP/1.1\r\nHost: Shop.Example\r\nX-CamelCase: One\r\n\
        x-lower: two, three\r\nX-CamelCase: Four\r\nX-Empty: \r\nCookie: a=b; c=\"d\"\r\n\r\n";

    assert_eq!(sorted(&forwarded(head).await), sorted(head));
}

#[tokio::test]
async fn values_under_one_name_keep_their_order() {
    let head =
        forwarded("GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-B: x\r\nX-A: 2\r\nX-A: 3\r\n\r\n")
            .await;

    let values: Vec<&str> = head
        .lines()
        .filter(|line| line.starts_with("X-A"))
        .collect();
    assert_eq!(values, ["X-A: 1", "X-A: 2", "X-A: 3"]);
}

#[tokio::test]
async fn fields_of_one_connection_stay_on_it() {
    let head = forwarded(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n\
         X-Hop: mine\r\nTE: trailers\r\nX-End: theirs\r\n\r\n",
    )
    .await;

    assert_eq!(
        sorted(&head),
        ["GET / HTTP/1.1", "Host: h", "TE: trailers", "X-End: theirs"]
    );
}

#[tokio::test]
async fn a_request_without_a_host_gets_the_upstreams() {
    let head = forwarded("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;

    assert!(
        head.starts_with("GET / HTTP/1.1\r\nhost: 127.0.0.1:"),
        "{head}"
    );
}

#[tokio::test]
async fn absolute_form_is_forwarded_in_origin_form() {
    let head = forwarded("GET http://shop.example/a?b HTTP/1.1\r\nHost: other\r\n\r\n").await;

    assert_eq!(sorted(&head), ["GET /a?b HTTP/1.1", "Host: shop.example"]);
}

#[tokio::test]
async fn an_empty_post_keeps_its_content_length_of_zero() {
    let head = forwarded("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;

    assert_eq!(
        sorted(&head),
        ["POST / HTTP/1.1", "Content-Length: 0", "Host: h"]
    );
}

#[tokio::test]
async fn an_answer_arrives_as_it_was_sent_reason_and_names_included() {
    let (upstream, _heads) = recording(
        "HTTP/1.1 299 Quite All Right\r\nX-CamelCase: One\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         ETag: W/\"x\"\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let proxy = TestProxy::to(&upstream).start();

    let response = proxy.get("/").await;

    assert_eq!(
        sorted(&response.head),
        [
            "HTTP/1.1 299 Quite All Right",
            "Content-Length: 2",
            "ETag: W/\"x\"",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "X-CamelCase: One",
        ]
    );
    assert_eq!(response.values("set-cookie"), ["a=1", "b=2"]);
}

#[tokio::test]
async fn answers_without_content_keep_their_fields_and_the_connection() {
    for (request, reply) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX: y\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n"),
    ] {
        let (upstream, _heads) = recording(reply).await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;
        for round in 0..2 {
            client
                .send(format!("{request} / HTTP/1.1\r\nHost: h\r\n\r\n"))
                .await;
            let head = client.head().await.head;
            assert_eq!(sorted(&head), sorted(reply), "{request}, round {round}");
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    for _ in 0..10 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");
    }

    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.received().len(), 10);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = TestUpstream::serving(|request| async move {
        hyper::Response::new(http_body_util::Full::new(request.target.into()))
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;

    assert_eq!(client.response().await.text(), "/1");
    assert_eq!(client.response().await.text(), "/2");
}

#[tokio::test]
async fn declared_trailers_pass_both_ways_where_they_are_wanted() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        let request = upstream.request().await;
        assert_eq!(request.body, b"abc");
        assert_eq!(request.trailers, ["X-Sum: 1"]);
        upstream
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 2\r\n\r\n")
            .await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    let request = "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
        3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    let (response, _) = client.exchange(request).await;

    assert_eq!(response.values("trailer"), ["X-Sum"]);
    assert_eq!(response.body, b"abc");
    assert_eq!(response.trailers, ["X-Sum: 2"]);
}

#[tokio::test]
async fn an_old_client_gets_an_answer_it_understands() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client.send("GET / HTTP/1.0\r\n\r\n").await;

    let all = String::from_utf8(client.ended().await.bytes).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(all.ends_with("\r\n\r\nhello"), "{all}");
}

/// RFC 9112 §6.1: a Transfer-Encoding is for HTTP/1.1 alone, also where there is no content.
#[tokio::test]
async fn an_old_client_is_told_no_coding_of_content_it_does_not_get() {
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
        let upstream = TestUpstream::raw(move |stream| async move {
            let mut upstream = RawClient::over(stream);
            upstream.head().await;
            upstream
                .send(format!(
                    "HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n"
                ))
                .await;
            upstream.ended().await;
        })
        .await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;

        client.send(format!("{method} / HTTP/1.0\r\n\r\n")).await;

        let all = String::from_utf8(client.ended().await.bytes).unwrap();
        assert!(all.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{all}");
        assert!(all.contains("\r\nX: 1\r\n"), "{all}");
        let has_coding = all.to_ascii_lowercase().contains("transfer-encoding");
        assert!(!has_coding, "{method}: {all}");
    }
}

#[tokio::test]
async fn a_transfer_coding_that_would_go_unsaid_is_refused() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();

    for codings in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    ] {
        let mut client = proxy.connect().await;
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{codings}\r\n\r\n0\r\n\r\n");
        let (response, _) = client.exchange(request).await;

        assert_eq!(response.status(), 501, "{codings}");
        assert!(response.text().contains("route web"), "{}", response.text());
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn connect_is_refused_with_405() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    let (response, _) = client
        .exchange("CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        .await;

    assert_eq!(response.status(), 405);
}

#[tokio::test]
async fn requests_that_two_servers_could_read_differently_are_refused() {
    let (upstream, mut heads) = recording(OK).await;
    let proxy = TestProxy::to(&upstream).start();
    for head in [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded: y\r\n\r\n",
    ] {
        let mut client = proxy.connect().await;
        let (response, _) = client.exchange(head).await;
        assert_eq!(response.status(), 400, "{head:?}");
    }
    assert!(
        heads.try_recv().is_err(),
        "none of them reached the upstream"
    );
}
