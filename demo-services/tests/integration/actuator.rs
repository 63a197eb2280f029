//! The pages of resilience4j's users: health, and what the breakers have told.

use demo_services::{Running, Service, ServiceConfig, start};
use serde_json::Value;

use crate::system::{ask, get, policy, quick, resetting};

/// Recommendations with two workers, under this policy.
async fn recommendations(authentication: String, text: &str) -> Running {
    let config = ServiceConfig {
        policy: policy(text),
        workers: 2,
        ..quick(Service::Recommendations).calling(Service::Authentication, authentication)
    };
    start(config).await.unwrap()
}

async fn page(service: &Running, path: &str) -> (u16, Value) {
    let answer = ask(service.address(), &format!("GET /actuator/{path}"), None).await;
    (
        answer.status(),
        serde_json::from_slice(&answer.body).unwrap(),
    )
}

#[tokio::test]
async fn the_health_page_shows_a_breaker_open_and_is_down_if_it_may_be() {
    for (health, status, shown) in [("shown", 200, "CIRCUIT_OPEN"), ("may_fail", 503, "DOWN")] {
        let broken = resetting().await;
        let text = format!("[breaker]\nsize = 1\nhealth = '{health}'");
        let service = recommendations(broken.url(), &text).await;
        let (before, _) = page(&service, "health").await;
        assert_eq!(before, 200);

        get(service.address(), "/recommendations").await;

        let (now, health) = page(&service, "health").await;
        assert_eq!(now, status);
        let breakers = &health["components"]["circuitBreakers"]["details"];
        let breaker = &breakers["recommendations-authentication"];
        assert_eq!(breaker["status"], shown);
        assert_eq!(breaker["details"]["failureRate"], "100.0%");
    }
}

#[tokio::test]
async fn each_workers_breaker_has_a_name_of_its_own() {
    let text = "[breaker]\nscope = 'worker'\nhealth = 'shown'";
    let service = recommendations("http://127.0.0.1:9".into(), text).await;

    let (_, health) = page(&service, "health").await;

    let breakers = &health["components"]["circuitBreakers"]["details"];
    let names: Vec<_> = breakers.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "recommendations-authentication-0",
            "recommendations-authentication-1"
        ]
    );
}

#[tokio::test]
async fn the_last_events_are_kept_as_many_as_the_policy_says() {
    let broken = resetting().await;
    let text = "[breaker]\nsize = 1\nevent_buffer = 3";
    let service = recommendations(broken.url(), text).await;
    for _ in 0..2 {
        get(service.address(), "/recommendations").await;
    }

    let (status, page) = page(&service, "circuitbreakerevents").await;

    let events = page["circuitBreakerEvents"].as_array().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(status, 200);
    assert_eq!(
        kinds,
        ["FAILURE_RATE_EXCEEDED", "STATE_TRANSITION", "NOT_PERMITTED"]
    );
    assert_eq!(events[1]["stateTransition"], "CLOSED_TO_OPEN");
}

#[tokio::test]
async fn a_service_that_calls_nobody_is_up_and_has_no_events() {
    let service = start(quick(Service::PopularItems)).await.unwrap();

    let (status, health) = page(&service, "health").await;
    let (_, events) = page(&service, "circuitbreakerevents").await;

    assert_eq!((status, &health["status"]), (200, &Value::from("UP")));
    assert_eq!(events["circuitBreakerEvents"], Value::Array(Vec::new()));
}
