//! Routes by the API.

mod addresses;

use brownout_testkit::{RawClient, TestUpstream};
use serde_json::{Value, json};

use crate::World;

#[tokio::test]
async fn a_route_is_made_shown_changed_and_deleted() {
    let world = World::start().await;
    let second = TestUpstream::replying("second").await;
    let new = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": second.url() });

    let response = world.raw("POST", "/routes", new.to_string()).await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.values("location"), ["/routes/two"]);
    let made: Value = serde_json::from_slice(&response.body).unwrap();
    let listen = made["listen"].as_str().unwrap().parse().unwrap();
    let mut client = RawClient::connect(listen).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "second");

    let (_, shown) = world.get("/routes/two").await;
    assert_eq!(
        shown,
        json!({
            "name": "two", "listen": listen.to_string(), "upstream": second.url(), "protocol": "http",
            "enabled": true, "caller_faults": false, "connections": 1, "requests": 1, "bytes_in": 0, "bytes_out": 6, "unanswered_syns": 0, "faults": [],
        })
    );

    let (status, patched) = world
        .call(
            "PATCH",
            "/routes/two",
            json!({ "upstream": world.upstream.url() }),
        )
        .await;
    assert_eq!(
        (status, &patched["upstream"]),
        (200, &json!(world.upstream.url()))
    );
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");

    assert_eq!(world.delete("/routes/two").await.0, 204);
    assert_eq!(world.get("/routes/two").await.0, 404);
    assert!(std::net::TcpStream::connect(listen).is_err());
}

#[tokio::test]
async fn the_proxy_protocol_is_switched_on_and_off_for_connections_that_come() {
    let world = World::start().await;
    let line = "PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n";
    let mut before = RawClient::connect(world.proxy).await;
    before.get("/").await;
    before.response().await;

    let on = json!({ "accept_proxy": true });
    let (status, shown) = world.call("PATCH", "/routes/web", on).await;

    assert_eq!((status, &shown["accept_proxy"]), (200, &json!(true)));
    before.get("/").await;
    assert_eq!(before.response().await.status(), 200, "it stays as it was");
    let mut named = RawClient::connect(world.proxy).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    named.send(format!("{line}{request}")).await;
    assert_eq!(named.response().await.status(), 200);
    let off = json!({ "accept_proxy": false, "send_proxy": "v1" });
    let (_, shown) = world.call("PATCH", "/routes/web", off).await;
    assert_eq!(shown.get("accept_proxy"), None, "{shown}");
    assert_eq!(shown["send_proxy"], "v1");
    let none = json!({ "send_proxy": "none" });
    let (_, shown) = world.call("PATCH", "/routes/web", none).await;
    assert_eq!(shown.get("send_proxy"), None, "{shown}");
    assert_eq!(world.through("/").await, 200);
}

#[tokio::test]
async fn headers_of_the_proxy_protocol_that_cannot_be_are_refused_with_their_place() {
    let world = World::start().await;

    for (more, place) in [
        (json!({ "send_proxy": "v3" }), "/send_proxy"),
        (
            json!({ "send_proxy": "v1", "protocol": "h2" }),
            "/send_proxy",
        ),
        (json!({ "accept_proxy": "v1" }), "/accept_proxy"),
    ] {
        let mut route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": "http://a:1" });
        let more = more.as_object().unwrap().clone();
        route.as_object_mut().unwrap().extend(more);
        let (status, problem) = world.call("POST", "/routes", route).await;
        assert_eq!(status, 422, "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], place, "{problem}");
    }
}

#[tokio::test]
async fn a_disabled_route_refuses_connections() {
    let world = World::start().await;

    let (_, disabled) = world
        .call("PATCH", "/routes/web", json!({ "enabled": false }))
        .await;
    assert_eq!(disabled["enabled"], false);
    assert!(std::net::TcpStream::connect(world.proxy).is_err());

    world
        .call("PATCH", "/routes/web", json!({ "enabled": true }))
        .await;
    assert_eq!(world.through("/").await, 200);
}

#[tokio::test]
async fn a_name_or_an_address_that_is_taken_is_a_conflict() {
    let world = World::start().await;
    let upstream = world.upstream.url();

    let name = json!({ "name": "web", "listen": "127.0.0.1:0", "upstream": upstream });
    let address = json!({ "name": "two", "listen": world.proxy.to_string(), "upstream": upstream });

    for (body, detail) in [
        (name, "the route name `web` is taken".to_owned()),
        (address, format!("the address {} is taken", world.proxy)),
    ] {
        let (status, problem) = world.call("POST", "/routes", body).await;
        assert_eq!(status, 409);
        assert_eq!(problem["detail"], detail);
    }
}

#[tokio::test]
async fn a_route_lists_the_faults_that_touch_it_and_takes_its_own_along() {
    let world = World::start().await;
    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": world.upstream.url() });
    world.call("POST", "/routes", route).await;
    world
        .call(
            "POST",
            "/faults",
            json!([
                { "id": "only", "route": "two", "abort": 503 },
                { "id": "both", "route": ["web", "two"], "abort": 503 },
                { "id": "all", "route": "*", "latency": "1ms" },
            ]),
        )
        .await;

    assert_eq!(
        world.get("/routes/two").await.1["faults"],
        json!(["only", "both", "all"])
    );
    world.delete("/routes/two").await;

    let (_, list) = world.get("/faults").await;
    let ids: Vec<&Value> = list["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| &fault["id"])
        .collect();
    assert_eq!(ids, ["both", "all"]);
}

#[tokio::test]
async fn a_fault_for_all_routes_reaches_one_made_later() {
    let world = World::start().await;
    world
        .call("POST", "/faults", json!({ "route": "*", "abort": 503 }))
        .await;

    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": world.upstream.url() });
    let (_, made) = world.call("POST", "/routes", route).await;

    let mut client = RawClient::connect(made["listen"].as_str().unwrap().parse().unwrap()).await;
    client.get("/").await;
    assert_eq!(client.response().await.status(), 503);
}

#[tokio::test]
async fn a_fault_goes_with_the_last_of_its_routes() {
    let world = World::start().await;
    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": world.upstream.url() });
    world.call("POST", "/routes", route).await;
    let fault = json!({ "id": "both", "route": ["web", "two"], "abort": 503 });
    world.call("POST", "/faults", fault).await;

    world.delete("/routes/two").await;
    let patched = world.call("PATCH", "/faults/both", json!({ "percent": 50 }));
    assert_eq!(patched.await.0, 200, "the patch names no route");
    world.delete("/routes/web").await;

    assert_eq!(world.get("/faults/both").await.1["reason"], "route");
}

#[tokio::test]
async fn a_route_may_carry_bytes() {
    let world = World::start().await;
    let address = world.upstream.address();
    for upstream in [
        json!({ "upstream": address.to_string(), "protocol": "tcp" }),
        json!({ "upstream": format!("tcp://{address}") }),
    ] {
        let mut route = json!({ "name": "db", "listen": "127.0.0.1:0" });
        for (key, value) in upstream.as_object().unwrap() {
            route[key] = value.clone();
        }
        let (status, made) = world.call("POST", "/routes", route).await;

        assert_eq!((status, &made["protocol"]), (201, &json!("tcp")));
        assert_eq!(made["upstream"], format!("tcp://{address}"));
        let listen = made["listen"].as_str().unwrap().parse().unwrap();
        let mut client = RawClient::connect(listen).await;
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");

        let (status, moved) = world
            .call("PATCH", "/routes/db", json!({ "upstream": "127.0.0.1:9" }))
            .await;
        assert_eq!(
            (status, &moved["upstream"]),
            (200, &json!("tcp://127.0.0.1:9"))
        );
        assert_eq!(world.delete("/routes/db").await.0, 204);
    }
}

#[tokio::test]
async fn what_a_route_cannot_carry_is_refused() {
    let world = World::start().await;
    let route = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": "tcp://127.0.0.1:9" });
    world.call("POST", "/routes", route).await;
    let refused = async |method: &str, path: &str, body: Value| {
        let (status, problem) = world.call(method, path, body).await;
        assert_eq!(status, 422);
        (
            problem["errors"][0]["pointer"].clone(),
            problem["errors"][0]["detail"].clone(),
        )
    };

    assert_eq!(
        refused(
            "POST",
            "/faults",
            json!({ "route": ["web", "db"], "abort": 503 })
        )
        .await,
        (
            json!("/route/1"),
            json!("`abort` acts on requests, and the route `db` carries bytes (tcp)")
        )
    );
    for (kind, value) in [
        ("goaway", json!({})),
        ("refused_stream", json!({})),
        ("settings", json!({ "max_concurrent_streams": 1 })),
        ("ping_timeout", json!({})),
        ("malformed", json!({ "how": "frame" })),
        ("flow_control_stall", json!({})),
    ] {
        let (place, why) = refused("POST", "/faults", json!({ "route": "db", kind: value })).await;
        assert_eq!(place, "/route");
        let only = format!("`{kind}` acts on a request only if it comes over HTTP/2");
        let why = why.as_str().unwrap();
        assert!(why.starts_with(&only), "{why}");
        assert!(why.ends_with("the route `db` carries bytes (tcp)"), "{why}");
    }
    let http = json!({ "upstream": "http://127.0.0.1:9" });
    assert_eq!(
        refused("PATCH", "/routes/db", http).await.0,
        json!("/upstream")
    );
}

#[tokio::test]
async fn changes_of_one_route_at_the_same_time_are_all_kept() {
    let world = World::start().await;
    let second = TestUpstream::replying("second").await;
    for (round, url) in [world.upstream.url(), second.url()]
        .iter()
        .cycle()
        .take(20)
        .enumerate()
    {
        let host = format!("round-{round}.test");
        let patch = |body: Value| world.call("PATCH", "/routes/web", body);

        let (upstream, named, flagged) = tokio::join!(
            patch(json!({ "upstream": url })),
            patch(json!({ "host": host })),
            patch(json!({ "caller_faults": round % 2 == 0 })),
        );

        assert_eq!((upstream.0, named.0, flagged.0), (200, 200, 200));
        let (_, shown) = world.get("/routes/web").await;
        assert_eq!(shown["upstream"], json!(url), "round {round}");
        assert_eq!(shown["host"], json!(host), "round {round}");
        assert_eq!(shown["caller_faults"], json!(round % 2 == 0));
    }
}

#[tokio::test]
async fn options_of_a_route_are_made_shown_and_changed() {
    let world = World::start().await;
    let new = json!({
        "name": "two", "listen": "127.0.0.1:0", "upstream": format!("{}/v1/", world.upstream.url()),
        "connect_timeout": "250ms", "head_timeout": "3s", "path_prefix": "/api/",
        "pool": { "max_connections": 4, "max_idle": 2, "idle_timeout": "1m" },
    });

    let (status, made) = world.call("POST", "/routes", new).await;

    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["upstream"], &made["path_prefix"]),
        (
            &json!(format!("{}/v1", world.upstream.url())),
            &json!("/api")
        )
    );
    assert_eq!(made["pool"], json!({ "max_connections": 4, "max_idle": 2 }));
    let mut client = RawClient::connect(made["listen"].as_str().unwrap().parse().unwrap()).await;
    client.get("/api/x").await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(world.upstream.received()[0].target, "/v1/x");

    // What a change does not name stays.
    let change = json!({ "head_timeout": "none", "pool": {} });
    let (status, changed) = world.call("PATCH", "/routes/two", change).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["connect_timeout"], "250ms");
    assert_eq!(changed["path_prefix"], "/api");
    assert_eq!(changed.get("head_timeout"), None);
    assert_eq!(changed.get("pool"), None);
    let change =
        json!({ "connect_timeout": "5s", "path_prefix": "/", "upstream": world.upstream.url() });
    let (_, changed) = world.call("PATCH", "/routes/two", change).await;
    for default in ["connect_timeout", "path_prefix", "host", "upstream_tls"] {
        assert_eq!(changed.get(default), None, "{changed}");
    }
    client.get("/api/x").await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(world.upstream.received()[1].target, "/api/x");
}

#[tokio::test]
async fn options_that_cannot_be_used_are_refused_with_their_place() {
    let world = World::start().await;
    let tcp = "tcp://127.0.0.1:9";
    let http = "http://127.0.0.1:9";

    for (upstream, option, pointer) in [
        (http, json!({ "connect_timeout": "2h" }), "/connect_timeout"),
        (http, json!({ "head_timeout": 3 }), "/head_timeout"),
        (
            http,
            json!({ "pool": { "max_connections": 0 } }),
            "/pool/max_connections",
        ),
        (http, json!({ "path_prefix": "api" }), "/path_prefix"),
        ("http://127.0.0.1:9/a?b", json!({}), "/upstream"),
        ("http://127.0.0.1:9/a b", json!({}), "/upstream"),
        ("tcp://127.0.0.1:9/a", json!({}), "/upstream"),
        (tcp, json!({ "head_timeout": "1s" }), "/head_timeout"),
        (tcp, json!({ "path_prefix": "/api" }), "/path_prefix"),
    ] {
        let mut new = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": upstream });
        new.as_object_mut()
            .unwrap()
            .extend(option.as_object().unwrap().clone());
        let (status, problem) = world.call("POST", "/routes", new.clone()).await;
        assert_eq!(status, 422, "{new}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}
