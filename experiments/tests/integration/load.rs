//! The closed loop, against servers that behave and others.

use std::{net::SocketAddr, time::Duration};

use brownout_experiment::{
    ErrorKind, Outcome, Sample,
    load::{Target, closed_loop},
};
use brownout_testkit::{How, RawClient, TestUpstream, within};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use tokio::{
    io::AsyncReadExt,
    net::TcpSocket,
    sync::mpsc,
    time::{Instant, timeout},
};

/// The first `count` samples of a load.
async fn samples(target: Target, connections: usize, count: usize) -> Vec<Sample> {
    let load = closed_loop(target, connections, Instant::now());
    within("samples", load.take(count).collect()).await
}

async fn first(address: SocketAddr) -> Sample {
    samples(Target::at(address), 1, 1).await[0]
}

/// A server that answers the first request of each connection with these bytes, and closes it.
async fn saying(bytes: &'static str) -> TestUpstream {
    TestUpstream::raw(move |stream| async move {
        let mut connection = RawClient::over(stream);
        connection.request().await;
        connection.send(bytes).await;
    })
    .await
}

#[tokio::test]
async fn connections_are_kept_between_requests() {
    let upstream = TestUpstream::replying("page").await;

    let samples = samples(Target::at(upstream.address()), 3, 300).await;

    assert!(samples.iter().all(Sample::is_served));
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn every_request_is_the_target() {
    let upstream = TestUpstream::replying("page").await;
    let mut target = Target::at(upstream.address());
    target.uri = "/list?of=all".parse().unwrap();
    target
        .headers
        .insert("authorization", "Token 0x132".parse().unwrap());

    samples(target, 1, 2).await;

    let received = upstream.received();
    for request in &received[..2] {
        assert_eq!(request.target, "/list?of=all");
        assert_eq!(request.headers["authorization"], "Token 0x132");
        assert_eq!(request.headers["host"], upstream.address().to_string());
    }
}

#[tokio::test]
async fn a_connection_sends_its_next_request_after_the_whole_answer() {
    const HOLD: Duration = Duration::from_millis(5);
    let upstream = TestUpstream::raw(|stream| async move {
        let mut connection = RawClient::over(stream);
        connection.request().await;
        for _ in 0..20 {
            connection
                .send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npa")
                .await;
            // A request that came now would end this, and the sample would be none of a page.
            timeout(HOLD, connection.request()).await.unwrap_err();
            connection.send("ge").await;
            connection.request().await;
        }
    })
    .await;

    let samples = samples(Target::at(upstream.address()), 4, 20).await;

    assert!(samples.iter().all(Sample::is_served), "{samples:?}");
    assert!(samples.iter().all(|it| it.latency >= HOLD));
}

#[tokio::test]
async fn a_sample_knows_status_and_degradation() {
    let upstream = TestUpstream::serving(|_| async {
        let mut answer = Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        answer
            .headers_mut()
            .insert("x-degraded", "recommendations".parse().unwrap());
        answer
    })
    .await;

    let sample = first(upstream.address()).await;

    assert_eq!(
        sample.outcome,
        Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE)
    );
    assert!(sample.degraded);
    assert!(!sample.is_served());
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_no_error() {
    let upstream =
        saying("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\npage").await;

    let samples = samples(Target::at(upstream.address()), 2, 40).await;

    assert!(samples.iter().all(Sample::is_served), "{samples:?}");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_the_next_request_has_a_new_connection() {
    let upstream = TestUpstream::raw(|mut stream| async move {
        stream.read_u8().await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;

    let samples = samples(Target::at(upstream.address()), 1, 3).await;

    let resets = [Outcome::Failed(ErrorKind::Reset); 3];
    assert_eq!(
        samples.iter().map(|it| it.outcome).collect::<Vec<_>>(),
        resets
    );
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_incomplete() {
    for bytes in [
        "",
        "HTTP/1.1 200 OK\r\ncont",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npa",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npage\r\n",
    ] {
        let upstream = saying(bytes).await;

        let sample = first(upstream.address()).await;

        assert_eq!(
            sample.outcome,
            Outcome::Failed(ErrorKind::Incomplete),
            "{bytes:?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_http_is_another_error() {
    let upstream = saying("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;

    let sample = first(upstream.address()).await;

    assert_eq!(sample.outcome, Outcome::Failed(ErrorKind::Other));
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_after_a_growing_pause() {
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();

    let samples = samples(Target::at(taken.local_addr().unwrap()), 1, 4).await;

    assert!(
        samples
            .iter()
            .all(|it| it.outcome == Outcome::Failed(ErrorKind::Connect))
    );
    // Pauses are between requests: no part of their latency.
    let pauses = Duration::from_millis(10 + 20 + 40);
    let latency: Duration = samples.iter().map(|it| it.latency).sum();
    assert!(samples[3].ended >= latency + pauses, "{samples:?}");
}

#[tokio::test]
async fn a_client_whose_time_is_over_closes_its_connection() {
    let (ended, mut endings) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let ended = ended.clone();
        async move {
            let mut connection = RawClient::over(stream);
            connection.request().await;
            ended.send(connection.ended().await.how).unwrap();
        }
    })
    .await;
    let mut target = Target::at(upstream.address());
    // Time enough to send the request, on a machine that stands still for a while.
    target.timeout = Some(Duration::from_millis(1_500));

    let sample = samples(target, 1, 1).await[0];

    assert_eq!(sample.outcome, Outcome::Failed(ErrorKind::Timeout));
    assert!(sample.latency >= Duration::from_millis(1_500));
    assert_eq!(within("the end", endings.recv()).await, Some(How::Fin));
}

#[tokio::test]
async fn a_load_that_is_dropped_leaves_no_connection() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let events = events.clone();
        async move {
            let mut connection = RawClient::over(stream);
            connection.request().await;
            events.send("asked").unwrap();
            connection.ended().await;
            events.send("left").unwrap();
        }
    })
    .await;
    let mut load = closed_loop(Target::at(upstream.address()), 3, Instant::now());

    for _ in 0..3 {
        let asked = async {
            tokio::select! {
                sample = load.next() => panic!("nobody answers: {sample:?}"),
                event = seen.recv() => event,
            }
        };
        assert_eq!(within("a request", asked).await, Some("asked"));
    }
    drop(load);

    for _ in 0..3 {
        assert_eq!(within("an end", seen.recv()).await, Some("left"));
    }
}
