//! Clients that come back before the time that a `Retry-After` told them.

use std::time::SystemTime;

use brownout_testkit::{TestProxy, TestUpstream};
use serde_json::json;

fn early(proxy: &TestProxy, id: &str) -> Option<u64> {
    proxy.fault(id).magnitude.early_returns
}

#[tokio::test]
async fn they_are_counted_for_every_kind_that_tells_to_wait() {
    for (kind, mut fault) in [
        (
            "abort",
            json!({ "abort": { "status": 503, "retry_after": "1h" } }),
        ),
        (
            "abort after",
            json!({ "abort": { "at": "after", "retry_after": "date:1h" } }),
        ),
        (
            "mutate",
            json!({ "mutate": { "response": { "status": 503, "set": { "retry-after": "3600" } } } }),
        ),
    ] {
        let upstream = TestUpstream::replying("hello").await;
        fault["id"] = "busy".into();
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        assert_eq!(early(&proxy, "busy"), None, "{kind}: nobody was told");
        proxy.get("/a").await;
        assert_eq!(early(&proxy, "busy"), Some(0), "{kind}");

        proxy.get("/a").await;
        proxy.get("/a").await;

        assert_eq!(early(&proxy, "busy"), Some(2), "{kind}");
    }
}

#[tokio::test]
async fn a_request_for_another_path_is_not_early() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "busy", "abort": { "retry_after": "1h" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

    proxy.get("/a").await;
    proxy.get("/b").await;

    assert_eq!(early(&proxy, "busy"), Some(0));
}

#[tokio::test]
async fn who_comes_back_early_is_counted_when_the_fault_is_spent() {
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "once", "abort": { "retry_after": "1h" }, "limit": 1 });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    assert_eq!(proxy.get("/").await.status(), 503);

    assert_eq!(proxy.get("/").await.status(), 200);
    assert_eq!(proxy.get("/").await.status(), 200);

    assert_eq!(early(&proxy, "once"), Some(2));
}

#[tokio::test]
async fn who_is_told_to_wait_no_time_or_until_a_date_that_has_passed_is_never_early() {
    for (retry_after, is_date) in [("0s", false), ("date:-10s", true)] {
        let upstream = TestUpstream::replying("hello").await;
        let fault = json!({ "id": "now", "abort": { "retry_after": retry_after } });
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();

        let told = proxy.get("/").await;
        proxy.get("/").await;

        let told = told.values("retry-after")[0];
        match is_date {
            true => assert!(httpdate::parse_http_date(told).unwrap() < SystemTime::now()),
            false => assert_eq!(told, "0"),
        }
        assert_eq!(early(&proxy, "now"), Some(0), "{retry_after}");
    }
}
