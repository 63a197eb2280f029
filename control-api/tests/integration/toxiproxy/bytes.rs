//! What becomes of the bytes under toxics.

use std::time::Duration;

use brownout_testkit::{How, RawClient, eventually, within};
use serde_json::{Value, json};

use super::{Toxi, said_back};

#[tokio::test]
async fn toxics_do_to_bytes_what_the_original_does() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("db").await;
    let add = async |body: Value| toxi.toxic("db", body).await;
    let reset = async || assert_eq!(toxi.raw("POST /reset", "").await.status(), 204);

    // Nothing passes, nothing is lost, and it goes on when it is removed.
    let mut client = RawClient::connect(listen).await;
    said_back(&mut client, b"ping").await;
    add(json!({ "type": "bandwidth", "attributes": { "rate": 0 } })).await;
    client.send("held").await;
    reset().await;
    assert_eq!(client.read_exact(4).await, b"held");

    // 1 KB is 1,000 bytes.
    add(json!({ "type": "bandwidth", "attributes": { "rate": 100 } })).await;
    let took = said_back(&mut client, &[7; 50_000]).await;
    assert!(took >= Duration::from_millis(400), "{took:?}");
    reset().await;

    // Bytes are swallowed, then the connection is closed; on removal as well, as bytes were lost.
    add(json!({ "type": "timeout", "attributes": { "timeout": 100 } })).await;
    client.send("lost").await;
    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
    reset().await;
    let mut client = RawClient::connect(listen).await;
    said_back(&mut client, b"ping").await;
    add(json!({ "type": "timeout", "attributes": { "timeout": 0 } })).await;
    client.send("lost").await;
    let shown = async || {
        toxi.get("/proxies/db/toxics")
            .await
            .1
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(shown().await, 1);
    let counted = async || {
        let (_, faults) = toxi.world.get("/faults").await;
        faults["faults"][0]["counters"]["injected"].as_u64() >= Some(1)
    };
    within("the connection to meet it", async {
        while !counted().await {}
    })
    .await;
    reset().await;
    assert!(client.ended().await.bytes.is_empty());

    // A real reset, on connections that were open before as well.
    let mut open = RawClient::connect(listen).await;
    said_back(&mut open, b"ping").await;
    add(json!({ "type": "reset_peer", "attributes": { "timeout": 0 } })).await;
    open.send("data").await;
    assert_eq!(open.ended().await.how, How::Reset);
    reset().await;

    // Small pieces, none lost.
    let mut client = RawClient::connect(listen).await;
    add(json!({ "type": "slicer", "attributes": { "average_size": 64, "size_variation": 32, "delay": 10 } })).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(4_000).collect();
    said_back(&mut client, &bytes).await;
    reset().await;

    // Toxicity 0 does nothing.
    add(json!({ "type": "reset_peer", "toxicity": 0 })).await;
    said_back(&mut RawClient::connect(listen).await, b"ping").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_freezes_no_call() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("db").await;
    let latency = json!({ "type": "latency", "attributes": { "latency": 200 } });
    toxi.toxic("db", latency).await;
    let mut deaf = RawClient::connect(listen).await;
    let chunk = vec![7; 256 * 1024];
    // Until nobody takes any more.
    while tokio::time::timeout(Duration::from_millis(300), deaf.try_send(&chunk))
        .await
        .is_ok()
    {}

    // The original hangs for 25 s and more, which is longer than anything is waited for here. The promise of 50 ms for each
    // is measured by `.ci/attack`.
    assert_eq!(
        toxi.raw("DELETE /proxies/db/toxics/latency_downstream", "")
            .await
            .status(),
        204
    );
    assert_eq!(toxi.get("/proxies").await.0, 200);
    assert_eq!(toxi.raw("POST /reset", "").await.status(), 204);
    toxi.call("POST /proxies/db", json!({ "enabled": false }))
        .await;
    assert_eq!(toxi.raw("DELETE /proxies/db", "").await.status(), 204);

    let gone = || std::net::TcpStream::connect(listen).is_err();
    eventually("the proxy to be gone", gone).await;
}
