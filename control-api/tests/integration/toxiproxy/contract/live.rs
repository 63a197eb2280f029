//! Chance, slices, and changes of toxics while connections are open (sections 1, 2.7, 2.13 and 3).

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, within};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::super::{Toxi, said_back};

/// How long each of these connections takes to hear what it said, all at once. In their order.
async fn all_said_back(clients: Vec<RawClient>) -> Vec<(RawClient, Duration)> {
    let mut asking = JoinSet::new();
    for (n, mut client) in clients.into_iter().enumerate() {
        asking.spawn(async move {
            let took = said_back(&mut client, b"ping").await;
            (n, client, took)
        });
    }
    let mut all = within("all answers", asking.join_all()).await;
    all.sort_by_key(|(n, ..)| *n);
    all.into_iter()
        .map(|(_, client, took)| (client, took))
        .collect()
}

async fn connected(toxi: &Toxi, name: &str, count: usize) -> Vec<RawClient> {
    let listen = toxi.get(&format!("/proxies/{name}")).await.1["listen"].clone();
    let listen = listen.as_str().unwrap().parse().unwrap();
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(RawClient::connect(listen).await);
    }
    clients
}

#[tokio::test]
async fn latency_with_jitter_is_spread_around_its_latency() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    let toxic = json!({ "type": "latency", "attributes": { "latency": 150, "jitter": 100 } });
    toxi.toxic("a", toxic).await;

    let all = all_said_back(connected(&toxi, "a", 24).await).await;

    let took: Vec<Duration> = all.iter().map(|(_, took)| *took).collect();
    assert!(
        took.iter().all(|it| *it >= Duration::from_millis(50)),
        "{took:?}"
    );
    // Of 24 draws of even chance, some are of each half.
    assert!(
        took.iter().any(|it| *it >= Duration::from_millis(150)),
        "{took:?}"
    );
    let (_, fault) = toxi.world.get("/faults/a.latency_downstream").await;
    let asked = |key: &str| {
        let text = fault["magnitude"][key]
            .as_str()
            .unwrap_or_else(|| panic!("{fault}"));
        brownout_fault::units::parse_duration(text).unwrap()
    };
    assert!(asked("asked_p50") >= Duration::from_millis(50), "{fault}");
    assert!(asked("asked_p99") <= Duration::from_millis(255), "{fault}");
}

#[tokio::test]
async fn a_latency_that_is_changed_lets_the_chunk_that_waits_go_at_once() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;
    let toxic = json!({ "type": "latency", "attributes": { "latency": 300_000 } });
    toxi.toxic("a", toxic).await;
    let mut client = RawClient::connect(listen).await;
    client.send("first").await;
    let waits = tokio::time::timeout(Duration::from_millis(200), client.read_exact(1)).await;
    assert!(waits.is_err(), "it is held");

    let change = json!({ "attributes": { "latency": 100 } });
    let (status, _) = toxi
        .call("POST /proxies/a/toxics/latency_downstream", change)
        .await;

    assert_eq!(status, 200);
    assert_eq!(client.read_exact(5).await, b"first");
    assert!(said_back(&mut client, b"next").await >= Duration::from_millis(100));
}

#[tokio::test]
async fn slicer_makes_slices_around_the_average_and_pauses_behind_the_last_one_too() {
    let toxi = Toxi::start().await;
    let listen = toxi.proxy("a").await;
    let toxic = json!({
        "type": "slicer", "attributes": { "average_size": 64, "size_variation": 32, "delay": 400_000 },
    });
    toxi.toxic("a", toxic).await;
    let mut stream = TcpStream::connect(listen).await.unwrap();
    stream.set_nodelay(true).unwrap();

    stream.write_all(&[7; 512]).await.unwrap();
    let mut slices = Vec::new();
    let read = async {
        let mut slice = [0; 1_024];
        while slices.iter().sum::<usize>() < 512 {
            slices.push(stream.read(&mut slice).await.unwrap());
        }
    };
    within("all slices", read).await;

    // The average less the variation to the average with it; the rest of a chunk may be smaller, and slices come as one
    // where this test is late: with a pause of 400 ms between them, not many.
    assert!(slices.len() >= 4, "{slices:?}");
    assert!(
        slices.iter().any(|it| (16..=128).contains(it)),
        "{slices:?}"
    );
    let in_bounds = slices.iter().filter(|it| **it <= 96).count();
    assert!(in_bounds * 2 >= slices.len(), "{slices:?}");

    // One slice each, the second right behind the first: it waits out the first one's pause.
    let mut client = RawClient::connect(listen).await;
    let began = Instant::now();
    for word in [b"one", b"two", b"six"] {
        said_back(&mut client, word).await;
    }
    assert!(
        began.elapsed() >= Duration::from_millis(2 * 400),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn the_draw_of_a_toxicity_is_kept_over_an_update_that_changes_nothing() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    let toxic = json!({ "type": "latency", "toxicity": 0.5, "attributes": { "latency": 2_000 } });
    toxi.toxic("a", toxic).await;
    let is_slow = |all: &[(RawClient, Duration)]| -> Vec<bool> {
        all.iter()
            .map(|(_, took)| *took >= Duration::from_secs(2))
            .collect()
    };

    let all = all_said_back(connected(&toxi, "a", 24).await).await;
    let slow = is_slow(&all);
    assert!(slow.contains(&true) && slow.contains(&false), "{slow:?}");
    let mut clients: Vec<RawClient> = all.into_iter().map(|(client, _)| client).collect();
    for same in [
        json!({}),
        json!({ "toxicity": 0.5, "attributes": { "latency": 2_000 } }),
    ] {
        let (status, _) = toxi
            .call("POST /proxies/a/toxics/latency_downstream", same)
            .await;
        assert_eq!(status, 200);
        let again = all_said_back(clients).await;
        // A machine that stands still makes a quick one slow, never a slow one quick.
        let now = is_slow(&again);
        assert!(
            slow.iter().zip(&now).all(|(was, is)| !was || *is),
            "{slow:?} {now:?}"
        );
        clients = again.into_iter().map(|(client, _)| client).collect();
    }
}

#[tokio::test]
async fn reset_peer_of_a_share_resets_its_share_of_connections_old_and_new_and_leaves_the_others() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    let all = all_said_back(connected(&toxi, "a", 24).await).await;
    let before: Vec<RawClient> = all.into_iter().map(|(client, _)| client).collect();
    toxi.toxic("a", json!({ "type": "reset_peer", "toxicity": 0.5 }))
        .await;
    let after = connected(&toxi, "a", 24).await;

    for clients in [before, after] {
        let mut resets = 0;
        for mut client in clients {
            client.send("ping").await;
            client.finish().await;
            let ended = client.ended().await;
            match ended.how {
                How::Fin => assert_eq!(ended.bytes, b"ping"),
                How::Reset => {
                    assert!(ended.bytes.is_empty());
                    resets += 1;
                }
            }
        }
        assert!((1..24).contains(&resets), "{resets}");
    }
}

#[tokio::test]
async fn small_toxicities_are_printed_as_the_original_prints_them() {
    let toxi = Toxi::start().await;
    toxi.proxy("a").await;
    for (name, toxicity, printed) in [
        ("a", "0.00001", "0.00001"),
        ("b", "1e-7", "1e-7"),
        ("c", "0.33333334", "0.33333334"),
        ("d", "1.0", "1"),
    ] {
        let body = format!(r#"{{"name":"{name}","type":"noop","toxicity":{toxicity}}}"#);
        let answer = toxi.raw("POST /proxies/a/toxics", &body).await.text();
        assert!(
            answer.contains(&format!(r#""toxicity":{printed}}}"#)),
            "{answer}"
        );
    }
}
