//! What a client sees when the upstream fails, and what it never sees.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use brownout_telemetry::names;
use brownout_testkit::{FullListener, How, RawClient, TestProxy, TestUpstream, eventually};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_refused_connection_is_a_502_that_names_the_route() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = TestProxy::to_url(&format!("http://{free}")).start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 502);
    assert_eq!(
        response.values("content-type"),
        ["application/problem+json"]
    );
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(problem["route"], "web");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("could not connect: Connection refused"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_502() {
    let proxy = TestProxy::to_url("http://no-such-host.invalid:80").start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 502);
    assert!(
        response.text().contains("could not resolve its name"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn an_upstream_that_never_accepts_is_a_504() {
    let full = FullListener::new();
    let proxy = TestProxy::to_url(&format!("http://{}", full.address())).start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 504);
    assert!(
        response
            .text()
            .contains("did not accept the connection within 5s"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn an_upstream_that_breaks_before_its_head_is_a_502() {
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).head().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 502);
    assert!(
        response
            .text()
            .contains("broke the connection before it answered"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_502() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream.send("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 502);
    assert!(
        response.text().contains("not an HTTP answer"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn what_came_before_an_upstream_broke_in_the_body_still_arrives() {
    for framing in ["Content-Length: 400000", "Transfer-Encoding: chunked"] {
        let upstream = TestUpstream::raw(move |stream| async move {
            let mut upstream = RawClient::over(stream);
            upstream.head().await;
            let chunk = "x".repeat(300_000);
            let size = if framing.starts_with('T') {
                "493e0\r\n"
            } else {
                ""
            };
            upstream
                .send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{size}{chunk}"))
                .await;
        })
        .await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;

        client.get("/").await;
        assert_eq!(client.head().await.status(), 200);
        let ended = client.ended().await;

        let content = ended.bytes.iter().filter(|byte| **byte == b'x').count();
        assert_eq!(content, 300_000, "{framing}");
        assert!(
            !ended.bytes.ends_with(b"0\r\n\r\n"),
            "no last chunk pretends that this is all"
        );
        assert_eq!(ended.how, How::Fin);
    }
}

/// An upstream that closes each connection after one answer, without saying so.
async fn forgetful() -> TestUpstream {
    TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        let head = upstream.head().await;
        if let Some(length) = head.values("content-length").first() {
            upstream.read_exact(length.parse().unwrap()).await;
        }
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await
}

#[tokio::test]
async fn a_connection_that_went_stale_is_never_seen_by_the_client() {
    let upstream = forgetful().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    for _ in 0..200 {
        client.get("/").await;
        assert_eq!(client.response().await.status(), 200);
    }

    assert_eq!(upstream.connections(), 200);
}

#[tokio::test]
async fn a_request_that_the_upstream_closed_before_it_read_it_is_sent_again_and_counted() {
    let upstream = TestUpstream::closing_before_it_reads_the_second_request().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client.get("/").await;
    assert_eq!(client.response().await.status(), 200);
    let (answer, _) = client.exchange(TestUpstream::long_request()).await;
    assert_eq!(answer.status(), 200);

    let retries = proxy
        .metrics()
        .counter(names::PROXY_UPSTREAM_RETRIES, &[TestProxy::ROUTE]);
    assert_eq!(retries.total(), 1);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_request_whose_connection_is_reset_under_it_is_not_sent_again() {
    // On the wire "closed without reading" and "read, then reset" look the same.
    let upstream = TestUpstream::raw(|mut stream| async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut request).await.unwrap();
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        // Closing with bytes that were not read is a reset.
        stream.readable().await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.response().await.status(), 200);

    client.get("/").await;

    assert_eq!(client.response().await.status(), 502);
    let retries = proxy
        .metrics()
        .counter(names::PROXY_UPSTREAM_RETRIES, &[TestProxy::ROUTE]);
    assert_eq!(retries.total(), 0);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_request_that_the_upstream_took_and_dropped_is_its_failure_and_not_sent_again() {
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        // Closes on the second request, having read it.
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let upstream = TestUpstream::raw(move |stream| {
            let asked = Arc::clone(&counter);
            async move {
                let mut upstream = RawClient::over(stream);
                upstream.head().await;
                upstream
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
                let head = upstream.head().await;
                if let Some(length) = head.values("content-length").first() {
                    upstream.read_exact(length.parse().unwrap()).await;
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await;
        let proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;
        client.get("/").await;
        assert_eq!(client.response().await.status(), 200);

        let (response, _) = client.exchange(request).await;

        assert_eq!(response.status(), 502, "{request}");
        assert_eq!(asked.load(Ordering::Relaxed), 1, "{request}");
        assert_eq!(upstream.connections(), 1, "{request}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_upstream() {
    let (gone, mut left) = tokio::sync::mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let gone = gone.clone();
        async move {
            let mut upstream = RawClient::over(stream);
            upstream.head().await;
            gone.send("asked").unwrap();
            upstream.ended().await;
            gone.send("left").unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    // With nothing unread, and with a pipelined request waiting.
    for copies in [1, 2] {
        let mut client = proxy.connect().await;
        client
            .send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(copies))
            .await;
        assert_eq!(
            brownout_testkit::within("the upstream to be asked", left.recv()).await,
            Some("asked")
        );

        drop(client);

        assert_eq!(
            brownout_testkit::within("the upstream to be left", left.recv()).await,
            Some("left")
        );
    }
    let errors = proxy.metrics().counter(
        names::PROXY_ERRORS,
        &[TestProxy::ROUTE, "client_disconnect"],
    );
    eventually("both to be counted", || errors.total() == 2).await;
}

#[tokio::test]
async fn an_upstream_may_take_longer_to_answer_than_to_accept() {
    /// The proxy waits for 5 s for an upstream to accept, see the test of that.
    const LATE: Duration = Duration::from_millis(5_500);
    let upstream = TestUpstream::serving(|_| async {
        tokio::time::sleep(LATE).await;
        hyper::Response::new(http_body_util::Full::new("late".into()))
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let began = Instant::now();

    assert_eq!(proxy.get("/").await.text(), "late");
    assert!(began.elapsed() >= LATE);
}

#[tokio::test]
async fn a_clients_own_broken_body_is_a_400_and_no_failure_of_the_upstream() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    for body in [
        "5\r\nhello\r\nno size\r\n",
        "zz\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
    ] {
        let mut client = proxy.connect().await;

        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (response, _) = client.exchange(format!("{head}{body}")).await;

        assert_eq!(response.status(), 400, "{body:?}");
        assert!(response.text().contains("body"), "{}", response.text());
    }
    for kind in ["connect", "reset", "timeout", "protocol"] {
        let errors = proxy.metrics().counter(names::PROXY_ERRORS, &["web", kind]);
        assert_eq!(errors.total(), 0, "{kind}");
    }
    assert_eq!(proxy.get("/").await.text(), "hello");
}
