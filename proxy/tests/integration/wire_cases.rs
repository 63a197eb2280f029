//! What a trial of the first version found on the wire, one test for each finding.

use std::sync::{Arc, Mutex};

use brownout_telemetry::Value as Counted;
use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, eventually, within};
use tokio::sync::{Notify, mpsc};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers each request with the same bytes.
async fn answering(answer: impl Into<Vec<u8>>) -> TestUpstream {
    let answer: Arc<[u8]> = answer.into().into();
    TestUpstream::raw(move |stream| {
        let answer = Arc::clone(&answer);
        async move {
            let mut connection = RawClient::over(stream);
            while connection.whole_request().await.is_some() {
                connection.send(&answer).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_before_the_body_leaves_the_connection_usable() {
    let (bodies, mut received) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let bodies = bodies.clone();
        async move {
            let mut connection = RawClient::over(stream);
            while let Some(head) = connection.whole_head().await {
                connection.send(OK).await;
                if head.starts_with(b"POST") {
                    bodies.send(connection.whole_body(&head).await).ok(); // The test may have ended.
                }
            }
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
        .await;
    let early = client.response().await;
    client.send("abc").await;
    client.get("/next").await;

    assert_eq!(client.response().await.status(), 200);
    assert!(early.values("connection").is_empty(), "{}", early.head);
    let body = within("the upstream to get the body", received.recv()).await;
    assert_eq!(body, Some(Some(b"abc".to_vec())));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn early_hints_are_passed_on() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let upstream = answering(format!("{hints}{OK}")).await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client.get("/").await;

    assert_eq!(client.head().await.head, hints);
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn a_304_keeps_its_content_length() {
    let upstream =
        answering("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1234\r\n\r\n").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    for _ in 0..2 {
        client.get("/").await;
        let answer = client.response().await;
        assert_eq!(answer.status(), 304);
        assert_eq!(answer.values("content-length"), ["1234"]);
    }
}

#[tokio::test]
async fn more_than_a_hundred_fields_pass_both_ways() {
    let cookies: String = (0..150)
        .map(|n| format!("Set-Cookie: a{n}={}\r\n", "x".repeat(90)))
        .collect();
    let upstream = answering(format!(
        "HTTP/1.1 200 OK\r\n{cookies}Content-Length: 2\r\n\r\nok"
    ))
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let fields: String = (0..120).map(|n| format!("x-{n}: v\r\n")).collect();
    let mut client = proxy.connect().await;

    client
        .send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
        .await;

    let answer = client.response().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.values("set-cookie").len(), 150);
}

#[tokio::test]
async fn a_space_before_the_colon_of_an_answer_is_taken_out() {
    let upstream =
        answering("HTTP/1.1 200 OK\r\nX-Protection : 1\r\nContent-Length: 2\r\n\r\nok").await;
    let proxy = TestProxy::to(&upstream).start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 200);
    assert!(
        answer.head.contains("\r\nX-Protection: 1\r\n"),
        "{}",
        answer.head
    );
}

#[tokio::test]
async fn half_an_answer_is_never_whole_for_a_client_that_reads_to_the_end() {
    // With less than it says, and with a reset; chunked or with a length.
    for (framing, part) in [
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Content-Length: 100", "hello"),
    ] {
        for reset in [false, true] {
            let arrived = Arc::new(Notify::new());
            let told = Arc::clone(&arrived);
            let upstream = TestUpstream::raw(move |stream| {
                let told = Arc::clone(&told);
                async move {
                    let mut connection = RawClient::over(stream);
                    connection.whole_request().await;
                    connection
                        .send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}"))
                        .await;
                    if reset {
                        // A reset throws away what was not read before.
                        told.notified().await;
                        connection.reset();
                    }
                }
            })
            .await;
            let proxy = TestProxy::to(&upstream).start();
            let mut client = proxy.connect().await;

            client.send("GET / HTTP/1.0\r\n\r\n").await;

            client.read_until(b"\r\n\r\nhello").await;
            arrived.notify_one();
            let ended = client.ended().await;
            assert_eq!(ended.bytes, b"", "{framing}, reset: {reset}");
            assert_eq!(ended.how, How::Reset, "{framing}, reset: {reset}");
        }
    }
}

#[tokio::test]
async fn a_request_that_was_read_before_a_reset_is_not_sent_again() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let upstream = TestUpstream::raw(move |stream| {
        let log = Arc::clone(&log);
        async move {
            let mut connection = RawClient::over(stream);
            loop {
                let Some(head) = connection.whole_head().await else {
                    return;
                };
                let head = String::from_utf8(head).unwrap();
                log.lock().unwrap().push(head.clone());
                if head.starts_with("DELETE") {
                    return connection.reset(); // As a worker that crashes does.
                }
                connection.send(OK).await;
            }
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).with_cores(1).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    client.response().await;

    client.send("DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n").await;

    assert_eq!(client.response().await.status(), 502);
    // A request of its own afterwards: whatever was to be sent again was sent before.
    assert_eq!(proxy.get("/after").await.status(), 200);
    let deletes = |seen: &[String]| seen.iter().filter(|it| it.starts_with("DELETE")).count();
    assert_eq!(deletes(&seen.lock().unwrap()), 1);
}

#[tokio::test]
async fn what_the_proxy_refuses_leaves_a_trace() {
    let upstream = answering(OK).await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    let fields: String = (0..2_000).map(|n| format!("x-{n}: v\r\n")).collect();
    let mut client = proxy.connect().await;
    client
        .send(format!("GET /many HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
        .await;

    let answer = client.response().await;
    assert_eq!(answer.status(), 431);
    assert!(answer.text().contains(proxy.route()), "{}", answer.text());
    eventually("an access line", || !proxy.access_lines().is_empty()).await;
    assert_eq!(proxy.access_lines()[0]["status"], 431);

    let mut client = proxy.connect().await;
    client.get("/").await;
    client.response().await;
    client
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    assert!(!client.ended().await.bytes.is_empty(), "a word to HTTP/2");

    let refused = || -> u64 {
        let samples = proxy.metrics().snapshot().into_iter();
        let refused = samples.filter(|sample| sample.name == "proxy.refused");
        refused
            .map(|sample| match sample.value {
                Counted::Counter(total) => total,
                Counted::Gauge(_) | Counted::Histogram(_) => 0,
            })
            .sum()
    };
    eventually("both to be counted", || refused() == 2).await;
}
