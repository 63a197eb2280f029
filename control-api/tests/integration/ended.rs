//! Faults that have ended are told with what they did to the last.

use brownout_testkit::{RawClient, within};
use serde_json::{Value, json};

use crate::World;

async fn last(world: &World) -> Value {
    world.get("/faults?state=ended").await.1["faults"][0].clone()
}

#[tokio::test]
async fn a_removed_fault_is_told_with_its_last_counts_and_times() {
    let world = World::start().await;
    let fault = json!({ "id": "down", "route": "web", "abort": 503, "labels": ["run-42"] });
    world.call("POST", "/faults", fault).await;
    let live = world.get("/faults/down").await.1;
    assert_eq!(live["times"].get("first_struck_us"), None);
    world.through("/").await;
    world.through("/").await;
    let struck = world.get("/faults/down").await.1;
    let removed = world.delete("/faults/down").await.1;

    let (status, ended) = world.get("/faults/down").await;
    assert_eq!(removed, ended);

    assert_eq!(
        (status, &ended["state"], &ended["reason"]),
        (200, &json!("ended"), &json!("removed"))
    );
    assert_eq!(
        (&ended["counters"]["injected"], &ended["abort"]["status"]),
        (&json!(2), &json!(503))
    );
    assert!(ended["ended_at"].is_string());
    let time = |key: &str| ended["times"][key].as_u64().unwrap();
    assert!(time("armed_us") <= time("first_struck_us"));
    assert!(time("first_struck_us") < time("last_struck_us"));
    assert!(time("last_struck_us") <= time("ended_us"));
    assert_eq!(
        struck["times"]["first_struck_us"],
        ended["times"]["first_struck_us"]
    );
    assert_eq!(last(&world).await, ended);
    let of_label = world.get("/faults?state=ended&label=run-43").await.1;
    assert_eq!(of_label, json!({ "faults": [] }));
    assert_eq!(world.get("/faults").await.1, json!({ "faults": [] }));
    assert_eq!(world.delete("/faults/down").await.0, 404);
    assert_eq!(
        world
            .call("PATCH", "/faults/down", json!({ "percent": 1 }))
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn each_end_has_its_reason() {
    let world = World::start().await;
    let arm = async |id: &str, more: Value| {
        let mut fault = json!({ "id": id, "route": "web", "abort": 503 });
        for (key, value) in more.as_object().unwrap() {
            fault[key] = value.clone();
        }
        assert_eq!(
            world.call("PUT", &format!("/faults/{id}"), fault).await.0 / 100,
            2
        );
    };

    arm("a", json!({})).await;
    arm("a", json!({ "abort": 500 })).await;
    assert_eq!(last(&world).await["reason"], "replaced");
    assert_eq!(
        world.get("/faults/a").await.1["state"],
        "active",
        "the new one"
    );
    world.call("POST", "/halt", Value::Null).await;
    assert_eq!(last(&world).await["reason"], "halted");

    world
        .call("POST", "/leases", json!({ "id": "ci", "ttl": "1h" }))
        .await;
    arm("b", json!({ "lease": "ci" })).await;
    world.delete("/leases/ci").await;
    assert_eq!(last(&world).await["reason"], "lease");

    let ended = async |id: &str| {
        let ended =
            async { while world.get(&format!("/faults/{id}")).await.1["state"] != "ended" {} };
        within("its end", ended).await;
        last(&world).await["reason"].clone()
    };
    arm("c", json!({ "ttl": "100ms" })).await;
    assert_eq!(ended("c").await, "expired");
    let (_, expired) = world.get("/faults?state=expired").await;
    let expired = expired["faults"].as_array().unwrap();
    assert_eq!(expired.len(), 1, "none of the others: {expired:?}");
    assert_eq!(
        (&expired[0]["id"], &expired[0]["state"]),
        (&json!("c"), &json!("ended"))
    );
    assert_eq!(
        world.get("/faults?state=expired&label=none").await.1,
        json!({ "faults": [] })
    );
    // Long enough for a request, wherever the machine stands still.
    arm("d", json!({ "ttl": "2s", "limit": 1 })).await;
    world.through("/").await;
    assert_eq!(ended("d").await, "spent");

    arm("e", json!({})).await;
    world.delete("/routes/web").await;
    assert_eq!(last(&world).await["reason"], "route");
}

#[tokio::test]
async fn what_a_removed_fault_held_is_in_its_counts() {
    let world = World::start().await;
    let fault = json!({ "id": "hole", "route": "web", "blackhole": {} });
    world.call("POST", "/faults", fault).await;
    let mut client = RawClient::connect(world.proxy).await;
    client.get("/").await;
    world.until_held("hole").await;

    world.delete("/faults/hole").await;
    client.ended().await;

    let settled = async { while world.get("/faults/hole").await.1["counters"]["active"] != 0 {} };
    within("the last counts", settled).await;
    let ended = world.get("/faults/hole").await.1;
    assert_eq!(ended["counters"]["injected"], 1);
    assert!(ended["magnitude"]["delay_p50"].is_string(), "{ended}");
}

#[tokio::test]
async fn a_thousand_are_kept() {
    let world = World::start().await;
    let caller = brownout_control_api::Caller::of("file");
    let abort = json!({ "route": "web", "abort": 503 });
    for _ in 0..1_005 {
        let read = world.ops.read_fault(&abort).unwrap();
        world.ops.arm(vec![read], caller).unwrap();
        drop(world.ops.halt(None, caller));
    }

    let kept = world.get("/faults?state=ended").await.1;

    let kept = kept["faults"].as_array().unwrap();
    assert_eq!(
        (kept.len(), &kept[0]["id"], &kept[999]["id"]),
        (1_000, &json!("abort-1005"), &json!("abort-6"))
    );
}
