//! Faults on a route that carries bytes, from the call to the wire.

use std::time::{Duration, Instant};

use brownout_testkit::{How, RawClient, TestUpstream, eventually, within};
use serde_json::{Value, json};

use crate::World;

/// A route `db` to an upstream that says back what it hears.
async fn world() -> (World, TestUpstream, std::net::SocketAddr) {
    let upstream = TestUpstream::raw(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        drop(tokio::io::copy(&mut read, &mut write).await);
    })
    .await;
    let world = World::start().await;
    let to = format!("tcp://{}", upstream.address());
    let route = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": to });
    let (status, made) = world.call("POST", "/routes", route).await;
    assert_eq!(status, 201, "{made}");
    let listen = made["listen"].as_str().unwrap().parse().unwrap();
    (world, upstream, listen)
}

async fn said_back(client: &mut RawClient) -> Duration {
    let began = Instant::now();
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"ping");
    began.elapsed()
}

#[tokio::test]
async fn a_fault_comes_and_goes_on_an_open_connection() {
    let (world, _upstream, listen) = world().await;
    let mut client = RawClient::connect(listen).await;
    said_back(&mut client).await;

    let fault = json!({ "id": "slow", "route": "db", "latency": "1h", "direction": "upstream" });
    let (status, armed) = world.call("POST", "/faults", fault).await;
    assert_eq!(
        (status, &armed["direction"]),
        (201, &json!("upstream")),
        "{armed}"
    );
    client.send("held").await;
    let (status, _) = world.call("DELETE", "/faults/slow", Value::Null).await;
    assert_eq!(status, 200);
    // Waited for with a bound, far below the hour of the fault.
    assert_eq!(client.read_exact(4).await, b"held");

    let reset = json!({ "id": "cut", "route": "db", "reset": {} });
    assert_eq!(world.call("POST", "/faults", reset).await.0, 201);
    assert_eq!(within("the end", client.ended()).await.how, How::Reset);
    let (_, fault) = world.get("/faults/cut").await;
    assert_eq!(fault["counters"]["injected"], 1);
}

#[tokio::test]
async fn a_fault_on_all_routes_acts_on_each_as_it_can() {
    let (world, _upstream, listen) = world().await;
    let mut client = RawClient::connect(listen).await;

    let (status, abort) = world
        .call("POST", "/faults", json!({ "route": "*", "abort": 503 }))
        .await;
    assert_eq!(status, 201, "{abort}");
    assert_eq!(world.through("/").await, 503);
    said_back(&mut client).await;

    world.call("DELETE", "/faults/abort-1", Value::Null).await;
    let (_, web) = world.get("/routes/web").await;
    let listen = web["listen"].as_str().unwrap().parse().unwrap();
    let mut beneath = RawClient::connect(listen).await;
    let streams = json!({ "route": "*", "layer": "stream", "reset": {} });
    assert_eq!(world.call("POST", "/faults", streams).await.0, 201);
    for client in [&mut client, &mut beneath] {
        assert_eq!(within("the end", client.ended()).await.how, How::Reset);
    }
}

#[tokio::test]
async fn a_fault_beneath_requests_cuts_an_open_connection() {
    let world = World::start().await;
    let (_, web) = world.get("/routes/web").await;
    let listen = web["listen"].as_str().unwrap().parse().unwrap();
    let mut client = RawClient::connect(listen).await;
    client.get("/").await;
    assert_eq!(client.response().await.status(), 200);

    let reset = json!({ "id": "cut", "route": "web", "layer": "stream", "reset": {} });
    assert_eq!(world.call("POST", "/faults", reset).await.0, 201);

    assert_eq!(client.ended().await.how, How::Reset);
    world.call("DELETE", "/faults/cut", Value::Null).await;
    assert_eq!(world.through("/").await, 200);
}

#[tokio::test]
async fn a_route_that_carries_bytes_can_refuse_connections() {
    let (world, _upstream, listen) = world().await;

    let (status, answer) = world
        .call("POST", "/faults", json!({ "route": "db", "refuse": {} }))
        .await;

    assert_eq!(status, 201, "{answer}");
    assert!(tokio::net::TcpStream::connect(listen).await.is_err());
    world.call("DELETE", "/faults/refuse-1", Value::Null).await;
    eventually("the route to listen again", || {
        std::net::TcpStream::connect(listen).is_ok()
    })
    .await;
}

#[tokio::test]
async fn what_does_not_go_with_the_route_is_refused_with_its_place() {
    let (world, _upstream, _) = world().await;
    for (fault, pointer) in [
        (json!({ "route": "db", "abort": 503 }), "/route"),
        (
            json!({ "route": "db", "reset": {}, "layer": "request" }),
            "/layer",
        ),
        (json!({ "route": "web", "limit_data": "1B" }), "/route"),
        (
            json!({ "route": "web", "blackhole": { "at": "connect" } }),
            "/route",
        ),
        (
            json!({ "route": "web", "abort": 503, "layer": "stream" }),
            "/layer",
        ),
        (
            json!({ "route": "db", "latency": { "value": "1s", "side": "connect" }, "direction": "upstream" }),
            "/direction",
        ),
        (
            json!({ "route": "web", "reset": {}, "direction": "upstream" }),
            "/direction",
        ),
        (
            json!({ "route": ["web", "db"], "reset": { "at": "response_head" } }),
            "/reset/at",
        ),
        (
            json!({ "route": "db", "reset": {}, "match": { "path": "/" } }),
            "/match/path",
        ),
        (
            json!({ "route": "db", "reset": {}, "per": "cookie:sid" }),
            "/per",
        ),
    ] {
        let (status, problem) = world.call("POST", "/faults", fault.clone()).await;
        assert_eq!(status, 422, "{fault}");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{fault}: {problem}"
        );
    }
}
