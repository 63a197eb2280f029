use std::time::{Duration, Instant};

use brownout_proxy::AttemptEnd;
use brownout_testkit::{FullListener, How, RawClient, TestProxy, TestUpstream};
use serde_json::json;
use tokio::time::sleep;

use super::{endings, ends, errors, options};

const SHORT: Duration = Duration::from_millis(150);
/// What a test would wait for if the limit did not hold.
const LONG: Duration = Duration::from_secs(4);

async fn silent() -> TestUpstream {
    TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream.ended().await;
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_does_not_accept_in_the_routes_time_is_a_504_that_says_so() {
    let full = FullListener::new();
    let address = full.address();
    let proxy = TestProxy::to_url(&format!("http://{address}"))
        .with_options(options(|it| it.connect_timeout = SHORT))
        .with_access_log()
        .start();
    let began = Instant::now();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 504);
    let told = answer.text();
    assert!(
        told.contains("did not accept the connection within 150ms"),
        "{told}"
    );
    assert!((SHORT..LONG).contains(&began.elapsed()));
    assert_eq!(endings(&proxy, 1).await, ["timeout"]);
    assert_eq!(ends(&proxy, 1).await, [AttemptEnd::UpstreamError]);
    assert_eq!(errors(&proxy, "timeout"), 1);
}

#[tokio::test]
async fn a_tcp_upstream_that_does_not_accept_in_the_routes_time_resets_the_client() {
    let full = FullListener::new();
    let address = full.address();
    let proxy = TestProxy::to_url(&format!("tcp://{address}"))
        .with_options(options(|it| it.connect_timeout = SHORT))
        .start();
    let began = Instant::now();

    let mut client = proxy.connect().await;

    assert_eq!(client.ended().await.how, How::Reset);
    assert!((SHORT..LONG).contains(&began.elapsed()));
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_the_routes_time_is_a_504_that_says_so() {
    let upstream = silent().await;
    let proxy = TestProxy::to(&upstream)
        .with_options(options(|it| it.head_timeout = Some(SHORT)))
        .with_access_log()
        .start();
    let began = Instant::now();
    let mut client = proxy.connect().await;

    client.get("/").await;
    let answer = client.response().await;

    assert_eq!(answer.status(), 504);
    let told = answer.text();
    assert!(
        told.contains("did not begin its answer within 150ms"),
        "{told}"
    );
    assert!((SHORT..LONG).contains(&began.elapsed()));
    // The client's connection is as good as before.
    client.get("/").await;
    assert_eq!(client.response().await.status(), 504);
    assert_eq!(endings(&proxy, 2).await, ["head_timeout", "head_timeout"]);
    assert_eq!(ends(&proxy, 2).await, [AttemptEnd::UpstreamError; 2]);
    assert_eq!(errors(&proxy, "head_timeout"), 2);
    assert_eq!(
        upstream.connections(),
        2,
        "neither connection was used again"
    );
}

#[tokio::test]
async fn a_100_continue_is_no_answer() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
        upstream.ended().await;
    })
    .await;
    let proxy = TestProxy::to(&upstream)
        .with_options(options(|it| it.head_timeout = Some(SHORT)))
        .start();
    let mut client = proxy.connect().await;

    client.get("/").await;

    assert_eq!(client.response().await.status(), 103);
    assert_eq!(client.response().await.status(), 504);
}

#[tokio::test]
async fn a_body_may_take_longer_than_the_head() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            .await;
        sleep(SHORT * 2).await;
        upstream.send("b").await;
    })
    .await;
    let proxy = TestProxy::to(&upstream)
        .with_options(options(|it| it.head_timeout = Some(SHORT)))
        .start();

    assert_eq!(proxy.get("/").await.text(), "ab");
}

#[tokio::test]
async fn time_of_the_client_and_of_faults_is_not_the_upstreams() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_options(options(|it| it.head_timeout = Some(SHORT)))
        .with_fault(&json!({ "latency": "300ms" }))
        .start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        .await;
    sleep(SHORT * 4).await;
    client.send("b").await;

    assert_eq!(client.response().await.status(), 200);
}
