//! `abort` answers in the upstream's place.

use std::time::{Duration, SystemTime};

use brownout_telemetry::names;
use brownout_testkit::{TestProxy, TestUpstream};
use serde_json::{Value, json};

#[tokio::test]
async fn an_abort_answers_and_says_which_fault_it_was() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "id": "down", "abort": { "status": 503, "retry_after": "2s" } }))
        .start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 503);
    assert_eq!(response.values("retry-after"), ["2"]);
    assert_eq!(
        response.values("x-brownout-fault"),
        ["down; type=abort; phase=request"]
    );
    assert_eq!(response.text(), "503 Service Unavailable\n");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_client_that_accepts_json_gets_a_problem() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "abort": 502 }))
        .start();
    let mut client = proxy.connect().await;

    let request = "GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n";
    let (response, _) = client.exchange(request).await;

    assert_eq!(
        response.values("content-type"),
        ["application/problem+json"]
    );
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(problem["status"], 502);
}

#[tokio::test]
async fn a_stealthy_abort_leaves_no_mark() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "abort": 503, "stealth": true }))
        .start();

    let response = proxy.get("/").await;

    assert_eq!(response.status(), 503);
    assert!(
        !response.head.to_lowercase().contains("brownout"),
        "{}",
        response.head
    );
    assert!(!response.text().contains("brownout"));
}

#[tokio::test]
async fn an_abort_keeps_the_connection_and_ends_with_its_limit() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "abort": 503, "limit": 2 }))
        .start();
    let mut client = proxy.connect().await;

    let mut statuses = Vec::new();
    for _ in 0..4 {
        client.get("/").await;
        statuses.push(client.response().await.status());
    }

    assert_eq!(statuses, [503, 503, 200, 200]);
}

#[tokio::test]
async fn a_head_request_gets_the_fields_and_no_body() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_fault(&json!({ "abort": 503, "limit": 1 }))
        .start();
    let mut client = proxy.connect().await;

    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let head = client.head().await;
    client.get("/").await;

    assert_eq!(head.status(), 503);
    assert_eq!(
        client.response().await.text(),
        "hello",
        "nothing of a body came before"
    );
    let errors = names::PROXY_ERRORS;
    let errors = proxy
        .metrics()
        .counter(errors, &["web", "client_disconnect"]);
    assert_eq!(errors.total(), 0, "it got all there is");
}

#[tokio::test]
async fn only_what_matches_is_aborted() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({
        "abort": 503,
        "match": { "method": "GET", "path": "/v1/*", "header": { "x-user": "user-7" } },
    });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    let mut status = async |request: &str| client.exchange(request).await.0.status();

    assert_eq!(
        status("GET /v1/a HTTP/1.1\r\nHost: h\r\nX-User: user-7\r\n\r\n").await,
        503
    );
    assert_eq!(
        status("GET /v1/a HTTP/1.1\r\nHost: h\r\nX-User: user-8\r\n\r\n").await,
        200
    );
    assert_eq!(
        status("DELETE /v1/a HTTP/1.1\r\nHost: h\r\nX-User: user-7\r\n\r\n").await,
        200
    );
    assert_eq!(
        status("GET /v2/a HTTP/1.1\r\nHost: h\r\nX-User: user-7\r\n\r\n").await,
        200
    );
}

#[tokio::test]
async fn a_retry_after_is_a_date_that_is_not_too_early_where_one_is_asked_for() {
    let upstream = TestUpstream::replying("hello").await;
    for fault in [
        json!({ "abort": { "retry_after": "date:30s" } }),
        json!({ "rate_limit": { "limit": 1, "window": "30s", "retry_after": "date:auto" } }),
        json!({ "rate_limit": { "limit": 1, "window": "1h", "retry_after": "date:30s" } }),
    ] {
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        proxy.get("/").await;
        let before = SystemTime::now();

        let response = proxy.get("/").await;

        let told = response.values("retry-after");
        let date = httpdate::parse_http_date(told[0]).unwrap();
        // The quota began to fill again a little earlier.
        let at_least = before + Duration::from_secs(25);
        let at_most = SystemTime::now() + Duration::from_secs(31);
        assert!((at_least..=at_most).contains(&date), "{fault}: {told:?}");
        if fault.get("abort").is_some() {
            assert!(date >= before + Duration::from_secs(30), "{told:?}");
        }
    }
}
