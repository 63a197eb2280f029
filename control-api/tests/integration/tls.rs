//! Routes with TLS, made and changed by the API.

use brownout_client::Client;
use brownout_testkit::{RawClient, RawMessage, TestAuthority, TestUpstream, TlsFront, TlsTunnel};
use brownout_wire::{ListenerTlsSpec, RouteSpec, UpstreamTlsSpec};
use serde_json::{Value, json};

use crate::World;

async fn get(listen: &Value) -> RawMessage {
    let mut client = RawClient::connect(listen.as_str().unwrap().parse().unwrap()).await;
    client.get("/").await;
    client.response().await
}

#[tokio::test]
async fn a_route_leads_to_an_https_upstream_and_shows_how() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["api.test"]);
    let front = TlsFront::before(world.upstream.address(), &certificate).await;
    let tls = json!({ "ca": authority.file(), "server_name": "api.test" });

    let (status, made) = world
        .call(
            "POST",
            "/routes",
            json!({
                "name": "api", "listen": "127.0.0.1:0", "upstream": front.url(),
                "upstream_tls": tls, "host": "api.test",
            }),
        )
        .await;

    assert_eq!(status, 201, "{made}");
    assert_eq!(get(&made["listen"]).await.text(), "hello");
    let received = world.upstream.received();
    assert_eq!(received.last().unwrap().headers["host"], "api.test");
    let (_, shown) = world.get("/routes/api").await;
    assert_eq!(shown["upstream_tls"], tls);
    assert_eq!(shown["upstream"], front.url());
    assert_eq!(shown["host"], "api.test");
    assert_eq!(shown["protocol"], "http");
}

#[tokio::test]
async fn a_patch_changes_what_it_says_and_keeps_the_rest() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(world.upstream.address(), &certificate).await;
    let patch = |body: Value| world.call("PATCH", "/routes/web", body);
    let listen = json!(world.proxy.to_string());

    // By the system's certificates, which this one is not of.
    let (status, patched) = patch(json!({ "upstream": front.url() })).await;
    assert_eq!((status, &patched["upstream_tls"]), (200, &json!({})));
    assert_eq!(get(&listen).await.status(), 502);

    let (status, _) = patch(json!({ "upstream_tls": { "ca": authority.file() } })).await;
    assert_eq!(status, 200);
    assert_eq!(get(&listen).await.text(), "hello");

    let (_, patched) = patch(json!({ "host": "upstream" })).await;
    assert_eq!(patched["upstream_tls"]["ca"], json!(authority.file()));
    assert_eq!(get(&listen).await.text(), "hello");
    let host = world.upstream.received().last().unwrap().headers["host"].clone();
    assert_eq!(host, front.url().trim_start_matches("https://"));

    let (_, patched) = patch(json!({ "upstream": world.upstream.url(), "host": "keep" })).await;
    assert_eq!(patched["upstream_tls"], Value::Null);
    assert_eq!(patched["host"], Value::Null);
    assert_eq!(get(&listen).await.text(), "hello");
}

#[tokio::test]
async fn a_listener_gets_tls_and_loses_it() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["web.test"]);
    let tls = json!({ "cert": certificate.cert, "key": certificate.key });

    let (status, patched) = world
        .call("PATCH", "/routes/web", json!({ "tls": tls }))
        .await;

    assert_eq!((status, &patched["tls"]), (200, &tls));
    let tunnel = TlsTunnel::to(world.proxy, "web.test", &authority).await;
    let through = json!(tunnel.address().to_string());
    assert_eq!(get(&through).await.text(), "hello");

    let (_, patched) = world
        .call("PATCH", "/routes/web", json!({ "tls": "off" }))
        .await;
    assert_eq!(patched["tls"], Value::Null);
    assert_eq!(world.through("/").await, 200);
}

#[tokio::test]
async fn a_tcp_route_gets_tls_on_both_sides_and_loses_it() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let issued = authority.issue(&["db.test"]);
    let behind = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(world.upstream.address(), &behind).await;
    let plain = format!("tcp://{}", world.upstream.address());
    let route = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": plain });
    let (_, made) = world.call("POST", "/routes", route).await;
    let listen = made["listen"].clone();
    let patch = |body: Value| world.call("PATCH", "/routes/db", body);
    assert_eq!(get(&listen).await.text(), "hello");

    let tls = json!({ "cert": issued.cert, "key": issued.key });
    let (status, patched) = patch(json!({ "tls": tls })).await;

    assert_eq!((status, &patched["tls"]), (200, &tls), "{patched}");
    let address = listen.as_str().unwrap().parse().unwrap();
    let tunnel = TlsTunnel::to(address, "db.test", &authority).await;
    let through = json!(tunnel.address().to_string());
    assert_eq!(get(&through).await.text(), "hello");

    let encrypted = front.url().replace("https://", "tls://");
    let upstream_tls = json!({ "ca": authority.file() });
    let change = json!({ "upstream": encrypted, "upstream_tls": upstream_tls });
    let (status, patched) = patch(change).await;
    assert_eq!((status, &patched["tls"]), (200, &tls), "{patched}");
    assert_eq!(patched["upstream_tls"], upstream_tls);
    assert_eq!(patched["protocol"], "tcp");
    assert_eq!(get(&through).await.text(), "hello");

    let (status, refused) =
        patch(json!({ "tls": { "cert": issued.cert, "key": behind.key } })).await;
    assert_eq!(
        (status, &refused["errors"][0]["pointer"]),
        (422, &json!("/tls/key"))
    );
    assert_eq!(get(&through).await.text(), "hello", "it stays as it was");

    let (status, patched) = patch(json!({ "tls": "off", "upstream": plain })).await;
    assert_eq!((status, &patched["tls"]), (200, &Value::Null), "{patched}");
    assert_eq!(patched["upstream_tls"], Value::Null);
    assert_eq!(get(&listen).await.text(), "hello");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_place_and_the_file() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let expired = TestAuthority::valid_until(2015);
    let (one, other) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let https = "https://127.0.0.1:1";
    let cases = [
        (
            json!({ "upstream": https, "upstream_tls": { "ca": "/nowhere.pem" } }),
            ("/upstream_tls/ca", "could not read `/nowhere.pem`"),
        ),
        (
            json!({ "upstream": https, "upstream_tls": { "ca": expired.file() } }),
            ("/upstream_tls/ca", "expired on Thu, 01 Jan 2015"),
        ),
        (
            json!({ "upstream": https, "upstream_tls": { "cert": one.cert, "key": other.key } }),
            ("/upstream_tls/key", "does not match the certificate"),
        ),
        (
            json!({ "upstream": "http://127.0.0.1:1", "upstream_tls": {} }),
            ("/upstream_tls", "is not reached with TLS"),
        ),
        (
            json!({ "upstream": "tcp://127.0.0.1:1", "upstream_tls": {} }),
            ("/upstream_tls", "is not reached with TLS"),
        ),
        (
            json!({ "upstream": "tcp://127.0.0.1:1", "host": "upstream" }),
            ("/host", "means nothing on a tcp route"),
        ),
        (
            json!({ "upstream": https, "host": "a b" }),
            ("/host", "is neither"),
        ),
        (
            json!({ "upstream": https, "tls": { "cert": one.key, "key": one.key } }),
            ("/tls/cert", "has no certificate in PEM"),
        ),
        (
            json!({ "upstream": https, "tls": {
                "cert": one.cert, "key": one.key,
                "certificates": [{ "cert": other.cert, "key": one.key }],
            } }),
            ("/tls/certificates/0/key", "does not match the certificate"),
        ),
        (
            json!({ "upstream": https, "tls": {
                "cert": one.cert, "key": one.key,
                "certificates": [{ "cert": other.cert, "key": other.key, "names": ["*"] }],
            } }),
            ("/tls/certificates/0/names", "`*` is no host name"),
        ),
        (
            json!({ "upstream": "tls://127.0.0.1", "tls": { "cert": one.cert, "key": one.key } }),
            ("/upstream", "has no port"),
        ),
        (
            json!({ "upstream": "tls://127.0.0.1:1", "upstream_tls": { "alpn": [""] } }),
            ("/upstream_tls/alpn", "a name that is empty"),
        ),
        (
            json!({ "upstream": https, "tls": "self" }),
            ("/tls", "needs a state directory"),
        ),
    ];
    for (mut route, (pointer, detail)) in cases {
        route["name"] = "new".into();
        route["listen"] = "127.0.0.1:0".into();
        let (status, answer) = world.call("POST", "/routes", route.clone()).await;
        assert_eq!(status, 422, "{route}: {answer}");
        let error = &answer["errors"][0];
        assert_eq!(error["pointer"], pointer, "{route}: {answer}");
        let told = error["detail"].as_str().unwrap();
        assert!(told.contains(detail), "{route}: {told}");
    }
    assert_eq!(world.get("/routes/new").await.0, 404);
}

#[tokio::test]
async fn the_typed_client_makes_and_sees_routes_with_tls() {
    let world = World::start().await;
    let client = Client::new(&world.api.address().to_string()).unwrap();
    let certificate = TestAuthority::new();
    let certificate = (certificate.issue(&["a.test"]), certificate);
    let (cert, key) = (&certificate.0.cert, &certificate.0.key);
    let upstream = TestUpstream::replying("x").await;
    let mut spec = RouteSpec::new(
        "one",
        "127.0.0.1:0",
        format!("https://{}", upstream.address()),
    );
    spec.upstream_tls = Some(UpstreamTlsSpec {
        insecure: true,
        ..UpstreamTlsSpec::default()
    });
    let tls = json!({ "cert": cert, "key": key });
    spec.tls = Some(ListenerTlsSpec::read(&tls).unwrap());

    let made = client.add_route(&spec).await.unwrap();

    assert_eq!((made.tls, made.upstream_tls), (spec.tls, spec.upstream_tls));
    assert_eq!(client.route("one").await.unwrap().name, "one");
}
