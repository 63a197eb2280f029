//! The gate: the primary if it answers, else the fallback, and nothing twice.

use std::net::SocketAddr;

use brownout_resilience::Policy;
use brownout_testkit::{RawClient, RawMessage, TestUpstream};
use demo_services::library::{GateName, LibraryConfig, LibraryRole, Running, start};
use serde_json::{Value, json};

use super::{
    Books, FALLBACK, GATE, Shelf, answered, body, get, piranesi, post, problem, quick, send, stats,
    url,
};
use crate::system::{answering, policy, refusing, resetting};

async fn gate(primary: impl Into<String>, fallback: impl Into<String>) -> Running {
    start(quick(LibraryConfig::gate(primary, fallback)))
        .await
        .unwrap()
}

/// A gate with these policies instead of some of its own.
async fn gate_with(
    primary: String,
    fallback: String,
    change: impl FnOnce(&mut [Policy; GateName::ALL.len()]),
) -> Running {
    let mut config = quick(LibraryConfig::gate(primary, fallback));
    if let LibraryRole::Gate { policies, .. } = &mut config.role {
        change(policies);
    }
    start(config).await.unwrap()
}

async fn health(gate: &Running) -> Value {
    body(&get(gate.address(), "/api/almg/actuator/health").await)
}

/// What the health page says of one gate.
async fn breaker(gate: &Running, name: &str) -> Value {
    health(gate).await["components"]["circuitBreakers"]["details"][name].clone()
}

/// Takes each request to `upstream`, waits for its answer, and resets the connection instead of passing that on.
async fn losing_answers_of(upstream: SocketAddr) -> TestUpstream {
    TestUpstream::raw(move |stream| async move {
        stream.set_zero_linger().unwrap();
        let mut caller = RawClient::over(stream);
        let request = caller.request().await;
        let mut upstream = RawClient::connect(upstream).await;
        upstream.send(&request.head).await;
        upstream.send(&request.body).await;
        upstream.response().await;
    })
    .await
}

#[tokio::test]
async fn all_gates_pass_on_what_the_primary_says() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let gate = gate(url(&books.primary), url(&books.fallback)).await;
    for (number, name) in (0..).zip(GateName::ALL) {
        let made = post(gate.address(), &format!("{GATE}/{name}"), &piranesi()).await;
        let id = 6 + number;
        assert_eq!(made.status(), 201);
        assert_eq!(made.values("location"), [format!("{GATE}/{name}/{id}")]);
        assert_eq!(body(&made), answered(&piranesi(), id, "primary"));

        let read = get(gate.address(), &format!("{GATE}/{name}/{id}")).await;
        assert_eq!(read.status(), 200);
        assert_eq!(body(&read), answered(&piranesi(), id, "primary"));
        assert!(read.values("x-degraded").is_empty());
    }
    assert_eq!(stats(&books.fallback).await.received, 0);
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong_and_do_not_reach_the_fallback() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let gate = gate(url(&books.primary), url(&books.fallback)).await;
    let missing = "title: is missing; authors: is missing; year: is missing; publisher: is missing";
    for (what, sent, status, detail) in [
        (
            "GET g6/1",
            "",
            404,
            "unknown gate `g6`; known: g1, g2, g3, g4, g5",
        ),
        (
            "POST g6",
            "{}",
            404,
            "unknown gate `g6`; known: g1, g2, g3, g4, g5",
        ),
        (
            "GET g1/abc",
            "",
            400,
            "`abc` is no book's id, which is a whole number from 1",
        ),
        ("GET g1/99", "", 404, "there is no book 99"),
        ("GET g1/1/2", "", 404, "no such resource"),
        ("GET g1", "", 405, "this resource takes POST"),
        ("PUT g1/1", "{}", 405, "this resource takes GET, HEAD"),
        (
            "POST g1",
            "title",
            400,
            "not JSON: expected ident at line 1 column 2",
        ),
        ("POST g1", "{}", 422, missing),
    ] {
        let (method, path) = what.split_once(' ').unwrap();
        let what = format!("{method} {GATE}/{path}");

        let answer = send(gate.address(), &what, "", sent).await;

        assert_eq!(problem(&answer), (status, detail.to_owned()), "{what}");
    }
    assert_eq!(stats(&books.fallback).await.received, 0);
}

#[tokio::test]
async fn a_book_that_is_not_there_says_nothing_about_the_primary() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let gate = gate(url(&books.primary), url(&books.fallback)).await;

    for _ in 0..20 {
        assert_eq!(
            get(gate.address(), &format!("{GATE}/g1/99")).await.status(),
            404
        );
    }

    let first = breaker(&gate, "g1").await;
    assert_eq!(first["details"]["state"], "CLOSED");
    assert_eq!(first["details"]["bufferedCalls"], 0);
}

#[tokio::test]
async fn whatever_the_primary_does_instead_of_answering_the_fallback_answers() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let (_taken, refusing) = refusing();
    let (resetting, failing) = (resetting().await, answering(500, "").await);
    let talking = answering(200, "a book").await;
    for primary in [refusing, resetting.url(), failing.url(), talking.url()] {
        let gate = gate(&primary, url(&books.fallback)).await;
        for name in GateName::ALL {
            let read = get(gate.address(), &format!("{GATE}/{name}/1")).await;
            assert_eq!(read.status(), 200, "{primary}: {}", read.text());
            assert_eq!(body(&read)["source"], "fallback");
            assert_eq!(read.values("x-degraded"), ["library_primary"]);

            let made = post(gate.address(), &format!("{GATE}/{name}"), &piranesi()).await;
            assert_eq!(made.status(), 201);
            assert_eq!(body(&made)["source"], "fallback");
            assert_eq!(made.values("x-degraded"), ["library_primary"]);
        }
        let missing = get(gate.address(), &format!("{GATE}/g1/9999")).await;
        assert_eq!(problem(&missing), (404, "there is no book 9999".to_owned()));
    }
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_makes_one_book() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let losing = losing_answers_of(books.primary.address()).await;
    let gate = gate(losing.url(), url(&books.fallback)).await;

    let made = post(gate.address(), &format!("{GATE}/g1"), &piranesi()).await;

    assert_eq!(made.status(), 201);
    assert_eq!(body(&made), answered(&piranesi(), 6, "fallback"));
    assert_eq!(stats(&books.primary).await.answered, 1);
    let next = get(books.fallback.address(), &format!("{FALLBACK}/7")).await;
    assert_eq!(next.status(), 404);

    let again = post(gate.address(), &format!("{GATE}/g1"), &piranesi()).await;
    assert_ne!(body(&again)["id"], 6, "another request is another book");
}

#[tokio::test]
async fn the_key_of_a_reader_is_passed_on() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let gate = gate(url(&books.primary), url(&books.fallback)).await;
    let create = async |name| {
        let what = format!("POST {GATE}/{name}");
        let key = "Idempotency-Key: mine\r\n";
        body(&send(gate.address(), &what, key, &piranesi().to_string()).await)
    };

    assert_eq!(create("g1").await["id"], 6);
    assert_eq!(create("g2").await["id"], 6);
}

#[tokio::test]
async fn when_nobody_answers_the_gate_says_so() {
    let resetting = resetting().await;
    let (_taken, refusing) = refusing();
    let gate = gate(resetting.url(), refusing).await;
    let read = async || get(gate.address(), &format!("{GATE}/g2/1")).await;
    let neither = |why: &str| {
        let detail = format!("neither the primary nor the fallback answered: {why}");
        (503, detail)
    };

    for _ in 0..5 {
        assert_eq!(problem(&read().await), neither("reset, connect"));
    }
    assert_eq!(
        problem(&read().await),
        neither("circuit_breaker_open, connect")
    );
}

#[tokio::test]
async fn each_gate_has_a_breaker_of_its_own() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let resetting = resetting().await;
    let gate = gate(resetting.url(), url(&books.fallback)).await;

    for _ in 0..8 {
        get(gate.address(), &format!("{GATE}/g2/1")).await;
    }

    let states: Vec<_> = {
        let page = health(&gate).await;
        let details = page["components"]["circuitBreakers"]["details"]
            .as_object()
            .unwrap();
        let state = |(name, it): (&String, &Value)| (name.clone(), it["details"]["state"].clone());
        details.iter().map(state).collect()
    };
    let wanted = [
        ("g1", "CLOSED"),
        ("g2", "OPEN"),
        ("g3", "CLOSED"),
        ("g4", "CLOSED"),
        ("g5", "CLOSED"),
    ];
    assert_eq!(
        states,
        wanted.map(|(name, state)| (name.to_owned(), json!(state)))
    );
    assert_eq!(
        breaker(&gate, "g2").await["details"]["notPermittedCalls"],
        3
    );
    assert_eq!(resetting.connections(), 5);
    let second = &stats(&gate).await.upstreams["g2"];
    assert_eq!(
        (
            second.calls,
            second.attempts,
            second.rejected,
            second.fallbacks
        ),
        (8, 5, 3, 8)
    );
    assert_eq!(stats(&gate).await.upstreams["fallback"].outcomes.ok, 8);
}

#[tokio::test]
async fn the_first_gate_tries_again_what_was_never_sent() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let (_taken, refusing) = refusing();
    let gate = gate(refusing, url(&books.fallback)).await;

    post(gate.address(), &format!("{GATE}/g1"), &piranesi()).await;
    post(gate.address(), &format!("{GATE}/g2"), &piranesi()).await;

    let stats = stats(&gate).await;
    assert_eq!(stats.upstreams["g1"].attempts, 2);
    assert_eq!(stats.upstreams["g2"].attempts, 1);
}

#[tokio::test]
async fn a_policy_without_a_fallback_leaves_a_failure_one() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let resetting = resetting().await;
    let gate = gate_with(resetting.url(), url(&books.fallback), |policies| {
        policies[0] = policy("[timeout]\nattempt = \"1s\"\n");
    })
    .await;

    let answer = get(gate.address(), &format!("{GATE}/g1/1")).await;

    assert_eq!(
        problem(&answer),
        (503, "the primary did not answer: reset".to_owned())
    );
    assert_eq!(stats(&books.fallback).await.received, 0);
    assert_eq!(
        breaker(&gate, "g1").await,
        Value::Null,
        "there is no breaker to show"
    );
}

#[tokio::test]
async fn what_is_sent_to_the_primary_is_what_came() {
    let primary = answering(
        200,
        r#"{"id":1,"title":"t","authors":["a"],"year":1,"publisher":"p","source":"primary"}"#,
    )
    .await;
    let gate = gate(primary.url(), primary.url()).await;

    get(gate.address(), &format!("{GATE}/g1/1?verbose=1")).await;
    post(gate.address(), &format!("{GATE}/g1"), &piranesi()).await;

    let received = primary.received();
    assert_eq!(
        (received[0].method.as_str(), received[0].target.as_str()),
        ("GET", "/api/alm/reactive/books/1")
    );
    assert!(!received[0].headers.contains_key("idempotency-key"));
    assert_eq!(
        (received[1].method.as_str(), received[1].target.as_str()),
        ("POST", "/api/alm/reactive/books/create")
    );
    assert_eq!(received[1].headers["content-type"], "application/json");
    assert_eq!(received[1].headers["idempotency-key"].len(), 36);
}

#[tokio::test]
async fn the_health_page_has_its_fields_in_order() {
    let gate = gate("http://127.0.0.1:9", "http://127.0.0.1:9").await;

    let page: RawMessage = get(gate.address(), "/api/almg/actuator/health").await;

    let breaker = r#"{"status":"UP","details":{"failureRate":"-1.0%","failureRateThreshold":"50.0%","slowCallRate":"-1.0%","slowCallRateThreshold":"50.0%","bufferedCalls":0,"slowCalls":0,"slowFailedCalls":0,"failedCalls":0,"notPermittedCalls":0,"state":"CLOSED"}}"#;
    let breakers = ["g1", "g2", "g3", "g4", "g5"].map(|name| format!(r#""{name}":{breaker}"#));
    let rates = r#""rateLimiters":{"status":"UP","details":{"g1":{"status":"UP","details":{"availablePermissions":1000,"numberOfWaitingThreads":0}}}}"#;
    assert_eq!(page.status(), 200);
    assert_eq!(
        page.text(),
        format!(
            r#"{{"status":"UP","components":{{"circuitBreakers":{{"status":"UP","details":{{{}}}}},{rates}}}}}"#,
            breakers.join(",")
        )
    );
}

#[tokio::test]
async fn a_setup_that_will_not_do_is_refused() {
    let worker = "[breaker]\nscope = \"worker\"\n";
    let mut of_each_worker = LibraryConfig::gate("http://127.0.0.1:9", "http://127.0.0.1:9");
    if let LibraryRole::Gate { policies, .. } = &mut of_each_worker.role {
        policies[2] = policy(worker);
    }
    let good = || LibraryConfig::gate("http://127.0.0.1:9", "http://127.0.0.1:9");
    for (config, wanted) in [
        (
            LibraryConfig::gate("127.0.0.1:9", "http://127.0.0.1:9"),
            "`127.0.0.1:9` is no URL of library-primary; write it like \"http://127.0.0.1:9000\"",
        ),
        (
            LibraryConfig::gate("http://127.0.0.1:9", "http://127.0.0.1:9/api"),
            "`http://127.0.0.1:9/api` is no URL of library-fallback; write it like \"http://127.0.0.1:9000\"",
        ),
        (
            of_each_worker,
            "the policy of g3 has `breaker.scope` \"worker\"; a gate's breaker is \"shared\"",
        ),
        (
            LibraryConfig {
                workers: 0,
                ..good()
            },
            "workers: 0 is outside 1 to 1024",
        ),
        (
            LibraryConfig {
                queue: 1_000_001,
                ..good()
            },
            "queue: 1000001 is above 1000000",
        ),
    ] {
        assert_eq!(start(config).await.unwrap_err().to_string(), wanted);
    }
}
