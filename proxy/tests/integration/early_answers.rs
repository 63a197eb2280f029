//! Answers that come before the request's body has ended: the rest of the body still goes to an upstream that reads it,
//! and both connections are kept.
//!
//! Not tested here: an upload without progress is ended after 30 s. Tests cannot set that limit.

use std::time::Duration;

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, within};
use tokio::sync::mpsc;

use crate::programs::Nginx;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const MIB: usize = 1024 * 1024;

/// Answers each head at once, then reads the body, and says how long that was.
async fn hasty() -> (TestUpstream, mpsc::UnboundedReceiver<Option<usize>>) {
    let (bodies, received) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let bodies = bodies.clone();
        async move {
            let mut connection = RawClient::over(stream);
            while let Some(head) = connection.whole_head().await {
                if connection.try_send(OK.as_bytes()).await.is_err() {
                    return;
                }
                let body = connection.whole_body(&head).await;
                bodies.send(body.map(|body| body.len())).ok(); // The test may have ended.
            }
        }
    })
    .await;
    (upstream, received)
}

fn post(length: usize) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

/// How a series of requests went for a client that keeps its connection as long as it may.
#[derive(Debug, Default, PartialEq, Eq)]
struct Series {
    kept: usize,
    told_to_close: usize,
    failed: usize,
}

/// Sends the requests one after the other, each whole before it looks for the answer, as most clients do.
async fn series(proxy: &TestProxy, requests: impl Iterator<Item = Vec<u8>>, status: u16) -> Series {
    let mut series = Series::default();
    let mut client = proxy.connect().await;
    for request in requests {
        let sent = client.try_send(&request).await;
        let answer = client.try_response().await;
        match answer {
            Some(answer)
                if answer.status() == status && !answer.values("connection").is_empty() =>
            {
                series.told_to_close += 1;
                client = proxy.connect().await;
            }
            Some(answer) if answer.status() == status && sent.is_ok() => series.kept += 1,
            Some(_) | None => {
                series.failed += 1;
                client = proxy.connect().await;
            }
        }
    }
    series
}

#[tokio::test]
async fn four_hundred_posts_that_are_answered_early_keep_their_connection() {
    let (upstream, mut bodies) = hasty().await;
    let proxy = TestProxy::to(&upstream).with_cores(1).start();
    // From one that fits into the head's segment to one that fills several socket buffers.
    let sizes = [0, 3, 1_000, 20_000, 100_000, 300_000, 70_000, 2];
    let requests = (0..400).map(|n| post(sizes[n % sizes.len()]));

    let series = series(&proxy, requests, 200).await;

    assert_eq!(series.failed, 0, "{series:?}");
    assert!(series.kept >= 396, "{series:?}");
    for n in 0..400 {
        let body = within("the upstream to read a body", bodies.recv()).await;
        assert_eq!(body, Some(Some(sizes[n % sizes.len()])), "body {n}");
    }
}

#[tokio::test]
async fn four_hundred_posts_to_an_nginx_that_does_not_want_them_keep_their_connection() {
    let Some(nginx) = Nginx::start("keepalive_requests 100000; location / { return 404; }").await
    else {
        return;
    };
    let proxy = TestProxy::to_url(&format!("http://{}", nginx.address()))
        .with_cores(1)
        .start();
    let requests = (0..400).map(|n| post([3, 1_000, 20_000, 60_000][n % 4]));

    let series = series(&proxy, requests, 404).await;

    assert_eq!(series.failed, 0, "{series:?}");
    assert!(series.kept >= 396, "{series:?}");
}

#[tokio::test]
async fn the_rest_of_a_body_still_goes_to_an_upstream_that_reads_it() {
    let (upstream, mut bodies) = hasty().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    let request = post(5 * MIB);
    let (first, rest) = request.split_at(1_000);

    client.send(first).await;
    let answer = client.response().await;
    // Much more than may be thrown away.
    client.send(rest).await;
    client.get("/next").await;

    assert!(answer.values("connection").is_empty(), "{}", answer.head);
    assert_eq!(client.response().await.text(), "ok");
    let body = within("the upstream to read the body", bodies.recv()).await;
    assert_eq!(body, Some(Some(5 * MIB)));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_body_that_ends_late_keeps_both_connections() {
    let (upstream, mut bodies) = hasty().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await;
    let answer = client.response().await;
    // Long behind the answer, but with progress.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send("2\r\nhi\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    client.get("/next").await;

    assert!(answer.values("connection").is_empty(), "{}", answer.head);
    assert_eq!(client.response().await.text(), "ok");
    assert!(matches!(
        within("the upstream to read the body", bodies.recv()).await,
        Some(Some(_))
    ));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_request_behind_the_body_is_answered_next() {
    let (upstream, _bodies) = hasty().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    // The early answer, the rest of the body and the next request overlap.
    let next = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    client
        .send([&post(200_000)[..], next, &post(10), next].concat())
        .await;

    for number in 0..4 {
        let answer = client.response().await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, "ok"),
            "{number}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_closes_behind_an_early_answer_is_told_to_the_client() {
    for says_so in [true, false] {
        let upstream = TestUpstream::raw(move |stream| async move {
            let mut connection = RawClient::over(stream);
            connection.whole_head().await;
            let close = if says_so { "Connection: close\r\n" } else { "" };
            connection
                .send(format!(
                    "HTTP/1.1 413 Content Too Large\r\n{close}Content-Length: 3\r\n\r\nbig"
                ))
                .await;
            // Reads nothing more and leaves.
        })
        .await;
        let proxy = TestProxy::to(&upstream).with_cores(1).start();
        let mut client = proxy.connect().await;
        let request = post(900_000);
        let (first, rest) = request.split_at(100_000);

        client.send(first).await;
        let answer = client.response().await;

        assert_eq!((answer.status(), answer.text().as_str()), (413, "big"));
        if says_so {
            // The body is outstanding when the upstream says that its connection ends.
            assert_eq!(answer.values("connection"), ["close"], "{}", answer.head);
        }
        // What still comes is discarded, up to 1 MiB.
        client.send(rest).await;
        if says_so {
            let ended = client.ended().await;
            assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
        } else {
            // Nobody said that the connection ends, and the body did: it may go on or end, but an answer is whole.
            let request = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
            drop(client.try_send(request).await);
            let next = client.try_response().await;
            assert!(next.is_none_or(|next| next.status() == 413));
        }
        // The next client is none the worse.
        let (answer, _) = proxy.connect().await.exchange(post(3)).await;
        assert_eq!(answer.status(), 413);
    }
}

#[tokio::test]
async fn a_client_that_sends_without_end_to_an_upstream_that_left_is_closed() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        connection.whole_head().await;
        connection
            .send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
            .await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000000\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status(), 413);

    // At most 1 MiB or 1 s of it is discarded; sockets take some more.
    let mut sent = 0;
    while client.try_send(&vec![b'x'; 64 * 1024]).await.is_ok() {
        sent += 64 * 1024;
        assert!(sent < 256 * MIB, "it is still read");
    }
}

#[tokio::test]
async fn close_is_not_said_when_the_body_had_ended() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        connection.whole_request().await;
        connection
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    for _ in 0..3 {
        let (answer, _) = client.exchange(post(100_000)).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.values("connection").is_empty(), "{}", answer.head);
    }
}

#[tokio::test]
async fn an_expected_body_that_nobody_asked_for_ends_the_connection() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        connection.whole_head().await;
        connection
            .send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert!(
            connection.ended().await.bytes.is_empty(),
            "the body was never asked for"
        );
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let answer = client.response().await;

    // The client may send the body or not (RFC 9110 §10.1.1): nobody knows where the next request begins.
    assert_eq!(answer.status(), 417);
    assert_eq!(answer.values("connection"), ["close"], "{}", answer.head);
    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
}

#[tokio::test]
async fn an_answer_streams_to_a_client_that_still_owes_its_body() {
    const SIZE: u64 = 8 * MIB as u64;
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        let head = connection.whole_head().await.expect("a request");
        connection
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
            .await;
        connection.send_pattern(SIZE).await;
        connection.whole_body(&head).await;
        while connection.whole_request().await.is_some() {
            connection.send(OK).await;
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
        .await;
    client.head().await;
    client.expect_pattern(SIZE).await;
    client.send("hello").await;
    client.get("/next").await;

    assert_eq!(client.response().await.text(), "ok");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_client_that_reads_nothing_gets_all_its_early_answers_later() {
    let (upstream, mut bodies) = hasty().await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;

    for _ in 0..50 {
        client.send(post(50_000)).await;
    }
    for _ in 0..50 {
        let body = within("the upstream to read a body", bodies.recv()).await;
        assert_eq!(body, Some(Some(50_000)));
    }
    for number in 0..50 {
        assert_eq!(client.response().await.text(), "ok", "{number}");
    }
}
