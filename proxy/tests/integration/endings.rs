//! A reset is a reset: zero bytes, no FIN, and no neighbour's answer is cut.

use brownout_telemetry::names;
use brownout_testkit::{How, RawClient, TestProxy, TestUpstream};
use serde_json::json;

#[tokio::test]
async fn a_reset_on_a_fresh_connection_is_seen_as_connection_reset_without_a_byte() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "reset": {} }))
        .start();
    let mut client = proxy.connect().await;

    client.get("/").await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
    assert_eq!(upstream.connections(), 0, "the upstream never saw it");
}

#[tokio::test]
async fn a_reset_on_a_warm_connection_is_seen_as_connection_reset_without_a_byte() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");

    proxy.arm(&json!({ "reset": {} }));
    client.get("/").await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_reset_behind_a_pipelined_answer_leaves_that_answer_whole() {
    let answer = "a".repeat(200_000);
    let upstream = TestUpstream::replying(answer.clone()).await;
    let fault = json!({ "reset": {}, "match": { "path": "/second" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    for _ in 0..20 {
        let mut client = proxy.connect().await;

        client
            .send("GET /first HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;

        let first = client.response().await;
        assert_eq!(first.body.len(), answer.len());
        let ended = client.ended().await;
        assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_upload_comes_at_once() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "reset": {} }))
        .start();
    let mut client = proxy.connect().await;

    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nonly this much")
        .await;

    assert_eq!(client.ended().await.how, How::Reset);
}

#[tokio::test]
async fn resetting_one_connection_leaves_its_neighbours_alone() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "reset": {}, "match": { "path": "/bad" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut neighbours: Vec<RawClient> = Vec::new();
    for _ in 0..8 {
        neighbours.push(proxy.connect().await);
    }

    let mut bad = proxy.connect().await;
    bad.get("/bad").await;
    assert_eq!(bad.ended().await.how, How::Reset);

    for neighbour in &mut neighbours {
        neighbour.get("/good").await;
        assert_eq!(neighbour.response().await.text(), "hello");
    }
}

#[tokio::test]
async fn a_fault_that_misses_leaves_an_orderly_close() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "reset": {}, "percent": 0 }))
        .start();
    let mut client = proxy.connect().await;

    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;

    assert_eq!(client.response().await.text(), "hello");
    assert_eq!(client.ended().await.how, How::Fin);
}

#[tokio::test]
async fn a_refusal_counts_how_often_a_route_stopped_listening() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();

    proxy.arm(&json!({ "id": "shut", "refuse": {} }));

    let counters = proxy.fault("shut").counters;
    assert_eq!((counters.matched, counters.injected), (1, 1));
    assert_eq!((counters.skipped, counters.active), (0, 0));
    for name in [names::FAULT_MATCHED, names::FAULT_INJECTED] {
        let metric = proxy.metrics().counter(name, &["web", "refuse"]);
        assert_eq!(metric.total(), 1, "{name:?}");
    }
}
