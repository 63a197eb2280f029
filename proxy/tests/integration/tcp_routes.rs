//! A `tcp` route passes bytes on: all of them, in order, both ways, and the way in which each side ends.

use std::{io::ErrorKind, time::Duration};

use brownout_proxy::{RouteChange, RouteError, Upstream};
use brownout_testkit::{Ended, How, RawClient, TestProxy, TestUpstream, eventually, within};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

const SIZE: u64 = 8 * 1024 * 1024;

fn cleanly(bytes: &str) -> Ended {
    Ended {
        bytes: bytes.as_bytes().to_vec(),
        how: How::Fin,
    }
}

/// An upstream that says back what it hears.
async fn echo() -> TestUpstream {
    TestUpstream::raw(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        drop(tokio::io::copy(&mut read, &mut write).await);
    })
    .await
}

#[tokio::test]
async fn every_byte_passes_in_both_directions_at_once() {
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).patterns_both_ways(SIZE).await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();

    proxy.connect().await.patterns_both_ways(SIZE).await;

    eventually("all bytes to be counted", || {
        let route = proxy.handle().route(TestProxy::ROUTE).unwrap();
        (route.bytes_in, route.bytes_out, route.requests) == (SIZE, SIZE, 0)
    })
    .await;
}

#[tokio::test]
async fn a_client_that_has_said_all_still_gets_its_answer() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        let said = client.ended().await;
        assert_eq!(said, cleanly("all I have to say"));
        client.send("an answer").await;
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;

    client.send("all I have to say").await;
    client.finish().await;

    assert_eq!(client.ended().await, cleanly("an answer"));
}

#[tokio::test]
async fn an_upstream_may_speak_first_and_close_first() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        client.send("220 ready").await;
        client.finish().await;
        assert_eq!(client.ended().await, cleanly("quit"));
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;

    assert_eq!(client.ended().await, cleanly("220 ready"));
    client.send("quit").await;
    client.finish().await;
    eventually("the connection to be over", || {
        let route = proxy.handle().route(TestProxy::ROUTE).unwrap();
        (route.connections, route.bytes_in) == (0, 4)
    })
    .await;
}

#[tokio::test]
async fn a_reset_comes_out_as_a_reset_on_the_other_side() {
    let (ended, mut upstream_ended) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let ended = ended.clone();
        async move {
            let mut client = RawClient::over(stream);
            if client.read_exact(1).await == b"r" {
                client.reset();
                return;
            }
            client.send("heard").await;
            ended.send(client.ended().await.how).unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();

    let mut client = proxy.connect().await;
    client.send("r").await;
    assert_eq!(client.ended().await.how, How::Reset);

    let mut client = proxy.connect().await;
    client.send("x").await;
    assert_eq!(client.read_exact(5).await, b"heard");
    client.reset();
    let upstream_saw = within("the upstream to be told", upstream_ended.recv()).await;
    assert_eq!(upstream_saw, Some(How::Reset));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_reset() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let proxy = TestProxy::to_url(&format!("tcp://{address}")).start();

    match within("a connection", TcpStream::connect(proxy.address())).await {
        Ok(client) => {
            let ended = RawClient::over(client).ended().await;
            assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
        }
        // It came before the connection was looked at.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    let errors = proxy
        .metrics()
        .counter(brownout_telemetry::names::PROXY_ERRORS, &["web", "connect"]);
    eventually("it to be counted", || errors.total() == 1).await;
}

#[tokio::test]
async fn bytes_are_counted_while_a_connection_is_open() {
    let upstream = echo().await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;

    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"ping");

    eventually("the bytes to be counted", || {
        let route = proxy.handle().route(TestProxy::ROUTE).unwrap();
        (route.connections, route.bytes_in, route.bytes_out) == (1, 4, 4)
    })
    .await;
}

#[tokio::test]
async fn a_route_that_is_disabled_closes_its_connections() {
    let upstream = echo().await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"ping");

    let disable = RouteChange {
        enabled: Some(false),
        ..RouteChange::default()
    };
    proxy
        .handle()
        .change_route(TestProxy::ROUTE, disable)
        .unwrap();

    assert_eq!(client.ended().await, cleanly(""));
}

#[tokio::test]
async fn stopping_does_not_wait_for_connections_that_know_no_end() {
    let upstream = echo().await;
    let mut proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"ping");

    let draining = tokio::task::spawn_blocking(move || proxy.drain(Duration::from_secs(3_600)));

    assert_eq!(client.ended().await, cleanly(""));
    within("the drain", draining).await.unwrap();
}

#[tokio::test]
async fn a_route_keeps_its_protocol() {
    let upstream = echo().await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let http = RouteChange {
        upstream: Some(Upstream::parse("http://127.0.0.1:9").unwrap()),
        enabled: Some(false),
        ..RouteChange::default()
    };

    let refused = proxy.handle().change_route(TestProxy::ROUTE, http);

    assert!(matches!(refused, Err(RouteError::OtherProtocol { .. })));
    let route = proxy.handle().route(TestProxy::ROUTE).unwrap();
    assert!(route.enabled, "nothing is half done");
}

#[tokio::test]
async fn a_side_that_does_not_read_slows_down_the_other() {
    let (read_on, may_read) = tokio::sync::watch::channel(false);
    let upstream = TestUpstream::raw(move |stream| {
        let mut may_read = may_read.clone();
        async move {
            may_read.wait_for(|may| *may).await.unwrap();
            RawClient::over(stream).expect_pattern(4 * SIZE).await;
        }
    })
    .await;
    let proxy = TestProxy::to_tcp(&upstream).start();
    let mut client = proxy.connect().await;

    let mut sending = JoinSet::new();
    sending.spawn(async move { client.send_pattern(4 * SIZE).await });
    let passed = || proxy.handle().route(TestProxy::ROUTE).unwrap().bytes_in;
    let mut before = 0;
    // The sockets' buffers fill up, and then nothing moves.
    eventually("the flow to stop", || {
        let now = passed();
        let stopped = now > 0 && now == before;
        before = now;
        stopped
    })
    .await;
    assert!(sending.try_join_next().is_none(), "{before} bytes passed");

    read_on.send(true).unwrap();
    within("all bytes", sending.join_all()).await;
    eventually("all bytes to be counted", || passed() == 4 * SIZE).await;
}
