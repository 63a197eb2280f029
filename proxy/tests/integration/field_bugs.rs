//! Bugs that users of other fault injectors reported, and where we look for each of them.
//!
//! | bug | test |
//! |---|---|
//! | retries in front of the fault hide its rate (Istio 25160) | here: `retries_before_a_fault_hide_failures_and_not_its_rate` |
//! | a retry of the injecting layer cancels the fault (Istio 13705) | here: `no_retry_of_our_own_cancels_a_fault` |
//! | a reset that never arrives, or is a FIN (`WireMock` 2033, 812; mountebank) | `wire_truth`: `a_reset_is_a_reset_every_time_also_with_unread_bytes` |
//! | pooled connections escape (`WireMock` 240, Chaos Mesh) | `latency`: `each_of_ten_requests_on_one_connection_is_delayed`; the control API's `promise` |
//! | the first injection resets what is in flight (xk6-disruptor) | `wire_truth`: `arming_the_first_fault_resets_nothing_in_flight` |
//! | work goes on for a client that left (xk6-disruptor) | `latency`: `a_client_that_leaves_during_the_hold_ends_it` |
//! | lengths, HEAD, 204, 304, 100, trailers, upgrades with faults of the body | `passing`, `patching`, `upgrade`; `wire_truth`: `trailers_pass_a_body_that_is_shaped`; `response_faults`: `answers_without_content_pass_the_faults_of_bodies` |
//! | armed, changed, removed or expired while requests are held; clocks that jump | here: `a_fault_that_ends_while_requests_come_lets_all_of_them_end`; the fault crate's `clock` and `holding` |
//! | percent 0, 0.0001 and 100; windows of counts under concurrency | the fault crate's `draws` and `deciding`: `limit_is_exact_under_any_concurrency_and_across_patches` |
//! | an error and a delay are both due, one is lost (Rift) | `latency`: `delay_and_abort_both_happen_delay_first` |
//! | compressed bodies are damaged by accident on one side | `wire_truth`: `a_compressed_body_is_damaged_as_it_is_on_the_wire`; `patching`: gzip passes |
//! | what is undone on Ctrl-C and SIGTERM, and a second run right after | `draining`; the command line's `proxy_command` |
//!
//! Halting by itself and summaries of reports belong to houses above this one.

use std::time::Duration;

use brownout_testkit::{RawClient, TestProxy, TestUpstream, eventually, within};
use serde_json::json;

#[tokio::test]
async fn retries_before_a_fault_hide_failures_and_not_its_rate() {
    const CALLS: u64 = 300;
    const TRIES: u64 = 3;
    let upstream = TestUpstream::replying("hello").await;
    let fault = json!({ "id": "flaky", "percent": 50, "abort": 503 });
    let proxy = TestProxy::to(&upstream).with_fault(&fault).start();
    let mut client = proxy.connect().await;

    let (mut attempts, mut failed_attempts, mut failed_calls) = (0, 0, 0);
    for _ in 0..CALLS {
        let mut left = TRIES;
        let succeeded = loop {
            client.get("/").await;
            attempts += 1;
            left -= 1;
            if client.response().await.status() == 200 {
                break true;
            }
            failed_attempts += 1;
            if left == 0 {
                break false;
            }
        };
        failed_calls += u64::from(!succeeded);
    }

    // The fault tells the rate of attempts, whoever makes them; what the caller saw is another number.
    let counters = proxy.fault("flaky").counters;
    assert_eq!(
        (counters.matched, counters.injected),
        (attempts, failed_attempts)
    );
    let percent = |part: u64, of: u64| part * 100 / of;
    let of_attempts = percent(failed_attempts, attempts);
    assert!(
        (42..=58).contains(&of_attempts),
        "{of_attempts} % of attempts"
    );
    // Half of a half of a half.
    let of_calls = percent(failed_calls, CALLS);
    assert!((6..=20).contains(&of_calls), "{of_calls} % of calls");
}

#[tokio::test]
async fn no_retry_of_our_own_cancels_a_fault() {
    let upstream = TestUpstream::replying("hello").await;
    for (fault, status) in [
        (json!({ "abort": 503 }), Some(503)),
        (
            json!({ "abort": { "status": 503, "at": "after" } }),
            Some(503),
        ),
        (json!({ "reset": {} }), None),
        (json!({ "reset": { "at": "response_head" } }), None),
        (json!({ "close": {} }), None),
    ] {
        let proxy = TestProxy::to(&upstream).start();
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.response().await; // From now on there is a connection to the upstream that could be tried again.
        let before = upstream.received().len();
        let mut fault = fault;
        fault["id"] = json!("once");
        fault["limit"] = json!(1);
        proxy.arm(&fault);

        client.get("/").await;

        match status {
            Some(status) => assert_eq!(client.response().await.status(), status, "{fault}"),
            None => assert!(client.ended().await.bytes.is_empty(), "{fault}"),
        }
        assert_eq!(proxy.fault("once").counters.matched, 1, "{fault}");
        let reached = upstream.received().len() - before;
        assert!(
            reached <= 1,
            "{fault}: the upstream did the work {reached} times"
        );
    }
}

#[tokio::test]
async fn a_fault_that_ends_while_requests_come_lets_all_of_them_end() {
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    for round in 0..20_u64 {
        let fault = json!({ "id": "slow", "latency": "1h", "ttl": "1h" });
        proxy.arm(&fault);
        let mut clients: Vec<RawClient> = Vec::new();
        for n in 0..12 {
            let mut client = proxy.connect().await;
            client.get("/").await;
            clients.push(client);
            // In the midst of those that come, at another place each round.
            if n == round % 12 {
                match round % 3 {
                    0 => proxy.disarm("slow"),
                    1 => proxy.patch("slow", &json!({ "latency": "1ms" })),
                    _ => proxy.patch("slow", &json!({ "ttl": "1ms" })),
                }
            }
        }
        if round % 3 == 2 {
            let mut faults = proxy.faults();
            let end = std::time::Instant::now() + Duration::from_secs(1);
            faults.expire(end);
        }

        for client in &mut clients {
            let response = within("a held request", client.response()).await;
            assert_eq!(response.text(), "hello", "round {round}");
        }
        if round % 3 == 1 {
            eventually("nothing to be held", || {
                proxy.fault("slow").counters.active == 0
            })
            .await;
            proxy.disarm("slow");
        }
    }
}
