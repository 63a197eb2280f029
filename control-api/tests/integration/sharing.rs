//! Several who share one proxy: labels, conditions and leases.

use std::time::Duration;

use brownout_testkit::{How, RawClient, RawMessage, within};
use serde_json::{Value, json};

use crate::World;

/// A call with further fields.
async fn call(world: &World, call: &str, fields: &str, body: &Value) -> RawMessage {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut client = RawClient::connect(world.api.address()).await;
    let (host, length) = (world.api.address(), body.len());
    let head =
        format!("{call} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n");
    client.exchange(format!("{head}{body}")).await.0
}

fn json_of(message: &RawMessage) -> Value {
    serde_json::from_slice(&message.body).unwrap()
}

fn ids(list: &Value) -> Vec<&str> {
    let faults = list["faults"].as_array().unwrap();
    faults
        .iter()
        .map(|fault| fault["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn faults_are_found_and_removed_by_label_route_and_group() {
    let world = World::start().await;
    let faults = json!([
        { "id": "a", "route": "web", "abort": 503, "percent": 0, "labels": ["run-42", "ci"] },
        { "id": "b", "route": "*", "latency": "1ms", "labels": "run-42", "owner": "checkout" },
        { "id": "c", "route": "web", "abort": 503, "percent": 0, "group": "zone-a" },
        { "id": "d", "route": "web", "reset": {}, "percent": 0, "labels": "run-43", "group": "zone-a" },
    ]);
    let (status, armed) = world.call("POST", "/faults", faults).await;
    assert_eq!(status, 201);
    assert_eq!(armed["faults"][0]["labels"], json!(["run-42", "ci"]));
    assert_eq!(armed["faults"][1]["owner"], "checkout");
    world.through("/").await;

    for (query, wanted) in [
        ("?label=run-42", vec!["a", "b"]),
        ("?label=run-4", vec![]),
        ("?label=", vec![]),
        ("?group=zone-a", vec!["c", "d"]),
        ("?group=zone-a&label=run-43", vec!["d"]),
        ("?route=web", vec!["a", "b", "c", "d"]),
        ("?route=elsewhere", vec!["b"]),
        ("?label=run-42&state=active&route=web", vec!["a", "b"]),
    ] {
        let (status, list) = world.get(&format!("/faults{query}")).await;
        assert_eq!((status, ids(&list)), (200, wanted), "{query}");
    }
    let (status, problem) = world.delete("/faults?label=run-42&label=run-43").await;
    assert_eq!(
        (status, &problem["errors"][0]["detail"]),
        (422, &json!("is given twice"))
    );
    let (status, problem) = world.delete("/faults?lable=run-42").await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("?lable"))
    );

    let (status, gone) = world.delete("/faults?label=run-42").await;
    assert_eq!((status, &gone["removed"]), (200, &json!(["a", "b"])));
    assert_eq!(gone["faults"][1]["counters"]["injected"], 1);
    let (_, gone) = world.delete("/faults?group=zone-a&label=run-43").await;
    assert_eq!(gone["removed"], json!(["d"]));
    assert_eq!(
        world.delete("/faults?label=nobody").await.1["removed"],
        json!([])
    );
    assert_eq!(ids(&world.get("/faults").await.1), ["c"]);
}

#[tokio::test]
async fn a_removed_fault_is_told_with_what_it_had_done() {
    let world = World::start().await;
    let fault = json!({ "id": "x", "route": "web", "abort": 503, "labels": "run-42" });
    world.call("POST", "/faults", fault).await;
    world.through("/").await;

    let (status, last) = world.delete("/faults/x").await;

    assert_eq!((status, &last["counters"]["injected"]), (200, &json!(1)));
    assert_eq!(last["labels"], json!(["run-42"]));
    assert_eq!(world.delete("/faults/x").await.0, 404);
}

#[tokio::test]
async fn tags_are_patched_as_the_rest_and_go_with_their_fault() {
    let world = World::start().await;
    let fault = json!({ "id": "x", "route": "web", "abort": 503, "labels": "old", "owner": "me" });
    world.call("POST", "/faults", fault).await;

    let patch = json!({ "labels": ["new"], "owner": null, "percent": 1 });
    let (status, patched) = world.call("PATCH", "/faults/x", patch).await;
    assert_eq!(status, 200);
    assert_eq!(patched["labels"], json!(["new"]));
    assert_eq!(
        (patched.get("owner"), &patched["percent"]),
        (None, &json!(1))
    );

    let wrong = json!({ "labels": [7], "percent": 50 });
    let (status, problem) = world.call("PATCH", "/faults/x", wrong).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/labels/0"))
    );
    assert_eq!(world.get("/faults/x").await.1["percent"], 1);

    world.delete("/faults/x").await;
    let plain = json!({ "id": "x", "route": "web", "abort": 503 });
    world.call("POST", "/faults", plain).await;
    assert_eq!(world.get("/faults/x").await.1.get("labels"), None);
}

#[tokio::test]
async fn a_change_is_made_only_if_nobody_else_made_one_meanwhile() {
    let world = World::start().await;
    let fault = json!({ "id": "x", "route": "web", "abort": 503 });
    let armed = call(&world, "POST /faults", "", &fault).await;
    let tag = armed.values("etag")[0].to_owned();
    let shown = call(&world, "GET /faults/x", "", &Value::Null).await;
    assert_eq!(shown.values("etag"), [tag.as_str()]);
    let if_match = |tag: &str| format!("If-Match: {tag}\r\n");

    let patch = json!({ "percent": 10 });
    let mine = call(&world, "PATCH /faults/x", &if_match(&tag), &patch).await;
    assert_eq!(mine.status(), 200);
    let new_tag = mine.values("etag")[0].to_owned();
    assert_ne!(new_tag, tag);

    let other = json!({ "percent": 20 });
    for (method, body) in [("PATCH", &other), ("PUT", &fault), ("DELETE", &Value::Null)] {
        for stale in [&tag, "\"none\"", "W/\"1\"", "nonsense"] {
            let refused = call(
                &world,
                &format!("{method} /faults/x"),
                &if_match(stale),
                body,
            )
            .await;
            assert_eq!(refused.status(), 412, "{method} {stale}");
        }
    }
    assert_eq!(world.get("/faults/x").await.1["percent"], 10);

    let none = "If-None-Match: *\r\n";
    assert_eq!(
        call(&world, "PUT /faults/x", none, &fault).await.status(),
        412
    );
    let new = json!({ "route": "web", "abort": 500 });
    assert_eq!(
        call(&world, "PUT /faults/y", none, &new).await.status(),
        201
    );
    assert_eq!(
        call(&world, "PUT /faults/z", &if_match("*"), &new)
            .await
            .status(),
        412
    );
    let either = if_match(&format!("{tag}, {new_tag}"));
    assert_eq!(
        call(&world, "DELETE /faults/x", &either, &Value::Null)
            .await
            .status(),
        200
    );
    assert_eq!(
        call(&world, "DELETE /faults/x", &either, &Value::Null)
            .await
            .status(),
        412
    );
}

#[tokio::test]
async fn the_same_put_again_changes_nothing() {
    let world = World::start().await;
    let fault = json!({ "route": "web", "abort": 503, "labels": ["run-42"], "ttl": "1h" });
    let first = call(&world, "PUT /faults/x", "", &fault).await;
    assert_eq!(world.through("/").await, 503);

    let again = call(&world, "PUT /faults/x", "", &fault).await;

    assert_eq!((first.status(), again.status()), (201, 200));
    assert_eq!(first.values("etag"), again.values("etag"));
    let (first, again) = (json_of(&first), json_of(&again));
    assert_eq!(again["counters"]["injected"], 1);
    assert_eq!(first["expires_at"], again["expires_at"]);
    let other = json!({ "route": "web", "abort": 503, "labels": ["run-43"], "ttl": "1h" });
    let other = json_of(&call(&world, "PUT /faults/x", "", &other).await);
    assert_eq!(other["counters"]["injected"], 0);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_arms_nothing() {
    let world = World::start().await;
    let kept = json!({ "id": "kept", "route": "web", "abort": 503, "percent": 0 });
    world.call("POST", "/faults", kept).await;
    let path = "/faults?dry_run=true";

    let fault = json!({ "route": "*", "latency": "5ms", "labels": "x" });
    let (status, tried) = world.call("POST", path, fault.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(tried["latency"]["value"], "5ms");
    assert_eq!(
        (&tried["ttl"], &tried["labels"]),
        (&json!("10m"), &json!(["x"]))
    );
    assert_eq!(
        (&tried["dry_run"], &tried["acts_on"]),
        (&json!(true), &json!(["web"]))
    );
    assert_eq!(
        tried["recent"],
        json!({ "requests": 0, "matched": 0, "unknown": 0, "expected": 0.0 })
    );
    let (status, tried) = world.call("POST", path, json!([fault, fault])).await;
    assert_eq!(
        (status, tried["faults"].as_array().unwrap().len()),
        (200, 2)
    );

    let same = json!({ "id": "kept", "route": "web", "abort": 503 });
    assert_eq!(world.call("POST", path, same).await.0, 409);
    let twice = json!({ "id": "x", "route": "web", "abort": 503 });
    assert_eq!(world.call("POST", path, json!([twice, twice])).await.0, 409);
    assert_eq!(
        world
            .call("POST", path, json!({ "route": "wbe", "abort": 503 }))
            .await
            .0,
        422
    );
    assert_eq!(
        world
            .call("POST", "/faults?dry_run=maybe", fault.clone())
            .await
            .0,
        422
    );
    world
        .call("POST", "/halt", json!({ "rearm_after": "1h" }))
        .await;
    assert_eq!(world.call("POST", path, fault).await.0, 423);
    assert_eq!(world.get("/faults").await.1, json!({ "faults": [] }));
}

#[tokio::test]
async fn a_lease_that_nobody_renews_takes_its_faults_with_it() {
    let world = World::start().await;
    let lease = json!({ "ttl": "2s", "owner": "ci-1234" });
    let made = call(&world, "POST /leases", "", &lease).await;
    assert_eq!(
        (made.status(), made.values("location")),
        (201, vec!["/leases/lease-1"])
    );
    let faults = json!([
        { "id": "leased", "route": "web", "blackhole": {}, "lease": "lease-1", "ttl": "none" },
        { "id": "free", "route": "web", "abort": 503, "percent": 0 },
    ]);
    assert_eq!(world.call("POST", "/faults", faults).await.0, 201);
    let (_, shown) = world.get("/leases/lease-1").await;
    assert_eq!(
        (&shown["faults"], &shown["owner"]),
        (&json!(["leased"]), &json!("ci-1234"))
    );
    let mut held = RawClient::connect(world.proxy).await;
    held.get("/").await;
    world.until_held("leased").await;

    // For longer than its ttl it is renewed, so often that a machine that stands still for a second ends nothing.
    let longer = tokio::time::Instant::now() + Duration::from_millis(2_500);
    while tokio::time::Instant::now() < longer {
        assert_eq!(
            world.call("PUT", "/leases/lease-1", Value::Null).await.0,
            200
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.get("/faults/leased").await.0, 200);

    assert_eq!(held.ended().await.how, How::Reset);
    let gone = async { while world.get("/faults/leased").await.1["reason"] != "lease" {} };
    within("the lease to end", gone).await;
    assert_eq!(world.get("/faults/free").await.0, 200);
    assert_eq!(
        world.call("PUT", "/leases/lease-1", Value::Null).await.0,
        404
    );
    assert_eq!(world.get("/leases").await.1, json!({ "leases": [] }));
}

#[tokio::test]
async fn leases_are_checked_named_and_given_back() {
    let world = World::start().await;
    let fault = json!({ "id": "x", "route": "web", "abort": 503, "lease": "ci" });
    let (status, problem) = world.call("POST", "/faults", fault.clone()).await;
    assert_eq!(status, 422);
    assert_eq!(
        problem["errors"],
        json!([{ "pointer": "/lease", "detail": "there is no lease `ci`; make one with POST /leases" }])
    );
    for (body, pointer) in [
        (json!({}), "/ttl"),
        (json!({ "ttl": "1ms" }), "/ttl"),
        (json!({ "ttl": "25h" }), "/ttl"),
        (json!({ "ttl": 15 }), "/ttl"),
        (json!({ "ttl": "15s", "id": "No Id" }), "/id"),
        (json!({ "ttl": "15s", "onwer": "me" }), "/onwer"),
    ] {
        let (status, problem) = world.call("POST", "/leases", body.clone()).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{body}"
        );
    }
    let lease = json!({ "id": "ci", "ttl": "1h" });
    assert_eq!(world.call("POST", "/leases", lease.clone()).await.0, 201);
    assert_eq!(world.call("POST", "/leases", lease).await.0, 409);
    assert_eq!(world.call("POST", "/faults", fault).await.0, 201);
    let (status, renewed) = world
        .call("PUT", "/leases/ci", json!({ "ttl": "2h" }))
        .await;
    assert_eq!((status, &renewed["ttl"]), (200, &json!("2h")));

    assert_eq!(world.delete("/leases/ci").await.0, 204);
    assert_eq!(world.delete("/leases/ci").await.0, 404);
    assert_eq!(world.get("/faults/x").await.1["reason"], "lease");
}
