//! The policy of a running service, seen and changed.

use demo_services::{Running, Service, ServiceConfig, start};
use serde_json::{Value, json};

use crate::system::{Held, USER, ask, get, policy, quick, resetting, stats};

/// Recommendations with one worker, under this policy.
async fn recommendations(authentication: String, text: &str) -> Running {
    let config = ServiceConfig {
        policy: policy(text),
        workers: 1,
        ..quick(Service::Recommendations).calling(Service::Authentication, authentication)
    };
    start(config).await.unwrap()
}

/// Sends a body to the settings; the status and the answer.
async fn settings(service: &Running, method: &str, body: &str) -> (u16, Value) {
    let mut client = brownout_testkit::RawClient::connect(service.address()).await;
    let length = body.len();
    let request = format!(
        "{method} /settings HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    client.send(request).await;
    let answer = client.response().await;
    (
        answer.status(),
        serde_json::from_slice(&answer.body).unwrap(),
    )
}

#[tokio::test]
async fn the_settings_show_the_policy_with_all_its_defaults() {
    let service =
        recommendations("http://127.0.0.1:9".into(), "[timeout]\nattempt = '1500ms'").await;

    let (status, shown) = settings(&service, "GET", "").await;

    assert_eq!(status, 200);
    let toml = shown["toml"].as_str().unwrap().to_owned();
    assert!(
        toml.contains("attempt = \"1.5s\"") && toml.contains("total = \"none\""),
        "{toml}"
    );
    let expected = json!({
        "timeout": 1.5, "retries": false, "circuit_breakers": false, "policy": "test", "toml": toml,
    });
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_policy_taken_holds_for_the_next_request() {
    let held = Held::answering(USER).await;
    let service = recommendations(held.upstream.url(), "").await;

    let (status, _) = settings(&service, "PUT", r#"{"timeout": 0.05}"#).await;
    assert_eq!(status, 200);

    // Without the timeout this would wait for ever.
    assert_eq!(
        get(service.address(), "/recommendations").await.status(),
        500
    );
    let upstream = &stats(&service).await.upstreams["authentication"];
    assert_eq!(
        (upstream.policy.as_str(), upstream.timeouts),
        ("settings", 1)
    );
}

#[tokio::test]
async fn put_begins_anew_and_patch_changes_only_what_it_says() {
    let service = recommendations("http://127.0.0.1:9".into(), "").await;
    let flags = |shown: &Value| {
        let flag = |key: &str| shown[key].clone();
        [flag("timeout"), flag("retries"), flag("circuit_breakers")]
    };

    let (_, shown) = settings(&service, "PUT", r#"{"timeout": 0.5, "retries": true}"#).await;
    assert_eq!(flags(&shown), [json!(0.5), json!(true), json!(false)]);

    let (_, shown) = settings(&service, "PATCH", r#"{"circuit_breakers": true}"#).await;
    assert_eq!(flags(&shown), [json!(0.5), json!(true), json!(true)]);

    let (_, shown) = settings(&service, "PATCH", r#"{"timeout": 60, "retries": false}"#).await;
    assert_eq!(flags(&shown), [json!(null), json!(false), json!(true)]);

    let (_, shown) = settings(&service, "PUT", r#"{"retries": true}"#).await;
    assert_eq!(flags(&shown), [json!(null), json!(true), json!(false)]);
}

#[tokio::test]
async fn a_policy_may_be_given_by_name_or_by_all_it_says() {
    let service = recommendations("http://127.0.0.1:9".into(), "").await;

    let (_, shown) = settings(&service, "PUT", r#"{"policy": "library/gate-4"}"#).await;
    assert_eq!(shown["policy"], "library-gate-4");

    let text = json!({ "policy": "base = 'gold'\n[timeout]\nattempt = '250ms'" }).to_string();
    let (_, shown) = settings(&service, "PATCH", &text).await;
    assert_eq!(
        (&shown["timeout"], &shown["circuit_breakers"]),
        (&json!(0.25), &json!(true))
    );
}

#[tokio::test]
async fn what_will_not_do_is_refused_and_changes_nothing() {
    let service = recommendations("http://127.0.0.1:9".into(), "[timeout]\nattempt = '1s'").await;
    let (_, before) = settings(&service, "GET", "").await;

    for (body, detail) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("[]", r#"expected an object such as {"timeout": 0.5}"#),
        (
            "{}",
            "nothing to set; known: timeout, retries, circuit_breakers, policy",
        ),
        (
            r#"{"retry": true}"#,
            "unknown key `retry`; known: timeout, retries, circuit_breakers, policy",
        ),
        (
            r#"{"timeouts": 1}"#,
            "unknown key `timeouts`; did you mean `timeout`?",
        ),
        (
            r#"{"outages": []}"#,
            "outages: a service knows no faults; start them at the proxy before it",
        ),
        (r#"{"retries": 3}"#, "retries: expected true or false"),
        (
            r#"{"timeout": -1}"#,
            "timeout: expected seconds, at least 0.001, such as 0.5; 60 or null for none",
        ),
        (
            r#"{"policy": "golden"}"#,
            "unknown policy `golden`; did you mean `gold`?",
        ),
        (
            r#"{"policy": "gold", "retries": true}"#,
            "policy: says all by itself, leave out the other keys",
        ),
        (
            r#"{"policy": "[retry]\nmax = 2"}"#,
            "policy `settings` is not valid\n  line 2: retry.max: unknown key; known are max_attempts, backoff, base",
        ),
    ] {
        for method in ["PUT", "PATCH"] {
            let (status, problem) = settings(&service, method, body).await;

            let told = problem["detail"].as_str().unwrap();
            assert_eq!(status, 400, "{body}");
            assert!(told.starts_with(detail), "{body}: {told}");
        }
    }
    assert_eq!(settings(&service, "GET", "").await.1, before);
}

#[tokio::test]
async fn a_body_that_has_no_end_is_refused() {
    let service = recommendations("http://127.0.0.1:9".into(), "").await;
    let body = format!("{{\"policy\": \"{}\"}}", "#".repeat(65 * 1024));

    let (status, _) = settings(&service, "PUT", &body).await;

    assert_eq!(status, 400);
}

#[tokio::test]
async fn an_open_breaker_stays_open_when_only_a_timeout_changes() {
    const BREAKER: &str = "[breaker]\nsize = 1\n";
    let broken = resetting().await;
    let service = recommendations(broken.url(), BREAKER).await;
    get(service.address(), "/recommendations").await;
    let state = async || {
        let stats = stats(&service).await;
        let breaker = stats.upstreams["authentication"].breaker.clone().unwrap();
        (breaker.states, breaker.opened)
    };
    assert_eq!(state().await, (vec!["open".to_owned()], 1));

    let same = json!({ "policy": format!("{BREAKER}[timeout]\nattempt = '1s'") }).to_string();
    settings(&service, "PUT", &same).await;
    assert_eq!(state().await, (vec!["open".to_owned()], 1));

    let other = json!({ "policy": "[breaker]\nsize = 2\n" }).to_string();
    settings(&service, "PUT", &other).await;
    assert_eq!(state().await, (vec!["closed".to_owned()], 0));
}

#[tokio::test]
async fn a_running_service_takes_a_policy_from_its_owner() {
    let service = recommendations("http://127.0.0.1:9".into(), "").await;

    service.use_policy(policy("[retry]")).unwrap();

    assert_eq!(settings(&service, "GET", "").await.1["retries"], true);
    let mut bad = policy("[retry]");
    bad.retry.as_mut().unwrap().max_attempts = 0;
    service.use_policy(bad).unwrap_err();
    assert_eq!(settings(&service, "GET", "").await.1["retries"], true);
}

#[tokio::test]
async fn a_service_that_calls_nobody_has_no_settings() {
    let service = start(quick(Service::PopularItems)).await.unwrap();

    let answer = ask(service.address(), "GET /settings", None).await;

    assert_eq!(answer.status(), 404);
}
