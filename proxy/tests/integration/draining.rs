//! The end of a gateway.

use std::time::{Duration, Instant};

use brownout_testkit::{How, TestProxy, TestUpstream, eventually};

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
