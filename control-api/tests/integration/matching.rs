//! Which requests a fault hits: conditions, draws, counts and order, armed and asked through sockets.

use brownout_testkit::RawClient;
use serde_json::{Value, json};

use crate::World;

/// A head with this target and these fields.
fn head(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: web.test\r\nX-A: 1{fields}")
}

fn head_of_nth(n: usize) -> String {
    head("/", &format!("\r\nx-number: {n}"))
}

#[tokio::test]
async fn each_condition_is_met_or_not() {
    let world = World::start().await;
    let grpc = "\r\nContent-Type: application/grpc";
    let cases: [(Value, String, String); 13] = [
        (
            json!({ "method": ["GET", "HEAD"] }),
            head("/", ""),
            head("/", "").replacen("GET", "PUT", 1),
        ),
        (
            json!({ "path": "/v1/*" }),
            head("/v1/x?a", ""),
            head("/v2/x?/v1/", ""),
        ),
        (
            json!({ "path": "re:^/v[12]/" }),
            head("/v2/x", ""),
            head("/v3/x", ""),
        ),
        (
            json!({ "not_path": "/health*" }),
            head("/", ""),
            head("/healthz", ""),
        ),
        (
            json!({ "host": "*.test" }),
            head("/", ""),
            head("/", "").replace("web.test", "test.web"),
        ),
        (
            json!({ "header": { "x-user": "7*" } }),
            head("/", "\r\nX-User: 77"),
            head("/", "\r\nX-User: 87"),
        ),
        (
            json!({ "query": { "debug": "*" } }),
            head("/?a=1&debug=", ""),
            head("/?a=debug", ""),
        ),
        (
            json!({ "cookie": { "sid": "7" } }),
            head("/", "\r\nCookie: a=b; sid=7"),
            head("/", "\r\nCookie: sid=8; b=7"),
        ),
        (
            json!({ "baggage": { "tenant": "blue" } }),
            head("/", "\r\nbaggage: a=b,tenant=blue;p=1"),
            head("/", "\r\nbaggage: tenant=red"),
        ),
        (
            json!({ "client": "127.0.0.0/8" }),
            head("/", ""),
            String::new(),
        ),
        (
            json!({ "client": ["10.0.0.0/8", "::1"] }),
            String::new(),
            head("/", ""),
        ),
        (
            json!({ "grpc_method": "shop.Cart/*" }),
            head("/shop.Cart/Add", grpc).replacen("GET", "POST", 1),
            head("/shop.Cash/Add", grpc).replacen("GET", "POST", 1),
        ),
        // All must hold.
        (
            json!({ "path": "/v1/*", "header": { "x-user": "7" } }),
            head("/v1/x", "\r\nX-User: 7"),
            head("/v2/x", "\r\nX-User: 7"),
        ),
    ];
    for (condition, meets, misses) in cases {
        let armed = json!({ "id": "x", "route": "web", "reset": {}, "match": condition });
        world.arm(armed).await;
        if !misses.is_empty() {
            assert_eq!(
                world.statuses([&misses]).await,
                [200],
                "{condition} is met by {misses}"
            );
        }
        if !meets.is_empty() {
            let mut client = RawClient::connect(world.proxy).await;
            client.send(format!("{meets}\r\n\r\n")).await;
            assert!(
                client.ended().await.bytes.is_empty(),
                "{condition} is missed by {meets}"
            );
        }
        let (_, ended) = world.delete("/faults/x").await;
        let met = u64::from(!meets.is_empty());
        assert_eq!(ended["counters"]["matched"], met, "{condition}");
    }
}

#[tokio::test]
async fn a_percent_may_be_a_ratio_and_is_shown_as_it_was_written() {
    let world = World::start().await;
    for (percent, shown) in [
        (json!("1/1000"), json!("1/1000")),
        (json!(0.0001), json!(0.0001)),
        (json!(100), json!(100)),
    ] {
        let armed = world
            .arm(json!({ "route": "web", "abort": 503, "percent": percent }))
            .await;
        assert_eq!(armed["percent"], shown);
    }
    world.delete("/faults").await;
    for percent in [
        json!(0.000_000_01),
        json!("1/0"),
        json!("2/1"),
        json!(101),
        json!("20%x"),
    ] {
        let fault = json!({ "route": "web", "abort": 503, "percent": percent });
        let (status, problem) = world.call("POST", "/faults", fault).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (422, &json!("/percent")),
            "{percent}"
        );
    }

    world
        .arm(json!({ "id": "half", "route": "web", "abort": 503, "percent": "1/2" }))
        .await;
    let hit = world.statuses((0..100).map(head_of_nth)).await;
    let hit = hit.iter().filter(|status| **status == 503).count();
    assert!((25..=75).contains(&hit), "{hit}");
}

#[tokio::test]
async fn every_and_offset_say_which_match_is_hit() {
    let world = World::start().await;
    for (counts, hit) in [
        (json!({ "every": 3, "offset": 1 }), [1, 4, 7]),
        (json!({ "every": 3 }), [0, 3, 6]),
        (
            json!({ "skip_first": 2, "every": 3, "offset": 0 }),
            [2, 5, 8],
        ),
        (
            json!({ "skip_first": 2, "every": 2, "offset": 1, "limit": 3 }),
            [3, 5, 7],
        ),
    ] {
        let mut fault = json!({ "id": "x", "route": "web", "abort": 503 });
        fault
            .as_object_mut()
            .unwrap()
            .extend(counts.as_object().unwrap().clone());
        world.arm(fault).await;

        let statuses = world.statuses((0..9).map(head_of_nth)).await;

        let were_hit: Vec<usize> = (0..9).filter(|n| statuses[*n] == 503).collect();
        assert_eq!(were_hit, hit, "{counts}");
        world.delete("/faults/x").await;
    }
}

#[tokio::test]
async fn the_same_key_always_gets_the_same_draw() {
    let world = World::start().await;
    type Key = fn(usize) -> String;
    let keys: [(&str, Key); 3] = [
        ("header:x-user", |n| format!("\r\nX-User: u{n}")),
        ("cookie:sid", |n| format!("\r\nCookie: a=b; sid=s{n}")),
        ("trace", |n| {
            format!("\r\ntraceparent: 00-{:032x}-00f067aa0ba902b7-01", n + 1)
        }),
    ];
    for (per, key) in keys {
        let fault = json!({ "id": "x", "route": "web", "abort": 503, "percent": 50, "per": per });
        assert_eq!(world.arm(fault).await["per"], per);
        let ask = || world.statuses((0..24).map(|n| head("/", &key(n))));

        let once = ask().await;

        assert!(
            once.contains(&200) && once.contains(&503),
            "{per}: {once:?}"
        );
        assert_eq!(ask().await, once, "{per}");
        world.delete("/faults/x").await;
    }

    // One client is one key, whatever connection it comes by: of ten faults each hits all of its requests or none.
    let mut hit_all = 0;
    for n in 0..10 {
        let id = format!("c{n}");
        let fault =
            json!({ "id": id, "route": "web", "abort": 503, "percent": 50, "per": "client" });
        world.arm(fault).await;
        let statuses = world.statuses((0..6).map(head_of_nth)).await;
        assert!(
            statuses.iter().all(|status| *status == statuses[0]),
            "{statuses:?}"
        );
        hit_all += usize::from(statuses[0] == 503);
        world.delete(&format!("/faults/{id}")).await;
    }
    assert!((1..10).contains(&hit_all), "{hit_all}");
}

#[tokio::test]
async fn a_faults_own_seed_repeats_its_draws() {
    let hits = async |seed: Option<u64>, id: &str| {
        let world = World::start().await;
        let mut fault = json!({ "id": id, "route": "web", "abort": 503, "percent": 50 });
        if let Some(seed) = seed {
            fault["seed"] = seed.into();
        }
        let armed = world.arm(fault).await;
        assert_eq!(armed["seed"].as_u64(), seed);
        world.statuses((0..40).map(head_of_nth)).await
    };

    let once = hits(Some(7), "x").await;

    assert_eq!(hits(Some(7), "x").await, once);
    assert_ne!(hits(Some(8), "x").await, once);
    assert_ne!(hits(None, "x").await, once, "the process's own seed");
}

#[tokio::test]
async fn of_two_faults_the_higher_priority_goes_first_then_the_older() {
    let world = World::start().await;
    for (first, second, wanted) in [
        (json!({}), json!({}), 501),
        (json!({ "priority": 1 }), json!({ "priority": 2 }), 502),
        (json!({ "priority": -1 }), json!({}), 502),
        (json!({ "priority": 5 }), json!({ "priority": 5 }), 501),
    ] {
        for (id, status, more) in [("first", 501, first), ("second", 502, second)] {
            let mut fault = json!({ "id": id, "route": "web", "abort": status });
            fault
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            world.arm(fault).await;
        }
        assert_eq!(world.through("/").await, wanted);
        world.delete("/faults").await;
    }
}
