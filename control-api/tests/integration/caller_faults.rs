//! Routes that let callers ask for faults, as the API makes and halts them.

use brownout_testkit::RawClient;
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
