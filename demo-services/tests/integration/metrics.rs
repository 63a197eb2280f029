//! Counters, by the names of the original and by ours.

use brownout_telemetry::{Metrics, Value};
use demo_services::{Running, Service, ServiceConfig, start};

use crate::system::{
    Held, System, answering, ask, count, get, policy, quick, refusing, resetting, saying,
};

/// A recommendations service that counts into `metrics`.
async fn recommendations(metrics: &Metrics, authentication: String, text: &str) -> Running {
    let config = ServiceConfig {
        metrics: metrics.clone(),
        policy: policy(text),
        workers: 1,
        ..quick(Service::Recommendations).calling(Service::Authentication, authentication)
    };
    start(config).await.unwrap()
}

fn counts<const N: usize>(metrics: &Metrics, names: [&str; N]) -> [u64; N] {
    names.map(|name| count(metrics, name))
}

/// A counter with tags.
fn tagged(metrics: &Metrics, name: &str, values: &[&str]) -> Option<u64> {
    let samples = metrics.snapshot();
    let sample = samples.iter().find(|sample| {
        let tags = sample.tags.iter().map(|(_, value)| &**value);
        sample.name == name && tags.eq(values.iter().copied())
    })?;
    match sample.value {
        Value::Counter(total) => Some(total),
        Value::Gauge(value) => u64::try_from(value).ok(),
        Value::Histogram(ref distribution) => Some(distribution.count()),
    }
}

#[tokio::test]
async fn pages_are_counted_by_the_names_of_the_original() {
    let metrics = Metrics::new();
    let config = |service| ServiceConfig {
        metrics: metrics.clone(),
        ..quick(service)
    };
    let system = System::of(config, |homepage| homepage).await;

    for _ in 0..3 {
        system.page().await;
    }
    ask(system.homepage.address(), "GET /", None).await;
    ask(system.authentication.address(), "POST /authenticate", None).await;

    assert_eq!(
        counts(
            &metrics,
            [
                "homepage.get",
                "recommendations.get",
                "popular_items.get",
                "authentication.post",
                "authentication.missing_auth_token",
                "authorization.authorization_success",
                "authorization.permission_denied",
            ]
        ),
        [4, 3, 3, 7, 1, 6, 0]
    );
    assert_eq!(
        counts(
            &metrics,
            [
                "homepage.responses.2xx",
                "homepage.responses.4xx",
                "homepage.responses.5xx",
                "homepage.errors",
            ]
        ),
        [3, 1, 0, 0]
    );
    assert_eq!(tagged(&metrics, "homepage.latency", &[]), Some(4));
    let calls = ["homepage", "recommendations"];
    assert_eq!(tagged(&metrics, "client.calls", &calls), Some(3));
    assert_eq!(tagged(&metrics, "client.attempts", &calls), Some(3));
    assert_eq!(tagged(&metrics, "client.latency", &calls), Some(3));
    assert_eq!(tagged(&metrics, "client.attempt_latency", &calls), Some(3));
    let ok = ["homepage", "recommendations", "ok"];
    assert_eq!(tagged(&metrics, "client.outcome", &ok), Some(3));
}

#[tokio::test]
async fn a_denied_permission_is_counted() {
    let metrics = Metrics::new();
    let upstream = answering(200, r#"{"permissions":[]}"#).await;
    let service = recommendations(&metrics, upstream.url(), "").await;

    get(service.address(), "/recommendations").await;

    assert_eq!(count(&metrics, "authorization.permission_denied"), 1);
    assert_eq!(count(&metrics, "authorization.authorization_success"), 0);
}

#[tokio::test]
async fn every_failed_call_is_counted_once_under_its_path() {
    let held = Held::answering("").await;
    let (_socket, refused) = refusing();
    let reset = resetting().await;
    let cut = saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").await;
    let broken = answering(500, "").await;
    let names = [
        "/authenticate.connection_error",
        "/authenticate.timeout",
        "/authenticate.error",
        "circuitbreaker./authenticate_breaker_open",
    ];
    for (url, policy, expected) in [
        (refused, "", [1, 0, 0, 0]),
        (reset.url(), "", [1, 0, 0, 0]),
        (
            held.upstream.url(),
            "[timeout]\nattempt = \"20ms\"\n",
            [0, 1, 0, 0],
        ),
        (cut.url(), "", [0, 0, 1, 0]),
        (broken.url(), "", [0, 0, 1, 0]),
        (
            reset.url(),
            "[retry]\nbase = \"1ms\"\nmethods = [\"*\"]\n",
            [1, 0, 0, 0],
        ),
        (
            reset.url(),
            "[breaker]\ninitial_state = \"forced_open\"\n",
            [0, 0, 0, 1],
        ),
    ] {
        let metrics = Metrics::new();
        let service = recommendations(&metrics, url, policy).await;

        get(service.address(), "/recommendations").await;

        assert_eq!(counts(&metrics, names), expected, "{policy}");
    }
}

#[tokio::test]
async fn breakers_are_counted_by_service_and_upstream() {
    let metrics = Metrics::new();
    let upstream = resetting().await;
    let breaker = "[breaker]\nsize = 2\n";
    let service = recommendations(&metrics, upstream.url(), breaker).await;
    let name = "recommendations-authentication";
    assert_eq!(tagged(&metrics, "circuitbreaker.state", &[name]), Some(0));

    for _ in 0..5 {
        get(service.address(), "/recommendations").await;
    }

    assert_eq!(
        tagged(&metrics, "circuitbreaker.transitions", &[name, "open"]),
        Some(1)
    );
    assert_eq!(
        tagged(&metrics, "circuitbreaker.rejected", &[name]),
        Some(3)
    );
    assert_eq!(tagged(&metrics, "circuitbreaker.state", &[name]), Some(2));
    let rejected = ["recommendations", "authentication", "rejected"];
    assert_eq!(tagged(&metrics, "client.outcome", &rejected), Some(3));
}

#[tokio::test]
async fn a_request_that_is_turned_away_is_counted_too() {
    let metrics = Metrics::new();
    let held = Held::answering("").await;
    let config = ServiceConfig {
        metrics: metrics.clone(),
        workers: 1,
        queue: 0,
        ..quick(Service::Recommendations).calling(Service::Authentication, held.upstream.url())
    };
    let service = start(config).await.unwrap();
    let address = service.address();
    let mut held_up = brownout_testkit::RawClient::connect(address).await;
    held_up
        .send(crate::system::request("GET /recommendations", Some("x")))
        .await;
    crate::system::stats_until("the worker to be busy", &service, |it| it.running == 1).await;

    get(address, "/recommendations").await;

    assert_eq!(
        counts(
            &metrics,
            [
                "recommendations.get",
                "recommendations.responses.5xx",
                "recommendations.errors"
            ]
        ),
        [2, 1, 1]
    );
}

#[tokio::test]
async fn two_services_on_one_registry_keep_their_own_account() {
    let metrics = Metrics::new();
    for _ in 0..2 {
        let config = ServiceConfig {
            metrics: metrics.clone(),
            ..quick(Service::PopularItems)
        };
        let service = start(config).await.unwrap();
        ask(service.address(), "GET /popular_items", None).await;

        assert_eq!(crate::system::stats(&service).await.received, 1);
    }

    assert_eq!(count(&metrics, "popular_items.get"), 2);
}

#[tokio::test]
async fn budgets_guards_and_rates_are_counted() {
    let metrics = Metrics::new();
    let upstream = answering(503, "{}").await;
    let text = "[retry]\nbase = '0s'\nmethods = ['*']\n[retry.budget]\nmin_per_sec = 0\nratio = 0\n\
                [breaker]\nminimum_calls = 2\ninitial_state = 'metrics_only'\n[bulkhead]\nmax_concurrent = 7\n\
                [rate_limit]\nlimit = 4\nperiod = '1h'\ntimeout = '0s'";
    let service = recommendations(&metrics, upstream.url(), text).await;

    for _ in 0..5 {
        get(service.address(), "/recommendations").await;
    }

    let tags = ["recommendations", "authentication"];
    let refused = ["recommendations", "authentication", "rate_limited"];
    let breaker = ["recommendations-authentication"];
    for (name, values, total) in [
        ("client.retry_budget_exhausted", &tags[..], 4),
        ("client.refused", &refused, 1),
        ("client.in_flight", &tags, 0),
        ("client.bulkhead_free", &tags, 7),
        ("circuitbreaker.failure_rate", &breaker, 100),
    ] {
        assert_eq!(tagged(&metrics, name, values), Some(total), "{name}");
    }
}
