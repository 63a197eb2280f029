//! The end of a gateway.

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, eventually};

async fn slow(release: &tokio::sync::watch::Sender<bool>) -> TestUpstream {
    let wait = release.subscribe();
    TestUpstream::serving(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(http_body_util::Full::new("late".into()))
        }
    })
    .await
}

#[tokio::test]
async fn draining_lets_requests_end_and_closes_what_is_idle() {
    let release = tokio::sync::watch::Sender::new(false);
    let upstream = slow(&release).await;
    let mut proxy = TestProxy::to(&upstream).start();
    let mut idle = proxy.connect().await;
    let mut busy = proxy.connect().await;
    busy.get("/").await;
    eventually("the upstream to be asked", || {
        upstream.received().len() == 1
    })
    .await;
    let address = proxy.address();

    let draining = tokio::task::spawn_blocking(move || proxy.drain(Duration::from_secs(60)));
    assert_eq!(idle.ended().await.how, How::Fin);
    eventually("new connections to be refused", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    release.send_replace(true);

    assert_eq!(busy.response().await.text(), "late");
    draining.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let release = tokio::sync::watch::Sender::new(false);
    let upstream = slow(&release).await;
    let mut proxy = TestProxy::to(&upstream).start();
    let mut busy = proxy.connect().await;
    busy.get("/").await;
    eventually("the upstream to be asked", || {
        upstream.received().len() == 1
    })
    .await;

    let began = Instant::now();
    tokio::task::spawn_blocking(move || proxy.drain(Duration::from_millis(100)))
        .await
        .unwrap();

    assert!(began.elapsed() >= Duration::from_millis(100));
    assert!(busy.ended().await.bytes.is_empty());
}

/// An upstream that sends `head`, then what it is told to.
async fn telling(
    head: &'static str,
) -> (TestUpstream, tokio::sync::broadcast::Sender<&'static str>) {
    let (tell, _) = tokio::sync::broadcast::channel::<&'static str>(16);
    let told = tell.clone();
    let upstream = TestUpstream::raw(move |stream| {
        let mut told = told.subscribe();
        async move {
            let mut upstream = RawClient::over(stream);
            upstream.head().await;
            upstream.send(head).await;
            while let Ok(bytes) = told.recv().await {
                if upstream.try_send(bytes.as_bytes()).await.is_err() {
                    return; // The proxy has left.
                }
            }
        }
    })
    .await;
    (upstream, tell)
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_last_chunk_between_two_events() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                           Transfer-Encoding: chunked\r\n\r\n";
    const UNSIZED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    for (head, half, rest) in [
        (
            CHUNKED,
            "9\r\ndata: 1\n\n\r\n6\r\ndata: \r\n",
            "3\r\n2\n\n\r\n",
        ),
        (UNSIZED, "data: 1\n\ndata: ", "2\n\n"),
    ] {
        let (upstream, tell) = telling(head).await;
        let mut proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.head().await;
        eventually("the upstream to listen", || tell.receiver_count() == 1).await;
        tell.send(half).unwrap();
        // In chunks, as they came or as the proxy made them.
        let first = if head == CHUNKED {
            half
        } else {
            "f\r\ndata: 1\n\ndata: \r\n"
        };
        assert_eq!(client.read_exact(first.len()).await, first.as_bytes());

        let address = proxy.address();
        let draining = tokio::task::spawn_blocking(move || proxy.drain(Duration::from_secs(60)));
        eventually("new connections to be refused", || {
            std::net::TcpStream::connect(address).is_err()
        })
        .await;
        // It waits for the end of the event that has begun.
        tell.send(rest).unwrap();

        let ended = client.ended().await;
        assert_eq!(
            String::from_utf8(ended.bytes).unwrap(),
            "3\r\n2\n\n\r\n0\r\n\r\n",
            "{head}"
        );
        assert_eq!(ended.how, How::Fin);
        draining.await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_of_something_else_is_not_cut_short_as_if_it_were_whole() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (upstream, tell) = telling(head).await;
    let mut proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    client.head().await;
    eventually("the upstream to listen", || tell.receiver_count() == 1).await;
    tell.send("2\r\n\n\n\r\n").unwrap();
    client.read_exact(7).await;

    tokio::task::spawn_blocking(move || proxy.drain(Duration::from_millis(200)))
        .await
        .unwrap();

    assert!(client.ended().await.bytes.is_empty());
}
