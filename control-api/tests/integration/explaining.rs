//! Why a fault acts or lets a request pass, and how many of the last requests it would have met.

use brownout_testkit::within;
use serde_json::{Value, json};

use crate::World;

async fn explain(world: &World, asked: Value) -> (u16, Value) {
    world.call("POST", "/explain", asked).await
}

fn told(answer: &Value) -> Vec<(&str, &str, &str)> {
    let faults = answer["faults"].as_array().unwrap().iter();
    let text = |value: &'_ Value| -> &'static str {
        // Leaked for a shorter test.
        Box::leak(value.as_str().unwrap().to_owned().into_boxed_str())
    };
    faults
        .map(|one| (text(&one["id"]), text(&one["verdict"]), text(&one["why"])))
        .collect()
}

/// The number of the request that ended last.
async fn last(world: &World, path: &str) -> u64 {
    let number = async {
        loop {
            let list = world.get("/requests?state=ended&limit=1").await.1;
            let request = &list["requests"][0];
            if request["path"] == path {
                return request["number"].as_u64().unwrap();
            }
        }
    };
    within("the record of the request", number).await
}

#[tokio::test]
async fn a_request_that_may_come_is_explained_and_counted_nowhere() {
    let world = World::start().await;
    let faults = json!([
        { "id": "down", "route": "web", "abort": 503, "match": { "header": { "x-user": "7" } } },
        { "id": "slow", "route": "*", "latency": "1ms", "percent": 20 },
        { "id": "later", "route": "web", "reset": {}, "start": "1h", "ttl": "2h" },
    ]);
    world.call("POST", "/faults", faults).await;
    world.through("/before").await;
    world.ended(1).await;
    let before = world.get("/faults").await.1;

    let asked = json!({ "route": "web", "method": "POST", "path": "/pay?x=1", "headers": { "X-User": "7" } });
    let (status, answer) = explain(&world, asked).await;

    assert_eq!(status, 200);
    assert_eq!(
        (&answer["method"], &answer["path"]),
        (&json!("POST"), &json!("/pay"))
    );
    let told = told(&answer);
    assert_eq!(told[0], ("down", "acts", "it fits and acts on every match"));
    assert_eq!(
        told[1],
        ("slow", "by_chance", "it fits; 20 % of matches are hit")
    );
    assert_eq!((told[2].0, told[2].1), ("later", "passes"));
    assert!(
        told[2].2.starts_with("its `start` is still to come, in 3"),
        "{told:?}"
    );
    assert_eq!(answer["faults"][1]["percent"], 20.0);
    assert_eq!(world.get("/faults").await.1, before, "nothing was counted");
}

#[tokio::test]
async fn a_request_that_was_carried_is_explained_by_its_number() {
    let world = World::start().await;
    world.through("/before").await;
    world.ended(1).await;
    let faults = json!([
        { "id": "down", "route": "web", "abort": 503, "limit": 1 },
        { "id": "other", "route": "web", "abort": 500, "match": { "path": "/other" } },
    ]);
    world.call("POST", "/faults", faults).await;
    assert_eq!(world.through("/pay").await, 503);

    let number = last(&world, "/pay").await;
    let answer = explain(&world, json!({ "number": number })).await.1;
    assert_eq!(answer["record"]["status"], 503);
    let acted: Vec<_> = (answer["faults"].as_array().unwrap().iter())
        .map(|one| (one["id"].clone(), one["acted"].clone(), one["why"].clone()))
        .collect();
    let why = "it did not act; now its match does not fit: `path` differs";
    assert!(
        acted.contains(&(json!("down"), json!(true), json!("it acted"))),
        "{acted:?}"
    );
    assert!(
        acted.contains(&(json!("other"), json!(false), json!(why))),
        "{acted:?}"
    );

    world.delete("/faults/down").await;
    let answer = explain(&world, json!({ "number": number })).await.1;
    let gone = &answer["faults"][1];
    assert_eq!(gone["why"], "it acted; it has ended since (`removed`)");

    let before = explain(&world, json!({ "number": number - 1 })).await.1;
    assert_eq!(
        before["faults"][0]["why"],
        "it was armed after this request had begun"
    );
}

#[tokio::test]
async fn what_a_caller_asks_for_is_explained_too() {
    let world = World::start().await;
    let asked = json!({ "route": "web", "headers": { "x-brownout-fault": "abort=503" } });

    let off = explain(&world, asked.clone()).await.1;
    let patch = json!({ "caller_faults": true });
    world.call("PATCH", "/routes/web", patch).await;
    let on = explain(&world, asked).await.1;

    let why = "the request asks for it, and the route does not allow that (`caller_faults`)";
    assert_eq!(told(&off), [("caller:abort", "passes", why)]);
    assert_eq!(
        told(&on),
        [("caller:abort", "acts", "the request asks for it")]
    );
}

#[tokio::test]
async fn what_a_caller_asks_for_in_vain_is_told_with_its_words() {
    let world = World::start().await;
    let allow = json!({ "caller_faults": true });
    world.call("PATCH", "/routes/web", allow).await;
    let wrong = json!({ "route": "web", "headers": { "x-brownout-fault": "abrot=503" } });

    let answer = explain(&world, wrong).await.1;

    let told = told(&answer);
    assert_eq!((told[0].0, told[0].1), ("caller:ignored", "passes"));
    assert!(
        told[0]
            .2
            .ends_with("is ignored: `x-brownout-fault: abrot=503`"),
        "{told:?}"
    );
    let halt = json!({ "rearm_after": "1m" });
    world.call("POST", "/halt", halt).await;
    let asked = json!({ "route": "web", "headers": { "x-brownout-fault": "abort=503" } });
    let answer = explain(&world, asked).await.1;
    assert_eq!(answer["faults"][0]["verdict"], "passes");
}

#[tokio::test]
async fn a_draw_for_each_connection_is_told_as_chance_as_the_connection_is_not_known() {
    let world = World::start().await;
    let fault =
        json!({ "id": "some", "route": "web", "abort": 503, "percent": 50, "per": "connection" });
    world.call("POST", "/faults", fault).await;
    let status = world.through("/a").await;
    let number = last(&world, "/a").await;

    let imagined = explain(&world, json!({ "route": "web" })).await.1;
    let recorded = explain(&world, json!({ "number": number })).await.1;

    let why = "it fits; 50 % of connections are hit";
    assert_eq!(told(&imagined), [("some", "by_chance", why)]);
    assert_eq!(recorded["faults"][0]["acted"], json!(status == 503));
}

#[tokio::test]
async fn a_record_that_is_full_of_faults_does_not_say_that_others_did_not_act() {
    let world = World::start().await;
    let faults: Vec<Value> = (0..10)
        .map(|n| json!({ "id": format!("slow-{n}"), "route": "web", "latency": "1ms" }))
        .collect();
    world.call("POST", "/faults", json!(faults)).await;
    world.through("/a").await;
    let number = last(&world, "/a").await;

    let answer = explain(&world, json!({ "number": number })).await.1;

    let acted: Vec<&Value> = (answer["faults"].as_array().unwrap().iter())
        .map(|one| &one["acted"])
        .collect();
    assert_eq!(acted[..8], [&json!(true); 8]);
    assert_eq!(acted[8..], [&Value::Null; 2]);
    let why = answer["faults"][9]["why"].as_str().unwrap();
    assert!(why.contains("a record names 8 faults at most"), "{why}");
}

#[tokio::test]
async fn a_fault_that_was_armed_anew_under_its_id_is_not_taken_for_the_one_that_acted() {
    let world = World::start().await;
    let first = json!({ "id": "flaky", "route": "web", "abort": 503 });
    world.call("POST", "/faults", first).await;
    world.through("/a").await;
    let number = last(&world, "/a").await;
    world.delete("/faults/flaky").await;
    let anew = json!({ "id": "flaky", "route": "web", "latency": "1ms" });
    world.call("POST", "/faults", anew).await;

    let answer = explain(&world, json!({ "number": number })).await.1;

    let one = &answer["faults"][0];
    assert_eq!(one["acted"], true);
    let why = one["why"].as_str().unwrap();
    assert!(why.starts_with("a fault of this id acted"), "{why}");
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused() {
    let world = World::start().await;
    let bytes = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": "tcp://127.0.0.1:9" });
    world.call("POST", "/routes", bytes).await;

    assert_eq!(explain(&world, json!({ "number": 99 })).await.0, 404);
    assert_eq!(explain(&world, json!({ "route": "nowhere" })).await.0, 404);
    assert_eq!(explain(&world, json!({ "route": "db" })).await.0, 422);
    assert_eq!(
        explain(&world, json!({ "route": "web", "path": "x" }))
            .await
            .0,
        422
    );
    assert_eq!(explain(&world, json!([])).await.0, 422);
}

#[tokio::test]
async fn a_dry_run_says_how_many_of_the_last_requests_it_would_have_met() {
    let world = World::start().await;
    for path in ["/a", "/a", "/b", "/c"] {
        world.through(path).await;
    }
    world.ended(4).await;
    let recent = async |fault: Value| {
        let (_, tried) = world.call("POST", "/faults?dry_run=true", fault).await;
        tried["recent"].clone()
    };

    let half = json!({ "route": "web", "abort": 503, "percent": 50, "match": { "path": "/a" } });
    assert_eq!(
        recent(half).await,
        json!({ "requests": 4, "matched": 2, "unknown": 0, "expected": 1.0 })
    );
    let header = json!({ "route": "*", "abort": 503, "match": { "header": { "x": "y" }, "path": ["/b", "/c"] } });
    assert_eq!(
        recent(header).await,
        json!({ "requests": 4, "matched": 0, "unknown": 2, "expected": 0.0 })
    );
    assert_eq!(
        recent(json!({ "route": "web", "refuse": {} })).await,
        Value::Null
    );
}
