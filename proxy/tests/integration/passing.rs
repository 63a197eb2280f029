//! A fault that finds nothing to act on passes: the answer stays whole, and it counts as skipped.

use brownout_telemetry::names;
use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually};
use serde_json::{Value, json};

const FRAMED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// Answers each request as its path says.
async fn upstream() -> TestUpstream {
    TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        while let Some(request) = client.try_head().await {
            let answer = match &request.head {
                head if head.starts_with("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
                head if head.contains("/chunked") => CHUNKED,
                head if head.contains("/empty") => EMPTY,
                _ => FRAMED,
            };
            client.send(answer).await;
        }
    })
    .await
}

/// Waits until the fault has passed `times` requests and acted on none.
async fn passed(proxy: &TestProxy, fault: &Value, times: u64) {
    eventually(&format!("{fault} to pass {times} requests"), || {
        let counters = proxy.fault("late").counters;
        (counters.injected, counters.skipped, counters.active) == (0, times, 0)
    })
    .await;
    let kind = proxy.fault("late").spec.fault.name();
    let total = |name| proxy.metrics().counter(name, &["web", kind]).total();
    eventually("the metrics to say the same", || {
        total(names::FAULT_INJECTED) == 0 && total(names::FAULT_SKIPPED) == times
    })
    .await;
}

#[tokio::test]
async fn what_comes_at_the_end_of_a_body_or_behind_it_passes_and_counts_as_skipped() {
    let upstream = upstream().await;
    for kind in [
        json!({ "reset": { "after_bytes": "10B" } }),
        json!({ "reset": { "after_bytes": "1MB" } }),
        json!({ "truncate": { "after_bytes": "10B" } }),
        json!({ "truncate": { "after_bytes": "11B", "ending": "rst" } }),
        json!({ "truncate": { "after_bytes": "11B", "ending": "clean" } }),
        json!({ "stall": { "after_bytes": "10B", "for": "1h" } }),
        json!({ "stall": { "after_bytes": "1KiB", "for": "until_removed", "then": "rst" } }),
        json!({ "corrupt": { "rate": 1, "offset": "10B" } }),
        json!({ "corrupt": { "how": "json", "depth": 9 } }),
    ] {
        let mut fault = kind.clone();
        fault["id"] = json!("late");
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;

        for _ in 0..3 {
            client.get("/").await;
            assert_eq!(client.response().await.text(), "0123456789", "{kind}");
        }

        passed(&proxy, &kind, 3).await;
    }
}

#[tokio::test]
async fn behind_the_end_of_a_body_of_unknown_length_they_pass_as_well() {
    let upstream = upstream().await;
    for kind in [
        json!({ "reset": { "after_bytes": "11B" } }),
        json!({ "truncate": { "after_bytes": "11B" } }),
        json!({ "stall": { "after_bytes": "11B", "for": "1h" } }),
        json!({ "corrupt": { "rate": 1, "offset": "10B" } }),
    ] {
        let mut fault = kind.clone();
        fault["id"] = json!("late");
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;

        for _ in 0..2 {
            client.get("/chunked").await;
            assert_eq!(client.response().await.text(), "0123456789", "{kind}");
        }

        passed(&proxy, &kind, 2).await;
    }
}

#[tokio::test]
async fn answers_without_content_are_skipped_by_every_fault_of_bodies() {
    let upstream = upstream().await;
    for kind in [
        json!({ "reset": { "after_bytes": "0B" } }),
        json!({ "truncate": { "fraction": 0.0 } }),
        json!({ "stall": { "for": "1h" } }),
        json!({ "dribble": {} }),
        json!({ "bandwidth": "1B/s" }),
        json!({ "corrupt": { "rate": 1 } }),
    ] {
        let mut fault = kind.clone();
        fault["id"] = json!("late");
        let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
        let mut client = proxy.connect().await;

        for request in ["HEAD /", "GET /empty"] {
            let head = format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n");
            client.send(head).await;
            assert!(client.head().await.status() < 300, "{kind}");
        }

        passed(&proxy, &kind, 2).await;
    }
}

#[tokio::test]
async fn a_request_that_was_passed_leaves_its_place_in_the_limit_to_another() {
    let upstream = upstream().await;
    let fault = json!({
        "id": "late",
        "limit": 1,
        "truncate": { "after_bytes": "0B", "ending": "clean" },
    });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    client.get("/empty").await;
    client.head().await;
    passed(&proxy, &fault, 1).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "");
    client.get("/").await;
    assert_eq!(client.response().await.text(), "0123456789");

    let counters = proxy.fault("late").counters;
    assert_eq!((counters.injected, counters.skipped), (1, 2));
}

#[tokio::test]
async fn a_fault_of_the_body_has_no_effect_on_a_client_that_left_before_it() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        client.head().await;
        client.ended().await; // It never answers.
    })
    .await;
    let fault = json!({ "id": "late", "stall": { "for": "1h" } });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;
    client.get("/").await;
    eventually("the request to be forwarded", || {
        upstream.connections() == 1
    })
    .await;

    drop(client);

    passed(&proxy, &fault, 1).await;
    assert_eq!(proxy.fault("late").counters.client_gave_up, 0);
}
