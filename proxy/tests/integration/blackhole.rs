//! `blackhole` takes a request and never answers it, or swallows what a connection says.

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, TestProxy, TestUpstream, eventually};
use serde_json::json;

#[tokio::test]
async fn removing_a_blackhole_resets_what_it_holds() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "id": "hole", "blackhole": {} }))
        .start();
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n")
        .await;
    client.send(vec![b'x'; 2_000_000]).await;
    eventually("the request to be held", || {
        proxy.fault("hole").counters.active == 1
    })
    .await;

    proxy.disarm("hole");

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn it_ends_by_itself_after_its_hold_as_asked() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "blackhole": { "hold": "100ms", "then": "close" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    let began = Instant::now();

    client.get("/").await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_client_that_gives_up_is_counted() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "id": "hole", "blackhole": {} }))
        .start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    eventually("the request to be held", || {
        proxy.fault("hole").counters.active == 1
    })
    .await;

    drop(client);

    eventually("the hold to end", || {
        proxy.fault("hole").counters.active == 0
    })
    .await;
    assert_eq!(proxy.fault("hole").counters.client_gave_up, 1);
}

#[tokio::test]
async fn a_blackhole_on_a_connection_ends_once_both_sides_have_said_all() {
    for direction in ["upstream", "downstream"] {
        for (then, how) in [("close", How::Fin), ("reset", How::Reset)] {
            // It says all it has to say at once in one case, and after its client in the other.
            let upstream = TestUpstream::raw(move |stream| async move {
                let mut client = RawClient::over(stream);
                if direction == "upstream" {
                    client.finish().await;
                }
                client.ended().await;
            })
            .await;
            let fault = json!({ "blackhole": { "then": then }, "direction": direction });
            let proxy = TestProxy::to_tcp(&upstream).with_fault(&fault).start();
            let mut client = proxy.connect().await;

            client.send("lost").await;
            client.finish().await;

            eventually("the connection to be over", || {
                proxy.handle().route(TestProxy::ROUTE).unwrap().connections == 0
            })
            .await;
            if direction == "downstream" {
                assert_eq!(client.ended().await.how, how, "{then}");
            }
        }
    }
}
