//! `GET /events`: what happens, as it happens.

use brownout_client::{Client, EventStream};
use brownout_testkit::{RawClient, TestUpstream, within};
use brownout_wire::EventRecord;
use serde_json::{Value, json};

use crate::World;

async fn listen(world: &World, after: Option<u64>) -> (EventStream, EventRecord) {
    let client = Client::new(&world.api.address().to_string()).unwrap();
    let mut events = client.events(after).await.unwrap();
    let clock = next(&mut events).await;
    assert_eq!(clock.event, "clock");
    (events, clock)
}

async fn next(events: &mut EventStream) -> EventRecord {
    let event = within("an event", events.next()).await;
    event.unwrap().expect("the stream goes on")
}

async fn named(events: &mut EventStream, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(next(events).await.event);
    }
    names
}

#[tokio::test]
async fn a_fault_is_told_from_its_beginning_to_its_end() {
    let world = World::start().await;
    let (mut events, clock) = listen(&world, None).await;
    let fault = json!({ "id": "down", "route": "web", "abort": 503, "limit": 2 });
    world.call("POST", "/faults", fault).await;
    let created = next(&mut events).await;
    assert_eq!(
        (created.event.as_str(), created.fault.as_deref()),
        ("fault.created", Some("down"))
    );
    assert_eq!(
        (created.kind.as_deref(), created.by.as_deref()),
        (Some("abort"), Some("api"))
    );
    assert!(created.t_us >= clock.t_us && clock.began_unix_us.is_some());

    assert_eq!(world.through("/").await, 503);
    let struck = next(&mut events).await;
    assert_eq!(
        (struck.event.as_str(), struck.fault.as_deref()),
        ("fault.struck_first", Some("down"))
    );
    assert!(struck.t_us >= created.t_us);
    assert_eq!(world.through("/").await, 503);
    assert_eq!(next(&mut events).await.event, "fault.spent");
    world
        .call("PATCH", "/faults/down", json!({ "limit": 5 }))
        .await;
    assert_eq!(next(&mut events).await.event, "fault.changed");

    world.delete("/faults/down").await;

    let removed = next(&mut events).await;
    assert_eq!(
        (removed.event.as_str(), removed.reason.as_deref()),
        ("fault.removed", Some("removed"))
    );
    assert_eq!(removed.counters.unwrap().injected, 2);
    assert_eq!(
        removed.seq,
        created.seq.map(|first| first + 4),
        "without a gap"
    );
}

#[tokio::test]
async fn routes_leases_halts_and_expiries_are_told() {
    let world = World::start().await;
    let (mut events, _) = listen(&world, None).await;
    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": world.upstream.url() });
    world.call("POST", "/routes", route).await;
    world
        .call("PATCH", "/routes/two", json!({ "enabled": false }))
        .await;
    world.delete("/routes/two").await;
    assert_eq!(
        named(&mut events, 3).await,
        ["route.created", "route.changed", "route.removed"]
    );

    world
        .call("POST", "/leases", json!({ "id": "ci", "ttl": "1h" }))
        .await;
    let leased = json!({ "id": "x", "route": "web", "abort": 503, "lease": "ci" });
    world.call("POST", "/faults", leased).await;
    world.delete("/leases/ci").await;
    let told = ["lease.created", "fault.created", "lease.removed"];
    assert_eq!(named(&mut events, 3).await, told);
    assert_eq!(next(&mut events).await.reason.as_deref(), Some("lease"));

    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "y", "route": "web", "reset": {} }),
        )
        .await;
    world.call("POST", "/halt", Value::Null).await;
    assert_eq!(
        named(&mut events, 2).await,
        ["fault.created", "fault.halted"]
    );
    let halt = next(&mut events).await;
    assert_eq!(
        (halt.event.as_str(), halt.faults),
        ("halt", Some(vec!["y".to_owned()]))
    );

    let short = json!({ "id": "z", "route": "web", "abort": 503, "ttl": "150ms" });
    world.call("POST", "/faults", short).await;
    assert_eq!(
        named(&mut events, 2).await,
        ["fault.created", "fault.expired"]
    );
}

#[tokio::test]
async fn a_lease_that_ends_by_itself_is_told_with_the_faults_that_go_with_it() {
    let world = World::start().await;
    let (mut events, _) = listen(&world, None).await;
    // Long enough to arm a fault under it, wherever the machine stands still.
    let lease = json!({ "id": "ci", "ttl": "2s", "owner": "ci-1234" });
    world.call("POST", "/leases", lease).await;
    let fault = json!({ "id": "x", "route": "web", "abort": 503, "lease": "ci" });
    assert_eq!(world.call("POST", "/faults", fault).await.0, 201);
    let told = ["lease.created", "fault.created"];
    assert_eq!(named(&mut events, 2).await, told);

    let expired = next(&mut events).await;
    let removed = next(&mut events).await;

    assert_eq!(
        (expired.event.as_str(), expired.lease.as_deref()),
        ("lease.expired", Some("ci"))
    );
    assert_eq!(expired.by.as_deref(), Some("clock"));
    assert_eq!(
        (removed.event.as_str(), removed.fault.as_deref()),
        ("fault.removed", Some("x"))
    );
    assert_eq!(removed.reason.as_deref(), Some("lease"));
    assert_eq!(world.get("/leases").await.1, json!({ "leases": [] }));
}

#[tokio::test]
async fn a_reader_that_comes_back_goes_on_where_it_was_and_is_told_what_it_lost() {
    const CHANGES: usize = 2_100;
    let world = World::start().await;
    let (events, _) = listen(&world, None).await;
    drop(events);
    let abort = json!({ "id": "x", "route": "web", "abort": 503 });
    for _ in 0..3 {
        world.call("PUT", "/faults/x", abort.clone()).await;
        world.delete("/faults/x").await;
    }
    let (mut events, _) = listen(&world, Some(2)).await;
    let third = next(&mut events).await;
    assert_eq!(
        (third.seq, third.event.as_str()),
        (Some(3), "fault.created")
    );
    drop(events);

    // More than are kept: two each.
    for _ in 0..CHANGES {
        let read = world.ops.read_fault(&abort).unwrap();
        world
            .ops
            .arm(vec![read], brownout_control_api::Caller::of("file"))
            .unwrap();
        drop(
            world
                .ops
                .halt(None, brownout_control_api::Caller::of("file")),
        );
    }
    let (mut events, _) = listen(&world, Some(2)).await;

    let lost = next(&mut events).await;

    let first = next(&mut events).await;
    assert_eq!((lost.event.as_str(), lost.seq), ("lost", None));
    assert_eq!(lost.lost.unwrap() + 3, first.seq.unwrap());
}

#[tokio::test]
async fn those_who_listen_are_bounded_and_let_go_when_the_api_stops() {
    let world = World::start().await;
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(listen(&world, None).await.0);
    }
    assert_eq!(world.get("/events").await.0, 429);
    drop(all.pop());
    let (mut last, _) = within("a place", async {
        loop {
            let client = Client::new(&world.api.address().to_string()).unwrap();
            if let Ok(mut events) = client.events(None).await {
                let clock = next(&mut events).await;
                break (events, clock);
            }
        }
    })
    .await;

    let stopping = std::thread::spawn(move || world.api.stop());

    let end = within("the end", last.next()).await;
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    stopping.join().unwrap();
}

/// What a reader is told besides what happens to faults, routes and leases.
async fn listen_to(world: &World, include: &[&str]) -> EventStream {
    let client = Client::new(&world.api.address().to_string()).unwrap();
    let mut events = client.events_with(None, include).await.unwrap();
    assert_eq!(next(&mut events).await.event, "clock");
    events
}

#[tokio::test]
async fn requests_are_told_to_who_asks_for_them() {
    let world = World::start().await;
    world.through("/before").await;
    world.ended(1).await;
    let mut events = listen_to(&world, &["request"]).await;
    let (mut others, _) = listen(&world, None).await;
    let fault = json!({ "id": "down", "route": "web", "abort": 503 });

    world.through("/one").await;
    let one = next(&mut events).await;
    world.call("POST", "/faults", fault).await;
    world.through("/two").await;

    assert_eq!(
        (one.event.as_str(), one.seq, one.route.as_deref()),
        ("request", None, Some("web"))
    );
    let one = one.request.unwrap();
    assert_eq!((one.path.as_str(), one.status), ("/one", Some(200)));
    // What happens and what was carried come from two sources: their order is that of their times alone.
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(next(&mut events).await);
    }
    let two = told.iter().find_map(|it| it.request.as_ref()).unwrap();
    assert_eq!((two.path.as_str(), two.status), ("/two", Some(503)));
    assert_eq!(two.faults, ["down"]);
    assert!(told.iter().any(|it| it.event == "fault.created"));
    // Who did not ask gets none.
    assert_eq!(
        named(&mut others, 2).await,
        ["fault.created", "fault.struck_first"]
    );
}

#[tokio::test]
async fn each_second_tells_what_routes_did_in_it() {
    let world = World::start().await;
    let mut events = listen_to(&world, &["stats"]).await;
    world
        .ops
        .arm(
            vec![
                world
                    .ops
                    .read_fault(
                        &json!({ "route": "web", "abort": 503, "match": { "path": "/bad" } }),
                    )
                    .unwrap(),
            ],
            brownout_control_api::Caller::of("file"),
        )
        .unwrap();
    for path in ["/a", "/b", "/bad"] {
        world.through(path).await;
    }

    // A request, its answer and its end may be told by different seconds, and a machine that stands still makes one short.
    let (mut requests, mut errors, mut ended, mut longest) = (0, 0, 0, 0);
    while (requests, errors, ended) != (3, 1, 3) || longest <= 500_000 {
        let event = next(&mut events).await;
        let Some(stats) = event.stats else { continue };
        longest = longest.max(event.over_us.unwrap());
        assert_eq!((event.event.as_str(), event.seq), ("stats", None));
        let web = stats.iter().find(|it| it.route == "web").unwrap();
        requests += web.requests;
        errors += web.errors;
        ended += web.ended;
        assert!(requests <= 3 && errors <= 1 && ended <= 3, "{stats:?}");
        if web.ended > 0 {
            assert!(web.mean_us.is_some());
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_slow_loses_requests_and_is_told_how_many() {
    const KEPT: usize = 64;
    const REQUESTS: usize = 3_000;
    let world = World::keeping(TestUpstream::replying("hello").await, KEPT).await;
    // A receiver with a small window: what it does not read stays with the API.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut reader = socket.connect(world.api.address()).await.unwrap();
    let ask = format!(
        "GET /events?include=request HTTP/1.1\r\nhost: {}\r\n\r\n",
        world.api.address()
    );
    tokio::io::AsyncWriteExt::write_all(&mut reader, ask.as_bytes())
        .await
        .unwrap();
    // The stream has begun.
    let mut seen = vec![0; 512];
    let read = tokio::io::AsyncReadExt::read(&mut reader, &mut seen)
        .await
        .unwrap();
    seen.truncate(read);

    let mut client = RawClient::connect(world.proxy).await;
    for _ in 0..REQUESTS {
        client.get("/items").await;
        assert_eq!(client.response().await.status(), 200, "nobody is slowed");
    }

    let told = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = tokio::io::AsyncReadExt::read(&mut reader, &mut buffer)
                .await
                .unwrap();
            assert!(read > 0, "the stream goes on");
            seen.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&seen).into_owned();
            if text.contains("\"event\":\"lost\"") && text.contains("\"of\":\"request\"") {
                return text;
            }
        }
    };
    within("the reader to be told", told).await;
}

#[tokio::test]
async fn what_is_asked_for_besides_must_be_known() {
    let world = World::start().await;

    let (status, answer) = world.get("/events?include=requst").await;

    assert_eq!(status, 422);
    let detail = answer["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("did you mean `request`?"), "{detail}");
}

#[tokio::test]
async fn requests_are_not_told_by_a_proxy_without_a_journal() {
    let world = World::keeping(TestUpstream::replying("hello").await, 0).await;

    assert_eq!(world.get("/events?include=request").await.0, 404);
}
