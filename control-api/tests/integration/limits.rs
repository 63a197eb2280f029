//! How much there may be, and how quantities are written.

use brownout_testkit::RawClient;
use serde_json::{Value, json};

use crate::World;

#[tokio::test]
async fn there_are_at_most_a_thousand_faults_leases_and_routes() {
    let world = World::start().await;
    let faults: Vec<Value> = (0..1_000)
        .map(|n| json!({ "id": format!("f{n}"), "route": "web", "abort": 503, "percent": 0 }))
        .collect();
    let (status, answer) = world.call("POST", "/faults", json!(faults)).await;
    assert_eq!(status, 201, "{answer}");
    let one_more = json!({ "id": "more", "route": "web", "abort": 503 });
    for (method, path) in [("POST", "/faults"), ("PUT", "/faults/more")] {
        assert_eq!(
            world.call(method, path, one_more.clone()).await.0,
            429,
            "{method} {path}"
        );
    }
    let replaced = json!({ "route": "web", "abort": 500, "percent": 0 });
    assert_eq!(
        world.call("PUT", "/faults/f0", replaced).await.0,
        200,
        "no further one"
    );
    assert_eq!(world.through("/").await, 200);
    world.delete("/faults/f0").await;
    assert_eq!(world.call("POST", "/faults", one_more).await.0, 201);
    assert_eq!(world.through("/").await, 503);

    for _ in 0..1_000 {
        assert_eq!(
            world
                .call("POST", "/leases", json!({ "ttl": "1h" }))
                .await
                .0,
            201
        );
    }
    assert_eq!(
        world
            .call("POST", "/leases", json!({ "ttl": "1h" }))
            .await
            .0,
        429
    );

    // Those that are disabled take no socket.
    let route = |n: usize| json!({ "name": format!("r{n}"), "listen": "127.0.0.1:0", "upstream": "tcp://127.0.0.1:1", "enabled": false });
    for n in 1..1_000 {
        assert_eq!(world.call("POST", "/routes", route(n)).await.0, 201, "{n}");
    }
    let (status, problem) = world.call("POST", "/routes", route(1_000)).await;
    assert_eq!(status, 429, "{problem}");
}

#[tokio::test]
async fn byte_counts_may_be_numbers_and_durations_may_not() {
    let world = World::start().await;
    for (fault, key, shown) in [
        (
            json!({ "truncate": { "after_bytes": 2 } }),
            "/truncate/after_bytes",
            "2B",
        ),
        (
            json!({ "truncate": { "after_bytes": "2KiB" } }),
            "/truncate/after_bytes",
            "2KiB",
        ),
        (
            json!({ "limit_data": { "bytes": 1_000 }, "layer": "stream" }),
            "/limit_data/bytes",
            "1KB",
        ),
        (
            json!({ "slicer": { "size": 64 }, "layer": "stream" }),
            "/slicer/size",
            "64B",
        ),
    ] {
        let mut fault = fault;
        fault["route"] = "web".into();
        let (status, armed) = world.call("POST", "/faults", fault.clone()).await;
        assert_eq!(status, 201, "{fault}: {armed}");
        assert_eq!(armed.pointer(key), Some(&json!(shown)), "{armed}");
        world.delete("/faults").await;
    }
    world
        .arm(json!({ "route": "web", "truncate": { "after_bytes": 2 } }))
        .await;
    let mut client = RawClient::connect(world.proxy).await;
    client.get("/").await;
    let ended = client.ended().await;
    assert!(
        ended.bytes.ends_with(b"\r\n\r\nhe"),
        "{:?}",
        String::from_utf8_lossy(&ended.bytes)
    );
    world.delete("/faults").await;

    for (fault, key) in [
        (json!({ "latency": 250 }), "/latency"),
        (
            json!({ "latency": { "min": 5, "max": "10s" } }),
            "/latency/min",
        ),
        (json!({ "abort": 503, "ttl": 60 }), "/ttl"),
        (json!({ "abort": 503, "start": 1.5 }), "/start"),
        (json!({ "bandwidth": { "rate": 1_000 } }), "/bandwidth/rate"),
    ] {
        let mut fault = fault;
        fault["route"] = "web".into();
        let (status, problem) = world.call("POST", "/faults", fault.clone()).await;
        assert_eq!(status, 422, "{fault}");
        assert_eq!(problem["errors"][0]["pointer"], key, "{problem}");
        let hint = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(hint.contains('"'), "it shows how to write it: {hint}");
    }
}

#[tokio::test]
async fn every_default_is_written_out() {
    let world = World::start().await;

    let armed = world.arm(json!({ "route": "web", "abort": 503 })).await;

    for (key, default) in [
        ("percent", json!(100)),
        ("per", json!("request")),
        ("skip_first", json!(0)),
        ("every", json!(1)),
        ("offset", json!(0)),
        ("max_active", json!(1000)),
        ("priority", json!(0)),
        ("stealth", json!(false)),
        ("start", json!("0s")),
        ("ttl", json!("10m")),
        ("state", json!("active")),
        ("revision", json!(1)),
    ] {
        assert_eq!(armed[key], default, "{key} of {armed}");
    }
    for counter in [
        "matched",
        "injected",
        "skipped",
        "overflow",
        "active",
        "client_gave_up",
    ] {
        assert_eq!(armed["counters"][counter], 0, "{counter} of {armed}");
    }
}
