//! What a fault says of itself: its counters and its magnitude, its id, and what to write in place of a wrong word.

use brownout_testkit::{RawClient, TestUpstream, within};
use serde_json::{Value, json};

use crate::World;

/// The counters of a fault once they are these.
async fn until_counted(world: &World, id: &str, wanted: &Value) {
    let read =
        async { while world.get(&format!("/faults/{id}")).await.1["counters"] != *wanted {} };
    within(&format!("{id} to count {wanted}"), read).await;
}

#[tokio::test]
async fn counters_tell_what_was_left_alone_passed_held_and_given_up() {
    let world = World::start().await;
    let counters = |matched: u64, injected: u64, skipped: u64, overflow: u64| {
        json!({
            "matched": matched, "injected": injected, "skipped": skipped, "overflow": overflow,
            "active": 0, "client_gave_up": 0,
        })
    };
    world
        .arm(json!({ "id": "half", "route": "web", "abort": 503, "every": 2 }))
        .await;
    for _ in 0..4 {
        world.through("/").await;
    }
    until_counted(&world, "half", &counters(4, 2, 2, 0)).await;
    world.delete("/faults").await;

    let hold = json!({ "id": "hold", "route": "web", "blackhole": {}, "max_active": 1 });
    world.arm(hold).await;
    let mut held = RawClient::connect(world.proxy).await;
    held.get("/").await;
    world.until_held("hold").await;
    assert_eq!(world.through("/").await, 200, "one is held at a time");
    let mut wanted = counters(2, 1, 0, 1);
    wanted["active"] = json!(1);
    until_counted(&world, "hold", &wanted).await;

    drop(held);

    wanted["active"] = json!(0);
    wanted["client_gave_up"] = json!(1);
    until_counted(&world, "hold", &wanted).await;
}

#[tokio::test]
async fn magnitude_tells_what_was_asked_for_and_what_was_achieved() {
    const BODY: usize = 3_000;
    let world = World::before(TestUpstream::replying("x".repeat(BODY)).await).await;
    let slow = json!({ "id": "slow", "route": "web", "latency": "50ms" });
    world.arm(slow).await;
    let paced = json!({ "id": "paced", "route": "web", "bandwidth": { "rate": "10KB/s" } });
    world.arm(paced).await;
    for _ in 0..3 {
        assert_eq!(world.through("/").await, 200);
    }
    world.ended(3).await;

    let slow = world.get("/faults/slow").await.1["magnitude"].take();
    let paced = world.get("/faults/paced").await.1["magnitude"].take();

    let wait = |key: &str| {
        let text = slow[key]
            .as_str()
            .unwrap_or_else(|| panic!("{key}: {slow}"));
        brownout_fault::units::parse_duration(text).unwrap()
    };
    let asked = std::time::Duration::from_millis(50);
    for key in ["asked_p50", "asked_p99", "delay_p50", "delay_p99"] {
        assert!(wait(key) >= asked, "{key}: {slow}");
    }
    assert!(wait("delay_p99") >= wait("delay_p50"), "{slow}");
    assert_eq!(paced["bytes"], 3 * BODY, "{paced}");
    assert_eq!(paced["asked_rate"], "10KB/s", "{paced}");
}

#[tokio::test]
async fn an_id_has_up_to_64_characters_and_a_list_has_no_place_of_its_own() {
    let world = World::start().await;
    let named = |id: &str| json!({ "id": id, "route": "web", "abort": 503 });
    let longest = format!("0.a_b-{}", "c".repeat(58));

    let made = (world.raw("POST", "/faults", named(&longest).to_string())).await;
    let list = json!([named("one"), named("two")]).to_string();
    let listed = world.raw("POST", "/faults", list).await;

    let place = format!("/faults/{longest}");
    assert_eq!(
        (made.status(), made.values("location")),
        (201, vec![&*place])
    );
    assert_eq!(world.get(&place).await.1["id"], longest);
    assert_eq!(listed.status(), 201);
    assert!(listed.values("location").is_empty());
    for wrong in ["", "-a", "A", "a b", &"c".repeat(65)] {
        let (status, problem) = world.call("POST", "/faults", named(wrong)).await;
        let place = &problem["errors"][0]["pointer"];
        assert_eq!(
            (status, place),
            (422, &json!("/id")),
            "{wrong:?}: {problem}"
        );
    }
    let (status, problem) = world.call("POST", "/faults", named(&longest)).await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test]
async fn a_toxic_is_not_replaced_or_patched_as_a_fault_and_says_where() {
    let world = World::start().await;
    let proxy = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1" });
    assert_eq!(world.call("POST", "/proxies", proxy).await.0, 201);
    let toxic = json!({ "type": "latency", "attributes": { "latency": 10 } });
    let (status, toxic) = world.call("POST", "/proxies/db/toxics", toxic).await;
    assert_eq!(status, 200, "{toxic}");

    for (method, body) in [
        ("PUT", json!({ "route": "db", "latency": "1s" })),
        ("PATCH", json!({ "latency": "1s" })),
    ] {
        let path = "/faults/db.latency_downstream";
        let (status, problem) = world.call(method, path, body).await;
        assert_eq!(status, 409, "{method}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("/proxies/"), "{method}: {detail}");
    }
}

#[tokio::test]
async fn a_word_of_another_tool_is_told_with_the_one_that_is_meant() {
    let world = World::start().await;
    for (word, value, meant) in [
        ("delay", json!("1s"), "it is `latency`"),
        ("latncy", json!("1s"), "did you mean `latency`?"),
        ("percnt", json!(5), "did you mean `percent`?"),
    ] {
        let mut fault = json!({ "route": "web", "reset": {} });
        if word != "percnt" {
            fault = json!({ "route": "web" });
        }
        fault[word] = value;

        let (status, problem) = world.call("POST", "/faults", fault).await;

        assert_eq!(status, 422, "{word}: {problem}");
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], format!("/{word}"), "{problem}");
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains(meant), "{word}: {detail}");
    }
}
