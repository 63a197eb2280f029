//! The health page, field by field.

use brownout_resilience::{
    Breaker, Setup, State, Verdict,
    health::{Page, Status},
    policy::{BreakerPolicy, HealthIndicator},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

use crate::upstream::{Script, Upstream, client};

fn breaker(name: &str, health: HealthIndicator) -> Breaker {
    let policy = BreakerPolicy {
        size: 10,
        minimum_calls: 5,
        slow_call_rate: 50.0,
        health,
        ..BreakerPolicy::default()
    };
    Breaker::new(name, &policy, Setup::seeded(1)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_page_has_the_fields_and_the_order_of_the_original() {
    let breaker = breaker("almg", HealthIndicator::Shown);
    for verdict in [Verdict::Failure; 4].into_iter().chain([Verdict::Success]) {
        breaker.try_acquire().unwrap().record(verdict);
    }
    breaker.try_acquire().unwrap_err();

    let page = Page::of([&breaker]);

    let details = json!({
        "failureRate": "80.0%", "failureRateThreshold": "50.0%",
        "slowCallRate": "0.0%", "slowCallRateThreshold": "50.0%",
        "bufferedCalls": 5, "slowCalls": 0, "slowFailedCalls": 0, "failedCalls": 4,
        "notPermittedCalls": 1, "state": "OPEN",
    });
    let breakers = json!({
        "status": "UNKNOWN",
        "details": { "almg": { "status": "CIRCUIT_OPEN", "details": details } },
    });
    let expected = json!({ "status": "UP", "components": { "circuitBreakers": breakers } });
    // As texts, so that the order counts.
    assert_eq!(page.to_json().to_string(), expected.to_string());
}

#[tokio::test(start_paused = true)]
async fn each_state_has_its_status() {
    for (state, shown, may_fail) in [
        (State::Closed, "UP", "UP"),
        (State::Open, "CIRCUIT_OPEN", "DOWN"),
        (State::HalfOpen, "CIRCUIT_HALF_OPEN", "CIRCUIT_HALF_OPEN"),
        (State::Disabled, "UNKNOWN", "UNKNOWN"),
        (State::ForcedOpen, "UNKNOWN", "UNKNOWN"),
        (State::MetricsOnly, "UNKNOWN", "UNKNOWN"),
    ] {
        for (health, status) in [
            (HealthIndicator::Shown, shown),
            (HealthIndicator::MayFail, may_fail),
        ] {
            let breaker = breaker("almg", health);
            if state == State::HalfOpen {
                breaker.transition_to(State::Open).unwrap();
            }
            breaker.transition_to(state).unwrap();

            let page = Page::of([&breaker]);

            let almg = &page.to_json()["components"]["circuitBreakers"]["details"]["almg"];
            assert_eq!(almg["status"], status);
            assert_eq!(
                page.status == Status::Down,
                status == "DOWN",
                "{state} {health:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_breakers_whose_policy_shows_them_are_on_the_page() {
    let shown = breaker("shown", HealthIndicator::Shown);
    let hidden = breaker("hidden", HealthIndicator::Hidden);

    let page = Page::of([&hidden, &shown]);

    let details = page.to_json()["components"]["circuitBreakers"]["details"]
        .as_object()
        .unwrap();
    assert_eq!(details.keys().collect::<Vec<_>>(), ["shown"]);
}

#[tokio::test(start_paused = true)]
async fn a_page_is_down_and_answered_with_503_when_a_breaker_may_fail_it() {
    let failing = breaker("failing", HealthIndicator::MayFail);
    let working = breaker("working", HealthIndicator::Shown);
    assert_eq!(Page::of([&failing, &working]).status.http(), 200);

    failing.transition_to(State::Open).unwrap();

    let page = Page::of([&failing, &working]);
    assert_eq!((page.status.as_str(), page.status.http()), ("DOWN", 503));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_up_unknown_or_limited_by_what_the_next_call_would_meet() {
    let client = client(
        "[breaker]\nhealth = 'shown'\n[rate_limit]\nlimit = 1\nperiod = '1s'\ntimeout = '2s'",
    );
    let rates = || {
        let page = Page::of_clients([(client.name(), &client)]);
        let rate = &page.to_json()["components"]["rateLimiters"]["details"]["upstream"];
        let details = &rate["details"];
        [
            rate["status"].clone(),
            details["availablePermissions"].clone(),
            details["numberOfWaitingThreads"].clone(),
        ]
    };
    let upstream = Upstream::that([Script::Status(200)]);
    let call = || upstream.called_by(&client, "GET");
    assert_eq!(rates(), [json!("UP"), json!(1), json!(0)]);

    let checks = async {
        assert_eq!(rates(), [json!("RATE_LIMITED"), json!(-2), json!(2)]);
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(rates(), [json!("UNKNOWN"), json!(-1), json!(1)]);
    };
    let (_, _, _, ()) = tokio::join!(call(), call(), call(), checks);
}
