//! Routes with several servers.

use brownout_testkit::{RawClient, TestUpstream};
use serde_json::json;

use crate::World;

#[tokio::test]
async fn a_route_may_have_several_servers_and_get_others() {
    let world = World::start().await;
    let second = TestUpstream::replying("second").await;
    let both = json!([world.upstream.url(), second.url()]);
    let (status, made) = world
        .call(
            "POST",
            "/routes",
            json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": both }),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    let shown = format!("{},{}", world.upstream.url(), second.url());
    assert_eq!(made["upstream"], json!(shown));
    let listen = made["listen"].as_str().unwrap().parse().unwrap();
    let mut client = RawClient::connect(listen).await;
    for wanted in ["hello", "second", "hello"] {
        client.get("/").await;
        assert_eq!(client.response().await.text(), wanted);
    }

    let (_, shown) = world.get("/routes/two").await;
    let well = |url| json!({ "url": url, "state": "ok", "connect_failures": 0 });
    let servers = [world.upstream.url(), second.url()].map(well);
    assert_eq!(shown["servers"], json!(servers));

    let change = json!({ "upstream": [second.url()] });
    let (status, patched) = world.call("PATCH", "/routes/two", change).await;

    assert_eq!((status, &patched["upstream"]), (200, &json!(second.url())));
    assert_eq!(patched.get("servers"), None, "there is one");
    for _ in 0..2 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "second");
    }
}

#[tokio::test]
async fn a_server_that_refuses_is_shown_as_failing() {
    let world = World::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let both = json!([refusing, world.upstream.url()]);
    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": both });
    let (_, made) = world.call("POST", "/routes", route).await;
    let mut client = RawClient::connect(made["listen"].as_str().unwrap().parse().unwrap()).await;

    for _ in 0..4 {
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello");
    }

    let (_, shown) = world.get("/routes/two").await;
    let failing = json!({ "url": refusing, "state": "failing", "connect_failures": 1 });
    assert_eq!(shown["servers"][0], failing, "{shown}");
    assert_eq!(shown["servers"][1]["state"], "ok");
}

#[tokio::test]
async fn servers_that_are_not_alike_are_refused_with_their_place() {
    let world = World::start().await;

    for (upstream, place, told) in [
        (json!(["http://a:1", "tcp://b:2"]), "/upstream", "not alike"),
        (json!(["http://a:1", "b:2"]), "/upstream/1", "a scheme"),
        (json!([]), "/upstream", "empty list"),
    ] {
        let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": upstream });
        let (status, problem) = world.call("POST", "/routes", route).await;
        assert_eq!(status, 422, "{problem}");
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], place, "{problem}");
        assert!(error["detail"].as_str().unwrap().contains(told), "{error}");
    }
}
