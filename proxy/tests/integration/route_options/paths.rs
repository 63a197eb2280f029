use brownout_proxy::AttemptEnd;
use brownout_telemetry::names;
use brownout_testkit::{TestProxy, TestUpstream};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;

use super::{endings, ends, options};

async fn through(prefix: &str, base: &str) -> (TestUpstream, TestProxy) {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to_url(&format!("{}{base}", upstream.url()))
        .with_options(options(|it| it.path_prefix = Some(prefix.to_owned())))
        .with_access_log()
        .start();
    (upstream, proxy)
}

#[tokio::test]
async fn the_upstream_gets_what_follows_the_prefix_behind_its_own_path() {
    let (upstream, proxy) = through("/api", "/v1").await;

    for path in ["/api/items%2F1?page=/api&x=%20", "/api", "/api?q"] {
        assert_eq!(proxy.get(path).await.status(), 200, "{path}");
    }

    let targets: Vec<String> = upstream
        .received()
        .iter()
        .map(|it| it.target.clone())
        .collect();
    assert_eq!(targets, ["/v1/items%2F1?page=/api&x=%20", "/v1", "/v1?q"]);
}

#[tokio::test]
async fn a_path_outside_of_the_prefix_is_a_404_that_says_so_and_goes_nowhere() {
    let (upstream, proxy) = through("/api", "").await;
    let mut client = proxy.connect().await;

    for path in ["/", "/apis", "/API/x", "/%61pi"] {
        client.get(path).await;
        let answer = client.response().await;
        assert_eq!(answer.status(), 404, "{path}");
        let told = answer.text();
        assert!(told.contains("does not begin with /api"), "{told}");
    }

    assert_eq!(upstream.connections(), 0);
    assert_eq!(endings(&proxy, 4).await, ["path_prefix"; 4]);
    assert_eq!(ends(&proxy, 4).await, [AttemptEnd::BadRequest; 4]);
    let refused = (proxy.metrics()).counter(names::PROXY_REFUSED, &[proxy.route(), "path_prefix"]);
    assert_eq!(refused.total(), 4);
}

#[tokio::test]
async fn faults_the_access_log_and_a_location_have_the_path_of_their_side() {
    let upstream = TestUpstream::serving(|request| async move {
        let answer = hyper::Response::builder().status(302);
        let answer = answer.header("location", request.target);
        answer.body(Full::new(Bytes::new())).unwrap()
    })
    .await;
    let proxy = TestProxy::to_url(&format!("{}/v1", upstream.url()))
        .with_options(options(|it| it.path_prefix = Some("/api".to_owned())))
        .with_fault(&json!({ "abort": 503, "match": { "path": "/api/broken" } }))
        .with_access_log()
        .start();

    assert_eq!(proxy.get("/api/broken").await.status(), 503);
    let answer = proxy.get("/api/moved").await;

    assert_eq!(answer.values("location"), ["/v1/moved"]);
    endings(&proxy, 2).await;
    assert_eq!(proxy.access_lines()[1]["path"], "/api/moved");
}

#[tokio::test]
async fn a_target_in_absolute_form_is_mapped_and_an_asterisk_stays() {
    let (upstream, proxy) = through("/api", "/v1").await;
    let mut client = proxy.connect().await;

    client
        .send("GET http://shop/api/x?y HTTP/1.1\r\nHost: shop\r\n\r\n")
        .await;
    client.response().await;
    client
        .send("OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n")
        .await;
    client.response().await;

    let targets: Vec<String> = upstream
        .received()
        .iter()
        .map(|it| it.target.clone())
        .collect();
    assert_eq!(targets, ["/v1/x?y", "*"]);
}
