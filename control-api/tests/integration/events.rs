//! `GET /events`: what happens, as it happens.

use brownout_client::{Client, EventStream};
use brownout_testkit::within;
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
