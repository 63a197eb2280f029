//! Who may call, and by which client.

use brownout_client::{Client, ClientError};
use brownout_control_api::{ControlApi, ControlConfig, StartError};
use brownout_telemetry::{Metrics, Tracer, names};
use brownout_testkit::{RawClient, TestUpstream};
use brownout_wire::{RoutePatch, RouteSpec};
use serde_json::json;

use crate::World;

#[tokio::test]
async fn signs_of_life_are_answered() {
    let world = World::start().await;

    assert_eq!(
        world.get("/healthz").await,
        (200, json!({ "status": "ok" }))
    );
    let (_, version) = world.get("/version").await;
    assert_eq!(
        version,
        json!({ "version": "2.12.0", "brownout": env!("CARGO_PKG_VERSION") })
    );
}

#[tokio::test]
async fn a_process_is_ready_until_it_begins_to_stop_and_says_so_of_each_route() {
    let world = World::start().await;
    let off = json!({
        "name": "off", "listen": "127.0.0.1:0", "upstream": world.upstream.url(), "enabled": false,
    });
    let off = world.call("POST", "/routes", off).await.1;
    let listen = [off["listen"].clone(), json!(world.proxy.to_string())];
    let told = |status: &str, web: &str| {
        json!({ "status": status, "routes": [
            { "name": "off", "listen": listen[0], "state": "disabled" },
            { "name": "web", "listen": listen[1], "state": web },
        ] })
    };

    assert_eq!(
        world.get("/readyz").await,
        (200, told("ready", "listening"))
    );
    let mut prober = RawClient::connect(world.api.address()).await;
    let by_any_name = "GET /readyz HTTP/1.1\r\nHost: brownout.test\r\n\r\n";
    assert_eq!(prober.exchange(by_any_name).await.0.status(), 200);

    drop(world.ops.disarm_for_good());

    assert_eq!(
        world.get("/readyz").await,
        (503, told("draining", "draining"))
    );
    assert_eq!(
        world.get("/healthz").await.0,
        200,
        "it is alive all the same"
    );
}

#[tokio::test]
async fn pages_of_other_sites_may_not_call() {
    let world = World::start().await;
    for headers in [
        "Host: evil.example".to_owned(),
        format!(
            "Host: {}\r\nOrigin: http://evil.example",
            world.api.address()
        ),
    ] {
        let mut client = RawClient::connect(world.api.address()).await;
        let request = format!("POST /halt HTTP/1.1\r\n{headers}\r\nContent-Length: 0\r\n\r\n");
        let (response, _) = client.exchange(request).await;
        assert_eq!(response.status(), 403, "{headers}");
    }
}

#[tokio::test]
async fn an_address_open_to_others_must_be_meant() {
    let world = World::start().await;
    let start = |insecure| {
        ControlApi::start(ControlConfig {
            listen: "0.0.0.0:0".to_owned(),
            insecure,
            token: None,
            read_token: None,
            allow_hosts: Vec::new(),
            tls: None,
            connections_max: ControlConfig::CONNECTIONS_MAX,
            ops: world.ops.clone(),
            metrics: Metrics::new(),
            tracer: Tracer::off(),
        })
    };

    assert!(matches!(start(false), Err(StartError::Open { .. })));
    assert!(start(true).is_ok());
}

#[tokio::test]
async fn the_typed_client_does_all_of_it() {
    let world = World::start().await;
    let client = Client::new(&world.api.address().to_string()).unwrap();
    let other = TestUpstream::replying("other").await;

    assert_eq!(client.health().await.unwrap().status, "ok");
    assert_eq!(client.version().await.unwrap().version, "2.12.0");

    let route = RouteSpec::read(
        &json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": other.url() }),
    );
    let made = client.add_route(&route.unwrap()).await.unwrap();
    assert!(made.enabled);
    let patch = RoutePatch {
        enabled: Some(false),
        ..RoutePatch::default()
    };
    assert!(!client.patch_route("two", &patch).await.unwrap().enabled);
    assert_eq!(client.route("two").await.unwrap().name, "two");
    assert_eq!(client.routes().await.unwrap().len(), 2);

    let fault = client
        .arm(&json!({ "route": "web", "abort": 503 }))
        .await
        .unwrap();
    assert_eq!(fault.id, "abort-1");
    assert_eq!(world.through("/").await, 503);
    assert_eq!(client.fault("abort-1").await.unwrap().counters.injected, 1);
    let patched = client
        .patch_fault("abort-1", &json!({ "percent": 0 }))
        .await
        .unwrap();
    assert_eq!(patched.spec.percent.share(), 0.0);
    let put = client
        .put_fault("mine", &json!({ "route": "*", "latency": "1ms" }))
        .await
        .unwrap();
    assert_eq!(put.id, "mine");
    let all = client
        .arm_all(&[json!({ "route": "web", "reset": {}, "percent": 0 })])
        .await
        .unwrap();
    assert_eq!(all[0].id, "reset-1");
    assert_eq!(client.faults().await.unwrap().len(), 3);
    client.remove_fault("mine").await.unwrap();
    assert_eq!(
        client.clear_faults().await.unwrap().removed,
        ["abort-1", "reset-1"]
    );
    assert!(client.halt(Some("1s")).await.unwrap().removed.is_empty());
    client.remove_route("two").await.unwrap();
}

#[tokio::test]
async fn the_typed_client_tells_refusal_absence_and_strangers_apart() {
    let world = World::start().await;
    let client = Client::new(&world.api.address().to_string()).unwrap();

    let refused = client
        .arm(&json!({ "route": "wbe", "abort": 503 }))
        .await
        .unwrap_err();
    let missing = client.fault("no such/fault?").await.unwrap_err();
    let stranger = Client::new(&world.upstream.url())
        .unwrap()
        .health()
        .await
        .unwrap_err();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let absent = Client::new(&free.to_string())
        .unwrap()
        .health()
        .await
        .unwrap_err();

    assert_eq!(
        refused.to_string(),
        "the request was understood, but there is a problem with it\n  \
         /route: there is no route `wbe`; did you mean `web`?"
    );
    assert!(matches!(missing, ClientError::Refused(problem) if problem.status == 404));
    assert!(
        matches!(stranger, ClientError::Foreign { .. }),
        "{stranger}"
    );
    assert!(
        matches!(absent, ClientError::Unreachable { .. }),
        "{absent}"
    );
}

#[tokio::test]
async fn a_method_that_nobody_knows_is_counted_as_another() {
    let world = World::start().await;
    for method in ["BREW", "WHEN"] {
        assert_eq!(world.raw(method, "/faults", "").await.status(), 405);
    }

    let counted = names::CONTROL_REQUESTS;
    let counted = world.metrics.counter(counted, &["_OTHER", "/faults"]);
    assert_eq!(counted.total(), 2);
}

#[tokio::test]
async fn everything_that_is_counted_can_be_scraped() {
    let world = World::start().await;
    world
        .call("POST", "/faults", json!({ "route": "web", "abort": 503 }))
        .await;
    assert_eq!(world.through("/").await, 503);

    // What a request took is counted after its client has the answer.
    world.ended(1).await;

    let answer = world.raw("GET", "/metrics", "").await;

    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.values("content-type"),
        ["text/plain; version=0.0.4; charset=utf-8"]
    );
    let page = answer.text();
    for line in [
        "# TYPE proxy_requests_total counter",
        "proxy_requests_total{route=\"web\"} 1",
        "proxy_responses_total{route=\"web\",class=\"5xx\"} 1",
        "fault_injected_total{route=\"web\",fault_type=\"abort\"} 1",
        "proxy_latency_seconds_count{route=\"web\"} 1",
        "control_revision 1",
        "control_requests_total{method=\"POST\",route=\"/faults\"} 1",
        "telemetry_series_overflow_total 0",
    ] {
        assert!(page.lines().any(|it| it == line), "no `{line}` in\n{page}");
    }
}
