//! Routes that let callers ask for faults, as the API makes and halts them.

use brownout_telemetry::names;
use brownout_testkit::{RawClient, RawMessage, eventually};
use serde_json::{Value, json};

use crate::World;

/// The status of a request that asks for an abort.
async fn asking(world: &World) -> u16 {
    let mut client = RawClient::connect(world.proxy).await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nx-brownout-fault: abort=418\r\n\r\n")
        .await;
    client.response().await.status()
}

#[tokio::test]
async fn a_route_lets_callers_ask_for_faults_while_it_is_told_to() {
    let world = World::start().await;
    assert_eq!(asking(&world).await, 200, "off by default");

    for (allowed, status) in [(true, 418), (false, 200)] {
        let patch = json!({ "caller_faults": allowed });
        let (_, route) = world.call("PATCH", "/routes/web", patch).await;
        assert_eq!(route["caller_faults"], allowed);
        assert_eq!(asking(&world).await, status);
    }
}

#[tokio::test]
async fn a_route_is_made_with_it_unless_it_carries_bytes() {
    let world = World::start().await;
    let made = |name: &str, upstream: &str| json!({ "name": name, "listen": "127.0.0.1:0", "upstream": upstream, "caller_faults": true });

    let (status, route) = world
        .call("POST", "/routes", made("two", &world.upstream.url()))
        .await;
    assert_eq!((status, &route["caller_faults"]), (201, &json!(true)));

    let bytes = made("db", "tcp://127.0.0.1:9");
    let (status, refused) = world.call("POST", "/routes", bytes).await;
    assert_eq!(status, 422);
    assert_eq!(refused["errors"][0]["pointer"], "/caller_faults");
    assert_eq!(world.get("/routes/db").await.0, 404);

    let wrong = json!({ "caller_faults": "yes" });
    let (status, refused) = world.call("PATCH", "/routes/two", wrong).await;
    assert_eq!(status, 422);
    assert_eq!(refused["errors"][0]["pointer"], "/caller_faults");
}

#[tokio::test]
async fn a_route_lets_those_ask_who_come_from_its_ranges() {
    let world = World::start().await;
    for (allowed, shown, status) in [
        (json!(["127.0.0.0/8"]), json!(["127.0.0.0/8"]), 418),
        (json!("127.0.0.1"), json!(["127.0.0.1/32"]), 418),
        (
            json!(["10.0.0.0/8", "::1"]),
            json!(["10.0.0.0/8", "::1/128"]),
            200,
        ),
    ] {
        let patch = json!({ "caller_faults": allowed });
        let (answered, route) = world.call("PATCH", "/routes/web", patch).await;
        assert_eq!(
            (answered, &route["caller_faults"]),
            (200, &shown),
            "{route}"
        );
        assert_eq!(asking(&world).await, status, "{allowed}");
    }
    let asked = json!({ "route": "web", "headers": { "x-brownout-fault": "abort=503" } });
    let (_, told) = world.call("POST", "/explain", asked).await;
    let why = told["faults"][0]["why"].as_str().unwrap();
    assert!(why.contains("the route allows that to others"), "{why}");

    for (wrong, pointer) in [
        (json!([]), "/caller_faults"),
        (json!(["10.0.0.0/8", "nowhere"]), "/caller_faults/1"),
        (json!(["10.0.0.1/8"]), "/caller_faults/0"),
        (json!(7), "/caller_faults"),
        (json!({}), "/caller_faults"),
        (json!({ "percent": 101 }), "/caller_faults/percent"),
        (json!({ "percnt": 5 }), "/caller_faults/percnt"),
        (
            json!({ "from": ["::1", "nowhere"] }),
            "/caller_faults/from/1",
        ),
    ] {
        let patch = json!({ "caller_faults": wrong });
        let (status, problem) = world.call("PATCH", "/routes/web", patch).await;
        assert_eq!(status, 422, "{wrong}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{wrong}");
    }
}

/// Which of the next 400 requests with these fields got what they asked for, all on one connection.
async fn given(world: &World, fields: &[&str]) -> Vec<bool> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let mut client = RawClient::connect(world.proxy).await;
    let mut given = Vec::new();
    for _ in 0..400 {
        client
            .send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
            .await;
        given.push(client.response().await.status() == 418);
    }
    given
}

fn hits(given: &[bool]) -> usize {
    given.iter().filter(|it| **it).count()
}

#[tokio::test]
async fn a_route_gives_faults_to_so_many_of_those_that_ask_and_never_to_more() {
    let world = World::start().await;
    let cap = json!({ "percent": 20, "from": ["127.0.0.0/8"] });
    let patch = json!({ "caller_faults": cap });
    let (status, route) = world.call("PATCH", "/routes/web", patch).await;
    assert_eq!((status, &route["caller_faults"]), (200, &cap), "{route}");
    let counted = |name| world.metrics.counter(name, &["web", "abort"]).total();

    // A request may ask for less in our words and in Envoy's. More is cut to what the route gives.
    let envoys = "x-envoy-fault-abort-request: 418";
    for (fields, least, most) in [
        (&["x-brownout-fault: abort=418"][..], 40, 125),
        (&["x-brownout-fault: abort=418;percent=90"], 40, 125),
        (&[envoys], 40, 125),
        (
            &[envoys, "x-envoy-fault-abort-request-percentage: 100"],
            40,
            125,
        ),
        (&["x-brownout-fault: abort=418;percent=5"], 4, 45),
        (
            &[envoys, "x-envoy-fault-abort-request-percentage: 5"],
            4,
            45,
        ),
        (&[envoys, "x-envoy-fault-abort-request-percentage: 0"], 0, 0),
    ] {
        let before = [names::FAULT_INJECTED, names::FAULT_SKIPPED].map(counted);
        let got = hits(&given(&world, fields).await);

        assert!((least..=most).contains(&got), "{fields:?}: {got} of 400");
        let after = [names::FAULT_INJECTED, names::FAULT_SKIPPED].map(counted);
        assert_eq!(after[0] - before[0], got as u64, "{fields:?}");
        assert_eq!(after[1] - before[1], 400 - got as u64, "{fields:?}");
    }
    let ignored = world.metrics.counter(names::FAULT_CALLER_IGNORED, &["web"]);
    assert_eq!(ignored.total(), 0);
}

#[tokio::test]
async fn which_callers_are_given_what_they_ask_for_is_drawn_by_the_seed() {
    let mut draws = Vec::new();
    for _ in 0..2 {
        let world = World::start().await;
        let patch = json!({ "caller_faults": { "percent": 30 } });
        assert_eq!(world.call("PATCH", "/routes/web", patch).await.0, 200);
        draws.push(given(&world, &["x-brownout-fault: abort=418"]).await);
    }

    assert_eq!(draws[0], draws[1]);
    assert!((60..=180).contains(&hits(&draws[0])));
}

#[tokio::test]
async fn what_a_route_gives_to_some_of_those_that_ask_is_explained() {
    let world = World::start().await;
    for (caller_faults, asked, verdict, percent, why) in [
        (
            json!({ "percent": 20 }),
            "abort",
            "by_chance",
            20.0,
            "the route gives it to some of those that ask",
        ),
        (
            json!({ "percent": 20 }),
            "abort;percent=5",
            "by_chance",
            5.0,
            "the request asks for it, by chance",
        ),
        (
            json!({ "percent": 0 }),
            "abort",
            "passes",
            0.0,
            "the route gives it to 0 percent",
        ),
        (
            json!({ "percent": 20, "from": "10.0.0.0/8" }),
            "abort",
            "passes",
            0.0,
            "the route allows that to others",
        ),
        (
            json!({ "percent": 100 }),
            "abort",
            "acts",
            100.0,
            "the request asks for it",
        ),
    ] {
        let patch = json!({ "caller_faults": caller_faults });
        assert_eq!(world.call("PATCH", "/routes/web", patch).await.0, 200);
        let request = json!({ "route": "web", "headers": { "x-brownout-fault": asked } });

        let (_, told) = world.call("POST", "/explain", request).await;

        let fault = &told["faults"][0];
        assert_eq!(fault["verdict"], verdict, "{caller_faults}: {fault}");
        assert_eq!(
            fault["percent"].as_f64().unwrap_or(percent),
            percent,
            "{fault}"
        );
        let told = fault["why"].as_str().unwrap();
        assert!(told.contains(why), "{caller_faults}: {told}");
    }
}

#[tokio::test]
async fn nothing_is_given_while_arming_is_locked() {
    let world = World::start().await;
    let allow = json!({ "caller_faults": true });
    world.call("PATCH", "/routes/web", allow).await;

    world
        .call("POST", "/halt", json!({ "rearm_after": "1h" }))
        .await;
    assert_eq!(asking(&world).await, 200);
    // A halt without a lock leaves the one that is in force.
    world.call("POST", "/halt", Value::Null).await;
    assert_eq!(asking(&world).await, 200);

    world
        .call("POST", "/halt", json!({ "rearm_after": "0s" }))
        .await;
    assert_eq!(asking(&world).await, 418);
}

/// A request with these fields, on a connection of its own. Its answer.
async fn ask(world: &World, fields: &[&str]) -> RawMessage {
    let mut client = RawClient::connect(world.proxy).await;
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let request = format!("GET /books HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    client.exchange(request).await.0
}

/// A world whose route lets callers ask.
async fn allowing() -> World {
    let world = World::start().await;
    let allow = json!({ "caller_faults": true });
    assert_eq!(world.call("PATCH", "/routes/web", allow).await.0, 200);
    world
}

#[tokio::test]
async fn what_is_malformed_is_ignored_and_counted_and_nothing_of_it_reaches_the_upstream() {
    let world = allowing().await;
    let long = format!("x-brownout-fault: abort=503;percent=100{}", " ".repeat(300));
    let malformed = [
        "x-brownout-fault: abort=2000",
        "x-brownout-fault: abort=199",
        "x-brownout-fault: latency=250",
        "x-brownout-fault: latency=-1s",
        "x-brownout-fault: abort=503;percent=101",
        "x-brownout-fault: abort=503;percnt=5",
        "x-brownout-fault: blackhole",
        "x-brownout-fault: truncate=5",
        "x-brownout-fault: ,;=",
        "x-envoy-fault-abort-request: soon",
        "x-envoy-fault-delay-request: -5",
        "x-envoy-fault-throughput-response: fast",
        "x-envoy-fault-abort-grpc-request: 14",
        // Trailing blanks are no part of a value (RFC 9110 section 5.5), so this one stands for a value that is understood.
        &long,
    ];
    let (last, malformed) = malformed.split_last().unwrap();

    for field in malformed {
        assert_eq!(ask(&world, &[field]).await.text(), "hello", "{field}");
    }
    assert_eq!(ask(&world, &[last]).await.status(), 503);

    let received = world.upstream.received();
    assert_eq!(received.len(), malformed.len());
    for request in received {
        let names = request.headers.keys().map(http::HeaderName::as_str);
        let asked: Vec<&str> = names.filter(|name| name.starts_with("x-")).collect();
        assert!(asked.is_empty(), "{asked:?}");
    }
    let ignored = world.metrics.counter(names::FAULT_CALLER_IGNORED, &["web"]);
    assert_eq!(ignored.total(), malformed.len() as u64);
}

#[tokio::test]
async fn at_most_a_thousand_requests_of_a_kind_are_held_on_a_route_and_more_pass() {
    const HELD: usize = 1_000;
    let world = allowing().await;
    let fields = "x-brownout-fault: latency=30s";
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut client = RawClient::connect(world.proxy).await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"))
            .await;
        held.push(client);
    }
    let active = world
        .metrics
        .gauge(names::FAULT_ACTIVE, &["web", "latency"]);
    eventually("all to be held", || active.value() == HELD as i64).await;

    // Before the 30 s of the first are over.
    assert_eq!(ask(&world, &[fields]).await.text(), "hello");

    let passed = world
        .metrics
        .counter(names::FAULT_OVERFLOW, &["web", "latency"]);
    assert_eq!(passed.total(), 1);
    // Another kind has places of its own, and a halt lets all of them go.
    assert_eq!(
        ask(&world, &["x-brownout-fault: abort=418"]).await.status(),
        418
    );
    world.call("POST", "/halt", Value::Null).await;
    for client in &mut held {
        assert_eq!(client.response().await.text(), "hello");
    }
    eventually("all places to be given back", || active.value() == 0).await;
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_cut_to_30_seconds_and_said_so() {
    let world = allowing().await;
    let asked = json!({ "route": "web", "headers": { "x-brownout-fault": "latency=1h" } });
    let (_, told) = world.call("POST", "/explain", asked).await;
    let fault = &told["faults"][0];
    assert_eq!(
        (&fault["id"], &fault["verdict"]),
        (&json!("caller:latency"), &json!("acts"))
    );
    let mut client = RawClient::connect(world.proxy).await;

    let began = std::time::Instant::now();
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nx-brownout-fault: latency=1h\r\n\r\n")
        .await;

    // Longer than one wait is here.
    let mut answered = None;
    for _ in 0..3 {
        answered = tokio::time::timeout(std::time::Duration::from_secs(15), client.try_head())
            .await
            .ok();
        if answered.is_some() {
            break;
        }
    }
    assert_eq!(answered.flatten().unwrap().status(), 200);
    assert!(began.elapsed() >= std::time::Duration::from_secs(30));
}
