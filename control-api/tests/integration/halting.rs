use brownout_testkit::{How, RawClient, within};
use serde_json::json;

use crate::World;

#[tokio::test]
async fn halt_removes_everything_and_does_not_lock() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!([
                { "id": "a", "route": "web", "blackhole": {} },
                { "id": "b", "route": "*", "latency": "1ms" },
            ]),
        )
        .await;
    let mut held = RawClient::connect(world.proxy).await;
    held.get("/").await;
    world.until_held("a").await;

    let response = world.raw("POST", "/halt", "").await;

    assert_eq!(response.text().trim(), r#"{"removed":["a","b"]}"#);
    assert_eq!(held.ended().await.how, How::Reset);
    assert_eq!(
        world
            .call("POST", "/faults", json!({ "route": "web", "abort": 503 }))
            .await
            .0,
        201
    );
}

#[tokio::test]
async fn halt_with_a_lock_refuses_arming_until_it_is_over() {
    let world = World::start().await;

    let (status, _) = world
        .call("POST", "/halt", json!({ "rearm_after": "1h" }))
        .await;
    assert_eq!(status, 200);
    for (method, path) in [
        ("POST", "/faults"),
        ("PUT", "/faults/x"),
        ("PATCH", "/faults/x"),
    ] {
        let body = json!({ "route": "web", "abort": 503 }).to_string();
        let response = world.raw(method, path, body).await;
        assert_eq!(response.status(), 423, "{method} {path}");
        let seconds: u64 = response.values("retry-after")[0].parse().unwrap();
        assert!((3590..=3600).contains(&seconds), "{seconds}");
    }
    assert_eq!(world.call("POST", "/halt", json!(null)).await.0, 200);
    assert_eq!(world.get("/faults").await.0, 200, "looking is allowed");

    world
        .call("POST", "/halt", json!({ "rearm_after": "1ms" }))
        .await;
    let fault = json!({ "route": "web", "abort": 503 });
    let unlocked = async { while world.call("POST", "/faults", fault.clone()).await.0 == 423 {} };
    within("the lock to end", unlocked).await;
    assert_eq!(world.through("/").await, 503);
}

#[tokio::test]
async fn halt_is_answered_while_the_data_plane_is_full() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "x", "route": "web", "latency": "1h" }),
        )
        .await;
    let mut held = Vec::new();
    for _ in 0..500 {
        let mut client = RawClient::connect(world.proxy).await;
        client.get("/").await;
        held.push(client);
    }

    assert_eq!(
        world.call("POST", "/halt", json!(null)).await.1,
        json!({ "removed": ["x"] })
    );

    for client in &mut held {
        assert_eq!(client.response().await.status(), 200);
    }
}

#[tokio::test]
async fn a_lock_can_be_lifted() {
    let world = World::start().await;
    let lock = json!({ "rearm_after": "1h" });
    world.call("POST", "/halt", lock).await;
    let fault = json!({ "route": "web", "abort": 503 });
    let (status, problem) = world.call("POST", "/faults", fault.clone()).await;
    assert_eq!(status, 423);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(r#"{"rearm_after":"0s"}"#), "{detail}");

    let lift = json!({ "rearm_after": "0s" });
    assert_eq!(world.call("POST", "/halt", lift).await.0, 200);

    assert_eq!(world.call("POST", "/faults", fault).await.0, 201);
}

#[tokio::test]
async fn a_process_that_is_about_to_end_arms_nothing() {
    let world = World::start().await;
    let fault = json!({ "route": "web", "abort": 503 });
    world.call("POST", "/faults", fault.clone()).await;

    assert_eq!(world.ops.disarm_for_good(), ["abort-1"]);

    assert_eq!(world.call("POST", "/faults", fault).await.0, 503);
    assert_eq!(world.through("/").await, 200);
}
