use brownout_testkit::{How, RawClient, eventually};
use serde_json::json;

use crate::World;

#[tokio::test]
async fn an_outage_is_started_seen_and_ended() {
    let world = World::start().await;
    assert_eq!(world.through("/").await, 200);

    let response = world
        .raw("POST", "/faults", r#"{"route":"web","abort":503}"#)
        .await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.values("location"), ["/faults/abort-1"]);
    assert_eq!(response.values("content-type"), ["application/json"]);
    assert_eq!(world.through("/").await, 503);

    let (status, fault) = world.get("/faults/abort-1").await;
    assert_eq!(status, 200);
    assert_eq!(fault["state"], "active");
    assert_eq!(fault["counters"]["injected"], 1);
    assert_eq!(fault["counters"]["matched"], 1);

    assert_eq!(world.delete("/faults/abort-1").await.0, 200);
    assert_eq!(world.through("/").await, 200);
    assert_eq!(world.get("/faults").await, (200, json!({ "faults": [] })));
}

#[tokio::test]
async fn a_fault_on_every_route_says_what_it_did_on_each() {
    let world = World::start().await;
    let other =
        json!({ "name": "other", "listen": "127.0.0.1:0", "upstream": world.upstream.url() });
    let (_, other) = world.call("POST", "/routes", other).await;
    let other = other["listen"].as_str().unwrap().parse().unwrap();
    // Half of the requests, in turn; and a body for which it shows only then that there is nothing to act on.
    let faults = json!([
        { "id": "half", "route": "*", "abort": 503, "every": 2 },
        { "id": "late", "route": ["web", "other"], "truncate": { "after_bytes": "1MB" }, "match": { "path": "/late" } },
        { "id": "one", "route": "web", "abort": 503, "match": { "path": "/one" } },
    ]);
    assert_eq!(world.call("POST", "/faults", faults).await.0, 201);
    let on_other = async |path: &str| {
        let mut client = RawClient::connect(other).await;
        client.get(path).await;
        client.response().await.status()
    };
    for (path, is_other) in [
        ("/", false),
        ("/", true),
        ("/", true),
        ("/late", true),
        ("/late", false),
        ("/one", false),
    ] {
        match is_other {
            true => on_other(path).await,
            false => world.through(path).await,
        };
    }

    let by_route = async |id: &str| world.get(&format!("/faults/{id}")).await.1["by_route"].clone();
    let half = by_route("half").await;
    assert_eq!(
        half,
        json!({ "web": { "matched": 3, "injected": 2 }, "other": { "matched": 3, "injected": 1 } })
    );
    assert_eq!(
        by_route("late").await,
        json!({ "web": { "matched": 1, "injected": 0 }, "other": { "matched": 1, "injected": 0 } })
    );
    assert_eq!(by_route("one").await, json!(null), "it names one route");
    world.delete("/faults/half").await;
    assert_eq!(by_route("half").await, half, "it has ended");
}

#[tokio::test]
async fn a_warm_connection_sees_the_reset_and_its_end() {
    let world = World::start().await;
    let mut warm = RawClient::connect(world.proxy).await;
    warm.get("/").await;
    assert_eq!(warm.response().await.status(), 200);

    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "out", "route": "web", "reset": {} }),
        )
        .await;
    warm.get("/").await;
    let ended = warm.ended().await;
    assert_eq!((ended.bytes.len(), ended.how), (0, How::Reset));

    world.delete("/faults/out").await;
    assert_eq!(world.through("/").await, 200);
    assert_eq!(world.upstream.received().len(), 2);
}

#[tokio::test]
async fn the_answer_says_how_the_fault_was_understood() {
    let world = World::start().await;

    let body =
        json!({ "route": "web", "latency": { "p50": "120ms", "p99": "900ms" }, "percent": 20 });
    let (status, fault) = world.call("POST", "/faults", body).await;

    assert_eq!(status, 201);
    assert_eq!(fault["id"], "latency-1");
    assert_eq!(
        fault["latency"],
        json!({ "p50": "120ms", "p99": "900ms", "cap": "30s", "mode": "add", "side": "request" })
    );
    assert_eq!(fault["percent"], 20);
    assert_eq!(fault["ttl"], "10m");
    let times = ["created_at", "expires_at"].map(|key| {
        fault[key]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    });
    assert_eq!(times[1].duration_since(times[0]).as_secs(), 600);
}

#[tokio::test]
async fn a_list_is_armed_whole_or_not_at_all() {
    let world = World::start().await;

    let (status, armed) = world
        .call(
            "POST",
            "/faults",
            json!([
                { "id": "a", "route": "web", "abort": 503 },
                { "id": "b", "route": "*", "latency": "1ms" },
            ]),
        )
        .await;
    assert_eq!(status, 201);
    assert_eq!(armed["faults"].as_array().unwrap().len(), 2);

    let (status, problem) = world
        .call(
            "POST",
            "/faults",
            json!([
                { "id": "c", "route": "web", "abort": 503 },
                { "id": "d", "route": "wbe", "abort": 999 },
            ]),
        )
        .await;
    assert_eq!(status, 422);
    assert_eq!(problem["errors"][0]["pointer"], "/1/abort");
    let (status, _) = world
        .call(
            "POST",
            "/faults",
            json!([
                { "id": "c", "route": "web", "abort": 503 },
                { "id": "a", "route": "web", "abort": 503 },
            ]),
        )
        .await;
    assert_eq!(status, 409);
    assert_eq!(world.get("/faults/c").await.0, 404);
}

#[tokio::test]
async fn put_creates_then_replaces() {
    let world = World::start().await;

    let (created, _) = world
        .call("PUT", "/faults/x", json!({ "route": "web", "abort": 503 }))
        .await;
    assert_eq!(world.through("/").await, 503);
    let (replaced, fault) = world
        .call("PUT", "/faults/x", json!({ "route": "web", "abort": 418 }))
        .await;

    assert_eq!((created, replaced), (201, 200));
    assert_eq!(fault["counters"]["matched"], 0);
    assert_eq!(world.through("/").await, 418);
}

#[tokio::test]
async fn a_patch_is_seen_from_the_next_request_and_keeps_the_counters() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "x", "route": "web", "abort": 503 }),
        )
        .await;
    let mut warm = RawClient::connect(world.proxy).await;
    warm.get("/").await;
    assert_eq!(warm.response().await.status(), 503);

    let (status, fault) = world
        .call("PATCH", "/faults/x", json!({ "abort": { "status": 500 } }))
        .await;

    assert_eq!(status, 200);
    assert_eq!(fault["counters"]["injected"], 1);
    warm.get("/").await;
    assert_eq!(warm.response().await.status(), 500);
}

#[tokio::test]
async fn faults_are_listed_by_route_and_state() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/routes",
            json!({
                "name": "other", "listen": "127.0.0.1:0", "upstream": world.upstream.url(),
            }),
        )
        .await;
    world
        .call(
            "POST",
            "/faults",
            json!([
                { "id": "a", "route": "web", "abort": 503, "limit": 1 },
                { "id": "b", "route": "other", "abort": 503 },
                { "id": "c", "route": "*", "latency": "1ms", "start": "1h", "ttl": "none" },
            ]),
        )
        .await;
    world.through("/").await;

    let ids = async |path: &str| {
        let (status, list) = world.get(path).await;
        assert_eq!(status, 200, "{path}");
        let faults = list["faults"].as_array().unwrap().clone();
        faults
            .iter()
            .map(|fault| fault["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("/faults").await, ["a", "b", "c"]);
    assert_eq!(ids("/faults?route=web").await, ["a", "c"]);
    assert_eq!(ids("/faults?state=spent").await, ["a"]);
    assert_eq!(ids("/faults?state=waiting").await, ["c"]);
    assert_eq!(ids("/faults?route=other&state=active").await, ["b"]);
}

#[tokio::test]
async fn an_expired_fault_is_gone_and_lets_go_what_it_holds() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "x", "route": "web", "blackhole": {}, "ttl": "2s" }),
        )
        .await;
    let mut client = RawClient::connect(world.proxy).await;
    client.get("/").await;

    // Nobody asks for anything: the control thread's own timer ends it.
    assert_eq!(client.ended().await.how, How::Reset);
    assert_eq!(world.get("/faults/x").await.1["reason"], "expired");
    let again = json!({ "id": "x", "route": "web", "abort": 503 });
    assert_eq!(world.call("POST", "/faults", again).await.0, 201);
}

#[tokio::test]
async fn clearing_removes_all_and_lets_go_what_they_hold() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "x", "route": "web", "latency": "1h" }),
        )
        .await;
    let mut held = RawClient::connect(world.proxy).await;
    held.get("/").await;
    world.until_held("x").await;

    let (status, gone) = world.delete("/faults").await;
    assert_eq!((status, &gone["removed"]), (200, &json!(["x"])));
    assert_eq!(gone["faults"][0]["counters"]["matched"], 1);

    assert_eq!(held.response().await.status(), 200);
    assert_eq!(world.get("/faults").await, (200, json!({ "faults": [] })));
}

#[tokio::test]
async fn magnitude_tells_the_achieved_delay() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "x", "route": "web", "latency": "50ms" }),
        )
        .await;
    world.through("/").await;

    let (_, fault) = world.get("/faults/x").await;

    let p50 =
        brownout_fault::units::parse_duration(fault["magnitude"]["delay_p50"].as_str().unwrap());
    assert!(
        p50.unwrap() >= std::time::Duration::from_millis(50),
        "{fault}"
    );
}

#[tokio::test]
async fn two_runs_on_one_seed_hit_the_same_requests_through_the_whole_stack() {
    let hits = async || {
        let world = World::start().await;
        world
            .call(
                "POST",
                "/faults",
                json!({ "route": "web", "abort": 503, "percent": 20 }),
            )
            .await;
        let mut client = RawClient::connect(world.proxy).await;
        let mut hits = Vec::new();
        for request in 0..200 {
            client.get("/").await;
            if client.response().await.status() == 503 {
                hits.push(request);
            }
        }
        let (_, fault) = world.get("/faults/abort-1").await;
        assert_eq!(
            fault["counters"]["injected"],
            hits.len(),
            "the client's count and ours agree"
        );
        hits
    };

    let once = hits().await;
    assert_eq!(once, hits().await);
    assert!((15..=70).contains(&once.len()), "{}", once.len());
}

#[tokio::test]
async fn changes_are_counted() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "x", "route": "web", "abort": 503 }),
        )
        .await;
    world.delete("/faults/x").await;

    let changes = world
        .metrics
        .counter(brownout_telemetry::names::CONTROL_FAULT_CHANGES, &[]);
    eventually("both changes to be counted", || changes.total() == 2).await;
    let deletes = world.metrics.counter(
        brownout_telemetry::names::CONTROL_REQUESTS,
        &["DELETE", "/faults/{id}"],
    );
    assert_eq!(deletes.total(), 1);
}
