use std::{fs, net::SocketAddr};

use brownout_testkit::{RawClient, within};
use serde_json::Value;
use tokio::time::{Duration, sleep};

use crate::{Server, run};

#[test]
fn a_policy_is_shown_with_what_it_inherits_and_every_default() {
    let shown = run(&["policy", "show", "library/gate-4"]).ok();

    for line in [
        "order = \"resilience4j\"",
        "[breaker]",
        "size = 10",
        "probes = 2",
        "wait = \"1s\"",
        "slow_call_duration = \"1m\"",
        "event_buffer = 100",
        "# no [retry]: one attempt",
    ] {
        assert!(
            shown.lines().any(|it| it == line),
            "{line} is not in\n{shown}"
        );
    }
}

#[test]
fn what_is_shown_is_a_policy_file_that_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "base = \"gold\"\n[timeout]\nattempt = \"250ms\"\n").unwrap();
    let file = file.to_str().unwrap();
    let shown = run(&["policy", "show", file]).ok();
    let again = folder.path().join("again.toml");
    fs::write(&again, &shown).unwrap();

    assert_eq!(
        run(&["policy", "show", again.to_str().unwrap()]).ok(),
        shown
    );
    assert!(shown.contains("attempt = \"250ms\"") && shown.contains("scope = \"worker\""));
}

#[test]
fn a_wrong_policy_is_told_with_its_line_and_the_nearest_right_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    fs::write(&file, "[retry]\nmax_atempts = 4\n").unwrap();
    let file = file.to_str().unwrap();

    let checked = run(&["policy", "check", "gold", file]);

    assert_eq!(checked.code(), 2);
    assert_eq!(checked.out(), "gold: good\n");
    assert!(
        checked
            .err()
            .contains("line 2: retry.max_atempts: unknown key; did you mean `max_attempts`?"),
        "{}",
        checked.err()
    );
}

#[test]
fn keys_as_resilience4j_writes_them_are_told_with_the_name_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("theirs.toml");
    let keys = [
        ("breaker", "failureRateThreshold = 50", "failure_rate"),
        ("breaker", "failure-rate-threshold = 50", "failure_rate"),
        ("breaker", "slidingWindowSize = 5", "size"),
        ("breaker", "sliding-window-size = 5", "size"),
        ("breaker", "wait-duration-in-open-state = '1s'", "wait"),
        (
            "breaker",
            "permittedNumberOfCallsInHalfOpenState = 2",
            "probes",
        ),
        ("retry", "maxAttempts = 3", "max_attempts"),
        ("retry", "max-attempts = 3", "max_attempts"),
        ("retry", "wait-duration = '1s'", "base"),
    ];
    for (table, line, name) in keys {
        fs::write(&file, format!("[{table}]\n{line}\n")).unwrap();

        let checked = run(&["policy", "check", file.to_str().unwrap()]);

        let key = line.split(' ').next().unwrap();
        let told = format!("line 2: {table}.{key}: unknown key; did you mean `{name}`?");
        assert_eq!(checked.code(), 2, "{line}");
        assert!(
            checked.err().contains(&told),
            "{told}\nis not in\n{}",
            checked.err()
        );
    }
}

#[test]
fn a_base_that_is_nowhere_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heir.toml");
    fs::write(&file, "base = \"golden\"\n").unwrap();

    let shown = run(&["policy", "show", file.to_str().unwrap()]);

    assert_eq!(shown.code(), 2);
    let told = shown.err();
    assert!(
        told.contains("line 1: base: unknown policy `golden`; did you mean `gold`?"),
        "{told}"
    );
    assert!(told.contains("golden.toml"), "{told}");
}

#[test]
fn the_built_in_policies_are_listed_with_what_they_are() {
    let listed = run(&["policy", "ls"]).ok();

    for name in ["none", "gold", "fragile", "resilient", "library/gate-5"] {
        assert!(
            listed.lines().any(|line| line.starts_with(name)),
            "{name} is not in\n{listed}"
        );
    }
    assert!(listed.contains("The gold standard"));
}

/// The timeout that a service shows at its settings, in seconds.
async fn timeout(address: SocketAddr) -> Option<f64> {
    let mut client = RawClient::connect(address).await;
    client.get("/settings").await;
    let answer = client.response().await;
    let settings: Value = serde_json::from_slice(&answer.body).unwrap();
    settings["timeout"].as_f64()
}

#[tokio::test]
async fn a_running_service_takes_a_changed_file_and_keeps_its_policy_when_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (base, file) = (
        folder.path().join("base.toml"),
        folder.path().join("mine.toml"),
    );
    fs::write(&base, "[timeout]\nattempt = \"1s\"\n").unwrap();
    fs::write(&file, "base = \"base\"\n").unwrap();
    let server = Server::start(&[
        "demo-service",
        "recommendations",
        "--upstream",
        "authentication=http://127.0.0.1:9",
        "--policy",
        file.to_str().unwrap(),
        "--output",
        "json",
    ]);
    let address: SocketAddr = server.ready["listen"].as_str().unwrap().parse().unwrap();
    let becomes = async |seconds: f64| {
        while timeout(address).await != Some(seconds) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(timeout(address).await, Some(1.0));

    fs::write(&file, "base = \"base\"\n[timeout]\nattempt = \"2s\"\n").unwrap();
    within("the changed file to be taken", becomes(2.0)).await;

    fs::write(&file, "[timeout]\nattempt = 3\n").unwrap();
    // A few looks.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(timeout(address).await, Some(2.0));

    // And what it inherits from is looked at as well.
    fs::write(&file, "base = \"base\"\n").unwrap();
    fs::write(&base, "[timeout]\nattempt = \"4s\"\n").unwrap();
    within("the changed base to be taken", becomes(4.0)).await;
}
