//! Timeouts, retries, breakers and fallbacks, as an upstream and `/stats` see them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use brownout_resilience::Policy;
use brownout_testkit::TestUpstream;
use demo_services::{OutcomeStats, Running, Service, ServiceConfig, Stats, policies, start};

use crate::system::{
    Held, System, USER, answering, get, policy, quick, refusing, resetting, stats,
};

/// Retries without waiting, of every method.
const RETRIES: &str = r#"
    [retry]
    max_attempts = 4
    base = "1ms"
    methods = ["*"]
"#;

/// The original's breaker, for all workers.
const SHARED_BREAKER: &str = r#"
    order = "original"
    [breaker]
    scope = "shared"
    size = 5
    minimum_calls = 5
    failure_rate = 100
    probes = 1
    wait = "30s"
    [fallback]
    kind = "empty"
"#;

async fn homepage(policy: Policy, recommendations: &TestUpstream, workers: usize) -> System {
    System::with(|homepage| ServiceConfig {
        policy,
        workers,
        ..homepage.calling(Service::Recommendations, recommendations.url())
    })
    .await
}

async fn recommendations(policy: Policy, authentication: String) -> Running {
    let config = ServiceConfig {
        policy,
        ..quick(Service::Recommendations).calling(Service::Authentication, authentication)
    };
    start(config).await.unwrap()
}

#[tokio::test]
async fn retries_are_attempts_and_every_attempt_reaches_the_upstream() {
    let upstream = resetting().await;
    let system = homepage(policy(RETRIES), &upstream, 8).await;

    for _ in 0..3 {
        system.page().await;
    }

    let calls = &stats(&system.homepage).await.upstreams["recommendations"];
    assert_eq!((calls.calls, calls.attempts, calls.retries), (3, 12, 9));
    assert_eq!(calls.outcomes.failed, 3);
    assert_eq!(upstream.connections(), 12);
}

#[tokio::test]
async fn a_retry_that_succeeds_makes_the_page_whole() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let upstream = TestUpstream::serving(move |_| {
        let fails = counter.fetch_add(1, Ordering::SeqCst) % 3 < 2;
        async move {
            let mut answer = hyper::Response::new(http_body_util::Full::from("[1]"));
            if fails {
                *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
            }
            answer
        }
    })
    .await;
    let system = homepage(policy(RETRIES), &upstream, 8).await;

    let page = system.page().await;

    assert!(page.values("x-degraded").is_empty());
    let calls = &stats(&system.homepage).await.upstreams["recommendations"];
    assert_eq!((calls.attempts, calls.retries), (3, 2));
    assert_eq!(calls.outcomes.retried_ok, 1);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_timeout_ends_an_attempt_that_its_upstream_does_not() {
    let held = Held::answering(USER).await;
    let timeout = Duration::from_millis(50);
    let service = recommendations(
        policy("[timeout]\nattempt = \"50ms\"\n"),
        held.upstream.url(),
    )
    .await;

    let began = Instant::now();
    let answer = get(service.address(), "/recommendations").await;

    assert_eq!(answer.status(), 500);
    assert!(began.elapsed() >= timeout);
    let calls = &stats(&service).await.upstreams["authentication"];
    assert_eq!((calls.attempts, calls.timeouts), (1, 1));
    assert_eq!(calls.outcomes.failed, 1);
}

#[tokio::test]
async fn recommendations_has_no_policy_unless_configured() {
    let service = quick(Service::Recommendations);

    assert_eq!(service.policy, Policy::none("none"));
}

#[tokio::test]
async fn a_breaker_for_each_worker_opens_after_five_failures_of_each() {
    let upstream = resetting().await;
    let policy = policies::named("circuit-breakers").unwrap();
    let system = homepage(policy, &upstream, 8).await;
    let open = |stats: &Stats| {
        let breaker = stats.upstreams["recommendations"].breaker.clone().unwrap();
        assert_eq!(breaker.scope, "worker");
        assert_eq!(breaker.states.len(), 8);
        breaker.states.iter().filter(|it| *it == "open").count()
    };

    // Whichever worker takes a request: after enough of them each has had its five.
    let mut pages = 0;
    while open(&stats(&system.homepage).await) < 8 {
        assert!(pages < 1000, "the breakers are not open yet");
        system.page().await;
        pages += 1;
    }
    for _ in 0..20 {
        system.page().await;
        pages += 1;
    }

    assert_eq!(upstream.connections(), 8 * 5);
    let stats = stats(&system.homepage).await;
    let calls = &stats.upstreams["recommendations"];
    assert_eq!(calls.calls, pages);
    assert_eq!(calls.attempts, 8 * 5);
    assert_eq!(calls.rejected, pages - 8 * 5);
    assert_eq!(calls.fallbacks, pages);
    let breaker = calls.breaker.as_ref().unwrap();
    assert_eq!((breaker.opened, breaker.not_permitted), (8, pages - 8 * 5));
    let others = &stats.upstreams["popular_items"];
    assert_eq!(others.attempts, pages, "other upstreams are called on");
    assert!(
        others
            .breaker
            .as_ref()
            .unwrap()
            .states
            .iter()
            .all(|it| it == "closed")
    );
}

#[tokio::test]
async fn a_shared_breaker_opens_after_five_failures_of_all() {
    let upstream = resetting().await;
    let system = homepage(policy(SHARED_BREAKER), &upstream, 8).await;

    for _ in 0..20 {
        assert_eq!(
            system.page().await.values("x-degraded"),
            ["recommendations"]
        );
    }

    assert_eq!(upstream.connections(), 5);
    let stats = stats(&system.homepage).await;
    let calls = &stats.upstreams["recommendations"];
    assert_eq!((calls.calls, calls.attempts, calls.rejected), (20, 5, 15));
    let breaker = calls.breaker.as_ref().unwrap();
    assert_eq!(breaker.scope, "shared");
    assert_eq!(breaker.states, ["open"]);
    assert_eq!((breaker.opened, breaker.not_permitted), (1, 15));
}

#[tokio::test]
async fn a_breaker_that_waited_lets_a_probe_through_and_closes() {
    let answers = Arc::new(AtomicUsize::new(500));
    let status = Arc::clone(&answers);
    let upstream = TestUpstream::serving(move |_| {
        let mut answer = hyper::Response::new(http_body_util::Full::from("[1]"));
        let status = u16::try_from(status.load(Ordering::SeqCst)).unwrap();
        *answer.status_mut() = status.try_into().unwrap();
        async { answer }
    })
    .await;
    let quick_breaker = SHARED_BREAKER.replace("30s", "20ms");
    let system = homepage(policy(&quick_breaker), &upstream, 8).await;
    for _ in 0..5 {
        system.page().await;
    }
    answers.store(200, Ordering::SeqCst);

    brownout_testkit::within("the breaker to close", async {
        while !system.page().await.values("x-degraded").is_empty() {}
    })
    .await;

    let calls = &stats(&system.homepage).await.upstreams["recommendations"];
    assert_eq!(calls.breaker.as_ref().unwrap().states, ["closed"]);
}

#[tokio::test]
async fn an_error_status_is_no_failure_to_the_originals_breaker() {
    let upstream = answering(503, "").await;
    let policy = policies::named("circuit-breakers").unwrap();
    let system = homepage(policy, &upstream, 1).await;

    for _ in 0..10 {
        system.page().await;
    }

    let calls = &stats(&system.homepage).await.upstreams["recommendations"];
    assert_eq!((calls.attempts, calls.rejected), (10, 0));
    assert_eq!(calls.outcomes.fallback, 10);
    assert_eq!(calls.breaker.as_ref().unwrap().states, ["closed"]);
}

#[tokio::test]
async fn every_kind_of_error_is_told_apart() {
    for (error, attempts) in [
        ("connect", [2, 1, 1, 1, 1]),
        ("reset", [1, 2, 1, 1, 1]),
        ("incomplete", [1, 1, 2, 1, 1]),
        ("protocol", [1, 1, 1, 2, 2]),
    ] {
        let (_socket, refused) = refusing();
        let reset = resetting().await;
        let cut = crate::system::saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").await;
        let noise = crate::system::saying("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
        let prose = answering(200, "welcome").await;
        let policy = policy(&format!(
            "[retry]\nmax_attempts = 2\nbase = \"1ms\"\nmethods = [\"*\"]\non_error = [\"{error}\"]\n"
        ));
        let mut counted = Vec::new();
        for url in [refused, reset.url(), cut.url(), noise.url(), prose.url()] {
            let service = recommendations(policy.clone(), url).await;

            let answer = get(service.address(), "/recommendations").await;

            assert_eq!(answer.status(), 500);
            counted.push(stats(&service).await.upstreams["authentication"].attempts);
        }
        assert_eq!(counted, attempts, "{error} alone is tried again");
    }
}

#[tokio::test]
async fn nothing_takes_the_place_of_an_authentication() {
    let upstream = answering(503, "").await;
    let service = recommendations(policies::named("none").unwrap(), upstream.url()).await;

    let answer = get(service.address(), "/recommendations").await;

    assert_eq!(answer.status(), 500);
    let calls = &stats(&service).await.upstreams["authentication"];
    assert_eq!(calls.policy, "none");
    assert_eq!(calls.fallbacks, 0);
    assert_eq!(
        calls.outcomes,
        OutcomeStats {
            failed: 1,
            ..OutcomeStats::default()
        }
    );
}
