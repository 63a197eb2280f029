//! Simulations: short forms of what the original demonstration claims, as orders and ratios within one run.

use std::{fs, time::Duration};

use brownout_testkit::{StatsdReceiver, eventually};
use serde_json::Value;

use crate::{Server, run};

/// The report of a short run.
fn simulate(args: &[&str]) -> Value {
    let ran = run(&[&["simulate"], args, &["--output", "json"]].concat());
    serde_json::from_str(&ran.ok()).unwrap()
}

fn number(report: &Value, pointer: &str) -> f64 {
    let found = report.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer}: {report:#}"))
}

fn served(report: &Value) -> f64 {
    number(report, "/served")
}

/// How long recommendations works for nobody: as seen, and what is left at the pace that was seen.
fn tail(report: &Value) -> f64 {
    let rest = report["tail"]["estimated_rest_seconds"].as_f64();
    number(report, "/tail/seconds") + rest.unwrap_or(0.0)
}

/// Short runs, so with wider bounds than those that the README's own commands are held to by `.ci/readme`.
#[test]
fn protections_order_as_the_original_claims() {
    let [ideal, outage, nothing, timeout, breaker] = std::thread::scope(|scope| {
        let runs: [&[&str]; 5] = [
            &["ideal", "--duration", "8"],
            &["outage", "--duration", "8"],
            &["performance", "--duration", "8", "--tail-limit", "1"],
            &["performance", "--duration", "8", "--timeout", "0.5"],
            &[
                "performance",
                "--duration",
                "8",
                "--timeout",
                "0.5",
                "--circuit-breakers",
                "--tail-limit",
                "1",
            ],
        ];
        let running = runs.map(|args| scope.spawn(move || simulate(args)));
        running.map(|it| it.join().unwrap())
    });

    // Nothing goes wrong.
    assert!(served(&ideal) > 100.0, "{ideal:#}");
    assert_eq!(number(&ideal, "/degraded/total"), 0.0);
    assert_eq!(number(&ideal, "/errors/total"), 0.0);

    // An outage behind a fallback: pages are served faster, all degraded, and no user sees an error.
    assert!(served(&outage) >= served(&ideal), "{outage:#}");
    assert_eq!(number(&outage, "/degraded/share"), 1.0);
    assert_eq!(number(&outage, "/errors/total"), 0.0);

    // A slow upstream without a timeout: next to nothing is served.
    assert!(served(&nothing) <= served(&ideal) * 0.05, "{nothing:#}");

    // A timeout serves more, and leaves the upstream with work for nobody.
    assert!(served(&timeout) >= 10.0, "{timeout:#}");
    assert!(
        served(&timeout) >= served(&nothing) * 5.0,
        "{nothing:#}{timeout:#}"
    );
    assert!(tail(&timeout) >= 2.0 * 8.0, "{timeout:#}");

    // A breaker serves many times more, with a few calls: five for each of eight workers.
    assert!(
        served(&breaker) >= served(&timeout) * 3.0,
        "{timeout:#}{breaker:#}"
    );
    assert!(number(&breaker, "/upstreams/recommendations/attempts") <= 40.0);
    assert!(number(&breaker, "/breaker/opened") >= 1.0);
    assert!(number(&breaker, "/breaker/rejected") >= 1.0);
    assert!(tail(&breaker) < tail(&timeout), "{timeout:#}{breaker:#}");
}

#[tokio::test]
async fn every_count_of_a_run_agrees_also_where_calls_time_out_and_are_repeated() {
    let statsd = StatsdReceiver::start();
    let address = statsd.address();
    let slow = [
        "performance",
        "--duration",
        "2",
        "--timeout",
        "0.3",
        "--retries",
        "--tail-limit",
        "1",
        "--statsd",
        &address,
    ];
    let report = simulate(&slow);

    let calls = |key: &str| number(&report, &format!("/upstreams/recommendations/{key}"));
    assert!(
        calls("timeouts") > 0.0 && calls("retries") > 0.0,
        "{report:#}"
    );
    let attempts = calls("attempts");
    assert_eq!(attempts, calls("calls") + calls("retries"));
    assert_eq!(attempts, number(&report, "/routes/recommendations"));
    assert_eq!(
        attempts,
        number(&report, "/services/recommendations/received")
    );
    for name in [
        "client.attempts.homepage.recommendations",
        "proxy.requests.recommendations",
    ] {
        let counted = || statsd.totals().counters.get(name).copied();
        eventually("the last packet", || counted() >= Some(attempts)).await;
        assert_eq!(counted(), Some(attempts), "{name}");
    }
}

#[tokio::test]
async fn every_count_of_a_run_agrees() {
    let statsd = StatsdReceiver::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    fs::write(&file, "x".repeat(100_000)).unwrap(); // A longer report of yesterday.

    let address = statsd.address();
    let path = file.to_str().unwrap();
    let args = [
        "simulate",
        "ideal",
        "--duration",
        "2",
        "--statsd",
        &address,
        "--json",
        path,
    ];
    let ran = run(&args);
    let text = ran.ok();

    let report: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let attempts = number(&report, "/upstreams/recommendations/attempts");
    assert!(attempts > 10.0);
    assert_eq!(attempts, number(&report, "/routes/recommendations"));
    assert_eq!(
        attempts,
        number(&report, "/services/recommendations/received")
    );
    for name in [
        "client.attempts.homepage.recommendations",
        "proxy.requests.recommendations",
        "recommendations.get",
    ] {
        let counted = || statsd.totals().counters.get(name).copied();
        eventually("the last packet", || counted() >= Some(attempts)).await;
        assert_eq!(counted(), Some(attempts), "{name}");
    }
    let pages = format!("served {} page", number(&report, "/served"));
    assert!(text.contains(&pages), "{text}");
    assert!(text.contains("pages served in each second:"), "{text}");
    assert!(ran.err().is_empty(), "{}", ran.err()); // No progress bar in a pipe.
}

#[test]
fn a_policy_of_ones_own_is_put_to_the_test() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "[timeout]\nattempt = \"100ms\"\n").unwrap();

    let path = file.to_str().unwrap();
    let args = ["outage", "--duration", "1", "--policy", path];
    let report = simulate(&args);

    assert_eq!(report["settings"]["policy"]["name"], "mine");
    assert_eq!(
        report["fault"]["spec"]["reset"],
        Value::Object(serde_json::Map::new())
    );
}

#[tokio::test]
async fn an_interrupted_run_removes_its_fault_and_says_so() {
    let mut process = Server::start_quietly(&["simulate", "performance", "--duration", "600"]);
    let first = process.line();
    assert!(first.contains("simulate: performance"), "{first}");
    process.signal("-INT");

    let (_, status) = process.ended().await;

    assert_eq!(status.code(), Some(130));
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_starts() {
    let cases: [(&[&str], &str); 8] = [
        (&["outge"], "'outage'"),
        (&["outage", "--duration", "soon"], "is not a duration"),
        (&["outage", "--duration", "0"], "above zero"),
        (&["outage", "--duration", "2d"], "duration"),
        (
            &["outage", "--connections", "0"],
            "connections: 0 is outside 1 to",
        ),
        (
            &["outage", "--policy", "gold", "--retries"],
            "cannot be used with",
        ),
        (&["outage", "--policy", "golden"], "gold"),
        (
            &["outage", "--json", "/nowhere/report.json"],
            "could not write `/nowhere/report.json`",
        ),
    ];
    for (args, wanted) in cases {
        let began = std::time::Instant::now();
        let ran = run(&[&["simulate"], args].concat());
        assert_eq!(ran.code(), 2, "{args:?}: {}{}", ran.out(), ran.err());
        assert!(ran.err().contains(wanted), "{args:?}: {}", ran.err());
        assert!(began.elapsed() < Duration::from_secs(20), "{args:?}");
    }
}
