//! Time limits that the other side is told: what it does with them, and what it tells in turn.

use std::time::Duration;

use brownout_testkit::{RawClient, RawMessage};
use demo_services::{Running, Service, ServiceConfig, start};
use tokio::time::sleep;

use crate::system::{Held, System, USER, answering, policy, quick, stats, stats_until};

async fn recommendations(authentication: String, text: &str) -> Running {
    let config = ServiceConfig {
        policy: policy(text),
        workers: 1,
        ..quick(Service::Recommendations).calling(Service::Authentication, authentication)
    };
    start(config).await.unwrap()
}

/// Asks for recommendations by somebody who waits for so many milliseconds.
async fn asking(service: &Running, timeout_ms: &str) -> RawClient {
    let mut client = RawClient::connect(service.address()).await;
    let request = format!(
        "GET /recommendations HTTP/1.1\r\nHost: test\r\nAuthorization: Token 0x132\r\n\
         x-timeout-ms: {timeout_ms}\r\n\r\n"
    );
    client.send(request).await;
    client
}

async fn asked(service: &Running, timeout_ms: &str) -> RawMessage {
    asking(service, timeout_ms).await.response().await
}

#[tokio::test]
async fn work_that_is_due_before_it_can_begin_is_not_begun() {
    let held = Held::answering(USER).await;
    let service = recommendations(held.upstream.url(), "").await;
    let mut running = asking(&service, "99999999").await;
    stats_until("the first to run", &service, |it| it.running == 1).await;
    // Longer than a machine stands still: it is seen to wait before it is due.
    let mut queued = asking(&service, "1500").await;
    stats_until("the second to wait", &service, |it| it.queued == 1).await;

    sleep(Duration::from_millis(1_600)).await;
    held.release();

    assert_eq!(running.response().await.status(), 200);
    assert_eq!(queued.response().await.status(), 504);
    assert_eq!(held.upstream.received().len(), 1);
    let stats = stats(&service).await;
    assert_eq!((stats.received, stats.answered, stats.expired), (2, 1, 1));
    assert_eq!((stats.running, stats.queued), (0, 0));
}

#[tokio::test]
async fn what_comes_with_no_time_left_is_not_begun() {
    let upstream = answering(200, USER).await;
    let service = recommendations(upstream.url(), "").await;

    assert_eq!(asked(&service, "0").await.status(), 504);

    assert_eq!(upstream.received().len(), 0);
}

#[tokio::test]
async fn a_call_ends_with_the_time_of_whom_it_is_made_for() {
    let held = Held::answering(USER).await;
    let service = recommendations(held.upstream.url(), "").await;

    // Without the deadline this would wait for ever: the policy limits nothing.
    assert_eq!(asked(&service, "1500").await.status(), 500);

    let upstream = &stats(&service).await.upstreams["authentication"];
    assert_eq!((upstream.timeouts, upstream.outcomes.failed), (1, 1));
}

#[tokio::test]
async fn a_deadline_is_passed_on_as_what_is_left_of_it() {
    let upstream = answering(200, USER).await;
    let service = recommendations(upstream.url(), "").await;

    assert_eq!(asked(&service, "20000").await.status(), 200);

    let told = &upstream.received()[0].headers["x-timeout-ms"];
    let told: u64 = told.to_str().unwrap().parse().unwrap();
    assert!((1..=20_000).contains(&told), "{told}");
}

#[tokio::test]
async fn a_service_tells_its_own_time_limit_if_its_policy_wants_it() {
    for (propagate, expected) in [(true, 2), (false, 0)] {
        let text = format!("[timeout]\nattempt = '30s'\npropagate = {propagate}");
        let upstream = answering(200, USER).await;
        let homepage = System::with(|homepage| ServiceConfig {
            policy: policy(&text),
            ..homepage.calling(Service::Authentication, upstream.url())
        });
        let system = homepage.await;

        assert_eq!(system.page().await.status(), 200);
        assert_eq!(system.page().await.status(), 200);

        let received = upstream.received();
        let told = received
            .iter()
            .filter(|it| it.headers.contains_key("x-timeout-ms"));
        assert_eq!(told.count(), expected, "{received:?}");
    }
}

#[tokio::test]
async fn what_is_no_time_is_ignored() {
    let upstream = answering(200, USER).await;
    let service = recommendations(upstream.url(), "").await;

    for odd in ["soon", "-1", "", "123456789"] {
        assert_eq!(asked(&service, odd).await.status(), 200, "{odd}");
    }
}
