//! What each toxic does to the bytes (sections 1 and 2.7).

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, within};
use serde_json::{Value, json};

use super::super::{Toxi, said_back};

/// A proxy with one toxic, and an open connection through it.
async fn under(toxic: Value) -> (Toxi, RawClient) {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;
    toxi.toxic("a", toxic).await;
    let client = RawClient::connect(listen).await;
    (toxi, client)
}

async fn remove(toxi: &Toxi, name: &str) {
    let call = format!("DELETE /proxies/a/toxics/{name}");
    assert_eq!(toxi.raw(&call, "").await.status(), 204);
}

#[tokio::test]
async fn latency_is_counted_from_the_arrival_of_each_message_so_that_pipelined_ones_do_not_add_up()
{
    let (_toxi, mut client) =
        under(json!({ "type": "latency", "attributes": { "latency": 1_500 } })).await;
    let began = Instant::now();
    for _ in 0..20 {
        client.send("x").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // One behind the other they would take 30 s, which is longer than anything is waited for here.
    assert_eq!(client.read_exact(20).await, [b'x'; 20]);

    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_590), "{took:?}");
}

#[tokio::test]
async fn latency_of_several_toxics_adds_up_and_a_negative_wait_is_none() {
    let (toxi, mut client) =
        under(json!({ "type": "latency", "attributes": { "latency": 60 } })).await;
    let more = json!({ "type": "latency", "name": "more", "attributes": { "latency": 60 } });
    toxi.toxic("a", more).await;
    assert!(said_back(&mut client, b"ping").await >= Duration::from_millis(120));
    toxi.raw("POST /reset", "").await;
    let none = json!({ "type": "latency", "attributes": { "latency": -500 } });
    toxi.toxic("a", none).await;
    said_back(&mut client, b"ping").await;
}

#[tokio::test]
async fn latency_delays_neither_the_connect_nor_a_bare_end() {
    let (_toxi, mut client) =
        under(json!({ "type": "latency", "attributes": { "latency": 60_000 } })).await;

    client.finish().await;

    assert_eq!(client.ended().await.how, How::Fin);
}

#[tokio::test]
async fn latency_that_is_removed_lets_what_waits_go_in_order() {
    let (toxi, mut client) =
        under(json!({ "type": "latency", "attributes": { "latency": 60_000 } })).await;
    client.send_pattern(100_000).await;

    remove(&toxi, "latency_downstream").await;

    client.expect_pattern(100_000).await;
}

#[tokio::test]
async fn bandwidth_counts_1000_bytes_a_kilobyte_for_each_connection() {
    let (_toxi, mut client) =
        under(json!({ "type": "bandwidth", "attributes": { "rate": 100 } })).await;

    let took = said_back(&mut client, &[7; 40_000]).await;

    assert!(took >= Duration::from_millis(350), "{took:?}");
}

#[tokio::test]
async fn bandwidth_0_stalls_without_loss_and_goes_on_when_it_is_changed() {
    let (toxi, mut client) =
        under(json!({ "type": "bandwidth", "attributes": { "rate": 0 } })).await;
    client.send("held").await;

    let faster = json!({ "attributes": { "rate": 1_000 } });
    let call = "POST /proxies/a/toxics/bandwidth_downstream";
    assert_eq!(toxi.call(call, faster).await.0, 200);

    assert_eq!(client.read_exact(4).await, b"held");
}

#[tokio::test]
async fn timeout_starts_anew_with_every_chunk() {
    let (_toxi, mut client) = under(
        json!({ "type": "timeout", "stream": "upstream", "attributes": { "timeout": 2_000 } }),
    )
    .await;
    let began = Instant::now();
    // So often that a machine that stands still for a second makes no pause of the timeout's length.
    let chunks = async {
        while began.elapsed() < Duration::from_millis(2_500) {
            client.send("lost").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    chunks.await;

    let ended = client.ended().await;

    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
    assert!(began.elapsed() >= Duration::from_millis(4_450));
}

#[tokio::test]
async fn timeout_0_never_closes_until_it_is_removed() {
    let (toxi, mut client) =
        under(json!({ "type": "timeout", "attributes": { "timeout": 0 } })).await;
    client.send("lost").await;
    let waiting = tokio::time::timeout(Duration::from_millis(300), client.read_exact(1)).await;
    assert!(waiting.is_err());

    remove(&toxi, "timeout_downstream").await;

    // Bytes were lost, so it ends: with a FIN, as the original closes it.
    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
}

#[tokio::test]
async fn reset_peer_lets_an_idle_connection_be_and_resets_it_with_the_first_data() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;
    let mut before = RawClient::connect(listen).await;
    said_back(&mut before, b"ping").await;
    toxi.toxic("a", json!({ "type": "reset_peer" })).await;
    let mut after = RawClient::connect(listen).await;

    for client in [&mut before, &mut after] {
        let idle = tokio::time::timeout(Duration::from_millis(300), client.read_exact(1)).await;
        assert!(idle.is_err(), "nothing happens without data");
        client.send("ping").await;
        let ended = client.ended().await;
        assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
    }
}

#[tokio::test]
async fn reset_peer_waits_for_its_timeout_from_the_first_data_on() {
    let (_toxi, mut client) =
        under(json!({ "type": "reset_peer", "attributes": { "timeout": 300 } })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();

    client.send("ping").await;
    let ended = client.ended().await;

    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn reset_peer_takes_the_end_of_its_direction_for_data_and_removed_in_time_does_nothing() {
    let (toxi, mut client) = under(json!({ "type": "reset_peer", "stream": "upstream" })).await;
    client.finish().await;
    assert_eq!(client.ended().await.how, How::Reset);

    let listen = toxi.get("/proxies/a").await.1["listen"].clone();
    let listen = listen.as_str().unwrap().parse().unwrap();
    let mut idle = RawClient::connect(listen).await;
    let met = async {
        while toxi.world.get("/faults").await.1["faults"][0]["counters"]["injected"] != 2 {}
    };
    within("the connection to meet the toxic", met).await;
    remove(&toxi, "reset_peer_upstream").await;
    said_back(&mut idle, b"ping").await;
}

#[tokio::test]
async fn slow_close_delays_the_close_and_nothing_else() {
    let (toxi, mut client) =
        under(json!({ "type": "slow_close", "attributes": { "delay": 600_000 } })).await;
    // Nothing is waited for so long here: data is not delayed.
    said_back(&mut client, b"ping").await;
    let shorter = json!({ "attributes": { "delay": 400 } });
    let call = "POST /proxies/a/toxics/slow_close_downstream";
    assert_eq!(toxi.call(call, shorter).await.0, 200);
    let began = Instant::now();

    client.finish().await;

    assert_eq!(client.ended().await.how, How::Fin);
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn slicer_pauses_behind_every_slice_and_loses_nothing() {
    let (_toxi, mut client) =
        under(json!({ "type": "slicer", "attributes": { "average_size": 100, "delay": 20_000 } }))
            .await;
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();

    let took = said_back(&mut client, &bytes).await;

    // Ten slices, and a pause behind each of the first nine at least.
    assert!(took >= Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn limit_data_passes_exactly_so_many_bytes_from_when_it_joined_and_then_closes() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;
    let mut client = RawClient::connect(listen).await;
    said_back(&mut client, b"before").await;
    let toxic = json!({ "type": "limit_data", "attributes": { "bytes": 10 } });
    toxi.toxic("a", toxic).await;
    said_back(&mut client, b"123456").await;
    // A change keeps what was counted.
    let call = "POST /proxies/a/toxics/limit_data_downstream";
    toxi.call(call, json!({ "attributes": { "bytes": 8 } }))
        .await;

    client.send("7890").await;
    let ended = client.ended().await;

    assert_eq!((ended.bytes.as_slice(), ended.how), (&b"78"[..], How::Fin));
}

#[tokio::test]
async fn limit_data_0_closes_with_the_first_data() {
    let (_toxi, mut client) = under(json!({ "type": "limit_data" })).await;
    let idle = tokio::time::timeout(Duration::from_millis(200), client.read_exact(1)).await;
    assert!(idle.is_err());

    client.send("x").await;

    let ended = client.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Fin));
}

#[tokio::test]
async fn upstream_is_from_client_to_server_and_each_direction_is_by_itself() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;
    for (stream, name) in [("upstream", "u"), ("downstream", "d")] {
        let toxic = json!({ "type": "latency", "stream": stream, "name": name, "attributes": { "latency": 50 } });
        toxi.toxic("a", toxic).await;
    }
    let mut client = RawClient::connect(listen).await;

    assert!(said_back(&mut client, b"ping").await >= Duration::from_millis(100));
    remove(&toxi, "u").await;
    assert!(said_back(&mut client, b"ping").await >= Duration::from_millis(50));
}
