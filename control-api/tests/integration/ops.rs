//! The operations under the API: whoever makes a change, it is whole, checked and counted.

use std::sync::Arc;

use brownout_control_api::{Caller, Condition, Filter, OpError, Wanted, new_route};
use brownout_telemetry::names;
use brownout_testkit::eventually;
use brownout_wire::{FaultDraft, RouteSpec};
use serde_json::{Value, json};

use crate::World;

#[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
fn fault(value: Value) -> FaultDraft {
    FaultDraft::read(&value).unwrap()
}

fn route(name: &str, listen: &str, upstream: &str) -> brownout_proxy::NewRoute {
    let spec = json!({ "name": name, "listen": listen, "upstream": upstream });
    new_route(&RouteSpec::read(&spec).unwrap()).unwrap()
}

#[tokio::test]
async fn a_fault_whose_route_goes_between_reading_and_arming_is_refused() {
    let world = World::start().await;
    let value = json!({ "id": "x", "route": "web", "abort": 503 });
    let read = world.ops.read_fault(&value).unwrap();

    world.ops.remove_route("web", Caller::of("test")).unwrap();
    let refused = world.ops.arm(vec![read.clone()], Caller::of("test"));
    let put = world
        .ops
        .put("x", read, &Condition::default(), Caller::of("test"));

    let why = "/route: there is no route `web`; make one with POST /routes";
    assert_eq!(refused.unwrap_err().to_string(), why);
    assert_eq!(put.unwrap_err().to_string(), why);
    assert!(world.ops.faults(&Filter::default()).is_empty());
}

#[tokio::test]
async fn what_is_asked_for_together_comes_whole_or_not_at_all() {
    let world = World::start().await;
    let taken = world.proxy.to_string();
    let wanted = Wanted {
        routes: vec![
            route("one", "127.0.0.1:0", &world.upstream.url()),
            route("two", &taken, &world.upstream.url()),
        ],
        faults: vec![fault(json!({ "id": "x", "route": "one", "abort": 503 }))],
    };

    let refused = world.ops.load(&wanted, Caller::of("test"));

    assert!(matches!(refused, Err(OpError::Taken(_))), "{refused:?}");
    assert!(world.ops.route("one").is_none());
    assert!(world.ops.faults(&Filter::default()).is_empty());

    let stray = Wanted {
        faults: vec![fault(json!({ "id": "x", "route": "onee", "abort": 503 }))],
        ..wanted
    };
    let refused = world.ops.load(&stray, Caller::of("test")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/fault/0/route: there is no route `onee`; did you mean `one`?"
    );
}

#[tokio::test]
async fn every_fault_that_comes_changes_or_goes_is_counted_whoever_did_it() {
    let world = World::start().await;
    let changes = world.metrics.counter(names::CONTROL_FAULT_CHANGES, &[]);
    let aborts = json!([
        { "id": "a", "route": "web", "abort": 503 },
        { "id": "b", "route": "web", "abort": 503, "ttl": "2s" },
        { "id": "c", "route": "web", "abort": 503 },
        { "id": "d", "route": "web", "abort": 503 },
    ]);
    world.call("POST", "/faults", aborts).await;
    assert_eq!(changes.total(), 4);
    world
        .call("PATCH", "/faults/a", json!({ "percent": 1 }))
        .await;
    assert_eq!(
        world
            .call("PATCH", "/faults/a", json!({ "percent": 101 }))
            .await
            .0,
        422
    );
    assert_eq!(world.delete("/faults/nobody").await.0, 404);

    // One expires by itself, one is removed, one goes with halt and one with its route.
    eventually("an expiry to be counted", || changes.total() == 6).await;
    world.delete("/faults/a").await;
    assert_eq!(changes.total(), 7);
    world.delete("/routes/web").await;
    assert_eq!(changes.total(), 9);
    world.call("POST", "/halt", Value::Null).await;
    assert_eq!(changes.total(), 9);
}

#[tokio::test]
async fn many_who_arm_patch_and_remove_at_once_lose_no_update_and_leave_no_fault() {
    const CLIENTS: usize = 32;
    const ROUNDS: u64 = 12;
    let world = Arc::new(World::start().await);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let world = Arc::clone(&world);
        clients.spawn(async move {
            let id = format!("c{client}");
            let path = format!("/faults/{id}");
            for round in 1..=ROUNDS {
                let armed = json!({ "id": id, "route": "web", "latency": "1ms", "percent": 0 });
                assert_eq!(world.call("POST", "/faults", armed).await.0, 201);
                for note in ["first", "second"] {
                    let (status, fault) = world.call("PATCH", &path, json!({ "note": note })).await;
                    assert_eq!((status, &fault["note"]), (200, &json!(note)), "{round}");
                }
                assert_eq!(world.get(&path).await.1["note"], "second");
                assert_eq!(world.delete(&path).await.0, 200);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }

    assert!(world.ops.faults(&Filter::default()).is_empty());
    let changes = world.metrics.counter(names::CONTROL_FAULT_CHANGES, &[]);
    assert_eq!(changes.total(), CLIENTS as u64 * ROUNDS * 4);
}

#[tokio::test]
async fn a_file_that_cannot_be_applied_leaves_every_address_as_it_was() {
    let world = World::start().await;
    let upstream = world.upstream.url();
    let begin = Wanted {
        routes: vec![
            route("a", "127.0.0.1:0", &upstream),
            route("b", "127.0.0.1:0", &upstream),
        ],
        faults: Vec::new(),
    };
    world.ops.load(&begin, Caller::of("file")).unwrap();
    let listens = || {
        let routes = world.ops.routes().into_iter();
        routes
            .map(|route| (route.name, route.listen))
            .collect::<Vec<_>>()
    };
    let before = listens();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let wanted = Wanted {
        routes: vec![
            route("a", &free.to_string(), &upstream),
            route("c", &world.proxy.to_string(), &upstream),
        ],
        faults: vec![fault(json!({ "id": "x", "route": "a", "abort": 503 }))],
    };

    let refused = world.ops.reload(&wanted, Caller::of("file"));

    assert!(matches!(refused, Err(OpError::Taken(_))), "{refused:?}");
    assert_eq!(listens(), before);
    assert!(world.ops.faults(&Filter::default()).is_empty());

    // What the API has deleted since comes again where the file has changed it, and not where it has not.
    world.ops.remove_route("a", Caller::of("api")).unwrap();
    world.ops.remove_route("b", Caller::of("api")).unwrap();
    let wanted = Wanted {
        routes: vec![
            route("a", &free.to_string(), &upstream),
            begin.routes[1].clone(),
        ],
        faults: Vec::new(),
    };
    let reloaded = world.ops.reload(&wanted, Caller::of("file")).unwrap();
    assert_eq!(reloaded.routes_added, ["a"]);
    assert!(world.ops.route("b").is_none());
}
