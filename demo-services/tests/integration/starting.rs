//! What a service wants to know before it starts.

use std::error::Error as _;

use brownout_resilience::Policy;
use demo_services::{Service, ServiceConfig, policies, start};

use crate::system::quick;

async fn refusal(config: ServiceConfig) -> String {
    let error = start(config).await.unwrap_err();
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[tokio::test]
async fn a_missing_upstream_is_named() {
    let homepage = quick(Service::Homepage)
        .calling(Service::Authentication, "http://127.0.0.1:1")
        .calling(Service::PopularItems, "http://127.0.0.1:2");

    assert_eq!(
        refusal(homepage).await,
        "homepage calls recommendations, whose URL is missing"
    );
}

#[tokio::test]
async fn a_superfluous_upstream_is_named() {
    let popular_items =
        quick(Service::PopularItems).calling(Service::Authentication, "http://127.0.0.1:1");

    assert_eq!(
        refusal(popular_items).await,
        "popular-items does not call authentication"
    );
}

#[tokio::test]
async fn a_malformed_upstream_is_shown() {
    let recommendations =
        quick(Service::Recommendations).calling(Service::Authentication, "127.0.0.1:9001");

    assert_eq!(
        refusal(recommendations).await,
        "`127.0.0.1:9001` is no URL of authentication; write it like \"http://127.0.0.1:9000\""
    );
}

#[tokio::test]
async fn numbers_out_of_bounds_are_refused() {
    for (workers, queue, message) in [
        (0, 0, "workers: 0 is outside 1 to 1024"),
        (1025, 0, "workers: 1025 is outside 1 to 1024"),
        (1, 1_000_001, "queue: 1000001 is above 1000000"),
    ] {
        let config = ServiceConfig {
            workers,
            queue,
            ..quick(Service::PopularItems)
        };

        assert_eq!(refusal(config).await, message);
    }
}

#[tokio::test]
async fn a_policy_that_will_not_do_is_refused() {
    let mut policy: Policy = policies::named("gold").unwrap();
    policy.breaker.as_mut().unwrap().size = 0;
    let recommendations = ServiceConfig {
        policy,
        ..quick(Service::Recommendations).calling(Service::Authentication, "http://127.0.0.1:1")
    };

    let refusal = refusal(recommendations).await;

    assert!(
        refusal.starts_with("could not use the policy: policy `gold` is not valid"),
        "{refusal}"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_shown() {
    let first = start(quick(Service::PopularItems)).await.unwrap();
    let second = ServiceConfig {
        listen: first.address(),
        ..quick(Service::PopularItems)
    };

    let refusal = refusal(second).await;

    let expected = format!("could not listen on {}: ", first.address());
    assert!(refusal.starts_with(&expected), "{refusal}");
}

#[tokio::test]
async fn port_0_is_a_free_port() {
    let first = start(quick(Service::PopularItems)).await.unwrap();
    let second = start(quick(Service::PopularItems)).await.unwrap();

    assert_ne!(first.address().port(), 0);
    assert_ne!(first.address(), second.address());
    assert_eq!(first.service(), Service::PopularItems);
}
