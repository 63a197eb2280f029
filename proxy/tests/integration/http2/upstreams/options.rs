//! Options of a route whose upstream speaks HTTP/2.

use std::time::Duration;

use brownout_proxy::{HostField, HttpVersion, UpstreamOptions};
use brownout_testkit::{FullListener, TestProxy, TestUpstream, eventually};
use tokio::time::sleep;

use super::{Ordering, Upstream, spoken};

const SHORT: Duration = Duration::from_millis(150);

fn options(change: impl FnOnce(&mut UpstreamOptions)) -> UpstreamOptions {
    let mut options = UpstreamOptions {
        http: HttpVersion::Http2,
        ..UpstreamOptions::default()
    };
    change(&mut options);
    options
}

#[tokio::test]
async fn an_upstream_that_does_not_accept_in_the_routes_time_is_a_504() {
    let full = FullListener::new();
    let proxy = TestProxy::to_url(&format!("http://{}", full.address()))
        .with_options(options(|it| it.connect_timeout = SHORT))
        .start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 504);
    let told = answer.text();
    assert!(told.contains("within 150ms"), "{told}");
}

#[tokio::test]
async fn a_server_that_does_not_accept_is_tried_last_from_then_on() {
    let full = FullListener::new();
    let upstream = Upstream::start().await;
    let url = format!("http://{},http://{}", full.address(), upstream.address);
    let proxy = spoken(&url, HttpVersion::Http2).start();

    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.status(), 200);
    }

    let servers = proxy.handle().route(proxy.route()).unwrap().servers;
    assert!(
        servers[0].is_failing && !servers[1].is_failing,
        "{servers:?}"
    );
    assert_eq!(servers[0].connect_failures, 1, "one request has waited");
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_a_504_and_its_connection_is_used_on() {
    let upstream = Upstream::start().await;
    let proxy = (upstream.proxy())
        .with_options(options(|it| it.head_timeout = Some(SHORT)))
        .start();

    let answer = proxy.get("/hang").await;

    assert_eq!(answer.status(), 504);
    let cancelled = || upstream.seen.cancelled.load(Ordering::Relaxed);
    eventually("the stream to be cancelled", || cancelled() == 1).await;
    assert_eq!(proxy.get("/").await.status(), 200);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn where_no_stream_is_free_in_time_it_is_a_503_that_says_so() {
    let upstream = Upstream::with(1).await;
    let proxy = (upstream.proxy())
        .with_options(options(|it| {
            it.pool.max_connections = Some(1);
            it.connect_timeout = SHORT;
        }))
        .start();
    let mut first = proxy.connect().await;
    // Until its SETTINGS have come an upstream takes more.
    first.get("/").await;
    assert_eq!(first.response().await.status(), 200);
    first.get("/hang").await;
    eventually("the request", || upstream.requests() == 2).await;

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 503);
    let told = answer.text();
    assert!(told.contains("has all 1 connections"), "{told}");
    drop(first);
    assert_eq!(proxy.get("/").await.status(), 200);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn paths_and_the_host_are_those_of_the_upstream() {
    let upstream = Upstream::start().await;
    let at = upstream.address.to_string();
    for (host, authority) in [
        (HostField::Upstream, at.as_str()),
        (HostField::Text("shop.test".to_owned()), "shop.test"),
    ] {
        let proxy = TestProxy::to_url(&format!("http://{at}/v1"))
            .with_options(options(|it| it.path_prefix = Some("/api".to_owned())))
            .with_host(host)
            .start();

        proxy.get("/api/items?page=2").await;

        let last = upstream.seen.requests.lock().unwrap().pop().unwrap();
        assert_eq!(last.uri().path_and_query().unwrap(), "/v1/items?page=2");
        assert_eq!(last.uri().authority().unwrap(), authority);
    }
}

#[tokio::test]
async fn a_connection_that_was_unused_for_too_long_is_not_used_again() {
    let upstream = Upstream::start().await;
    let timeout = Duration::from_millis(50);
    let proxy = (upstream.proxy())
        .with_options(options(|it| {
            it.pool.idle_timeout = timeout;
            it.pool.max_connections = Some(1);
        }))
        .start();

    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.status(), 200);
        sleep(timeout * 2).await;
    }

    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn an_upstream_may_be_behind_a_unix_socket() {
    let files = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", files.path().join("h2").display());
    let upstream = TestUpstream::replying("hello").await;
    let second = TestProxy::to(&upstream)
        .with_listen(&socket)
        .with_access_log()
        .start();
    let first = spoken(&socket, HttpVersion::Http2).start();

    assert_eq!(first.get("/").await.text(), "hello");

    eventually("the line", || second.access_lines().len() == 1).await;
    assert_eq!(second.access_lines()[0]["http_version"], "2");
}
