//! Stories: short forms of what the original demonstrations claim, as orders and ratios within one run.

use std::{collections::BTreeMap, fs, time::Duration};

use brownout_testkit::{StatsdReceiver, eventually};
use serde_json::Value;

use crate::{Server, run};

/// The report of a short run, whether or not all was as the full one would be.
fn simulate(args: &[&str]) -> Value {
    let ran = run(&[&["simulate"], args, &["--output", "json"]].concat());
    assert!(
        [0, 1, 4].contains(&ran.code()),
        "{}{}",
        ran.out(),
        ran.err()
    );
    serde_json::from_str(&ran.out()).unwrap()
}

fn number(report: &Value, pointer: &str) -> f64 {
    let found = report.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer}: {report:#}"))
}

/// A number of each story and phase, by its name.
fn column(report: &Value, key: &str) -> BTreeMap<String, f64> {
    let rows = report["rows"].as_array().unwrap();
    let each = rows.iter().filter_map(|row| {
        let name = row["name"].as_str().unwrap();
        let name = match row["phase"].as_str() {
            Some(phase) => format!("{name}/{phase}"),
            None => name.to_owned(),
        };
        Some((name, row[key].as_f64()?))
    });
    each.collect()
}

/// What the homepage counted of its calls to recommendations.
fn called(report: &Value, key: &str) -> f64 {
    let callers = report["runs"][0]["phases"][0]["callers"]
        .as_array()
        .unwrap();
    let found = callers.iter().find(|it| it["hop"] == "recommendations");
    found.unwrap()[key].as_f64().unwrap()
}

/// Bursts of 8 s, beside other tests: so bounds are wider than those that the stories hold themselves to at full length.
#[test]
fn protections_order_as_the_original_claims() {
    let short = ["--duration", "8", "--tail-limit", "4", "--jobs", "2"];
    let report = simulate(&[&["a-*"], &short[..]].concat());

    let (served, failed) = (column(&report, "served"), column(&report, "failed"));
    let (calls, tail) = (column(&report, "calls"), column(&report, "tail_seconds"));
    let amplification = column(&report, "amplification");
    let opened = column(&report, "breakers_opened");
    let unfinished = column(&report, "unfinished");
    let table = &report["rows"];
    let holds = |what: &str, holds: bool| assert!(holds, "{what}: {table:#}");

    // Nothing goes wrong; then an outage behind a fallback, which no user sees.
    let nothing = served["a-slow-nothing"];
    holds("pages are served", served["a-ideal"] > 0.0);
    holds(
        "no page fails",
        failed["a-ideal"] + failed["a-outage-gateway"] == 0.0,
    );
    holds(
        "an outage costs no pages",
        served["a-outage-gateway"] >= 0.8 * served["a-ideal"],
    );
    holds(
        "breakers spare the upstream",
        calls["a-outage-breaker"] == 40.0,
    );
    holds("each worker has its own", opened["a-outage-breaker"] == 8.0);

    // A slow upstream: what helps and what does not.
    for same in [
        "a-slow-nothing",
        "a-slow-breaker-only",
        "a-slow-slowcalls-per-worker",
        "a-slow-retries",
    ] {
        holds(same, served[same] <= 0.2 * served["a-ideal"]);
        holds(same, unfinished[same] == 10.0 && opened[same] == 0.0);
    }
    holds(
        "a short time-out serves more",
        served["a-slow-t0.5"] >= 5.0 * nothing.max(1.0),
    );
    holds(
        "and leaves a tail of twice the burst",
        tail["a-slow-t0.5"] >= 16.0,
    );
    holds(
        "a deadline leaves none",
        tail["a-slow-t0.5-deadline"] < 0.3 * tail["a-slow-t0.5"],
    );
    holds(
        "a long time-out serves less",
        served["a-slow-t5"] < 0.5 * served["a-slow-t0.5"],
    );
    holds(
        "and leaves less",
        tail["a-slow-t5"] < 0.5 * tail["a-slow-t0.5"],
    );
    holds(
        "retries take pages away",
        served["a-slow-t0.5-retries"] < 0.6 * served["a-slow-t0.5"],
    );
    // Where the tail is cut the fault ends, and what is tried then succeeds.
    for (retried, least) in [("a-slow-t0.5-retries", 3.0), ("a-slow-t3-retries", 2.0)] {
        holds(retried, (least..=4.0).contains(&amplification[retried]));
    }

    // The gold standard.
    let gold = "a-slow-t0.5-breaker";
    holds(
        "a breaker serves more",
        served[gold] > 1.2 * served["a-slow-t0.5"],
    );
    holds("with few calls", calls[gold] <= 40.0 && opened[gold] == 8.0);
    holds("and less left to do", tail[gold] < tail["a-slow-t0.5"]);
    holds(
        "one breaker for all needs fewer calls",
        calls["a-slow-shared-breaker"] <= 12.0,
    );

    holds(
        "without users nothing is served",
        served["a-auth-outage"] == 0.0 && failed["a-auth-outage"] > 0.0,
    );
}

#[test]
fn the_library_orders_as_its_article_claims() {
    let report = simulate(&["b-*", "--duration", "16", "--jobs", "2"]);

    let (served, failed) = (column(&report, "served"), column(&report, "failed"));
    let rate = column(&report, "rate");
    let table = &report["rows"];
    let holds = |what: &str, holds: bool| assert!(holds, "{what}: {table:#}");
    let lost: f64 = ["down", "up", "down-again"]
        .map(|it| failed[&format!("b-library-outage/{it}")])
        .iter()
        .sum();
    holds("no reader goes without", lost == 0.0);
    holds(
        "a primary that is there is quicker",
        rate["b-library-outage/up"] > rate["b-library-outage/down"],
    );
    holds(
        "a short wait costs most of it",
        rate["b-library-wait-1s"] < rate["b-library-outage/down"],
    );
    holds("both gone, all fails", served["b-library-both-down"] == 0.0);
    let attempts = |gate: &str| {
        let runs = report["runs"].as_array().unwrap();
        let run = runs
            .iter()
            .find(|it| it["run"]["name"] == "b-library-probe-cost");
        let callers = run.unwrap()["phases"][0]["callers"].as_array().unwrap();
        let found = callers.iter().find(|it| it["hop"] == gate);
        found.unwrap()["attempts"].as_f64().unwrap()
    };
    holds(
        "two probes cost less than ten",
        attempts("g4") < 0.75 * attempts("g1"),
    );
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

    let (calls, attempts) = (called(&report, "calls"), called(&report, "attempts"));
    assert!(
        called(&report, "timeouts") > 0.0 && attempts > calls,
        "{report:#}"
    );
    assert_eq!(attempts, number(&report, "/rows/0/calls"));
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
    let attempts = called(&report, "attempts");
    assert!(attempts > 10.0);
    assert_eq!(attempts, number(&report, "/rows/0/calls"));
    for name in [
        "client.attempts.homepage.recommendations",
        "proxy.requests.recommendations",
        "recommendations.get",
    ] {
        let counted = || statsd.totals().counters.get(name).copied();
        eventually("the last packet", || counted() >= Some(attempts)).await;
        assert_eq!(counted(), Some(attempts), "{name}");
    }
    let pages = format!("  {} served", number(&report, "/rows/0/served"));
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

    let run = &report["runs"][0]["run"];
    let title = run["title"].as_str().unwrap();
    assert!(title.contains("mine.toml"), "{title}");
    assert!(number(&report, "/rows/0/served") > 0.0);
}

#[tokio::test]
async fn an_interrupted_run_removes_its_fault_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    fs::write(&file, "yesterday's").unwrap();
    let path = file.to_str().unwrap();
    let args = [
        "simulate",
        "performance",
        "--duration",
        "600",
        "--json",
        path,
    ];
    let mut process = Server::start_quietly(&args);
    let first = process.line();
    assert!(first.contains("simulate: performance"), "{first}");
    process.signal("-INT");

    let (_, status) = process.ended().await;

    assert_eq!(status.code(), Some(130));
    // A report is written whole or not at all.
    assert_eq!(fs::read_to_string(&file).unwrap(), "yesterday's");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_starts() {
    let cases: [(&[&str], &str); 10] = [
        (&["outge"], "did you mean `outage`?"),
        (&["a-slow-t0.6"], "did you mean `a-slow-t0.5`?"),
        (&["a-ideal", "--retries"], "has its own protection"),
        (&["outage", "--duration", "soon"], "is not a duration"),
        (&["outage", "--duration", "0"], "above zero"),
        (&["outage", "--duration", "2d"], "duration"),
        (&["outage", "--connections", "0"], "0 is not in 1..=4096"),
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

#[test]
fn stories_are_listed_and_each_is_a_file_of_its_own() {
    let ran = run(&["simulate", "--list"]);
    let text = ran.ok();
    for name in ["a-ideal", "a-slow-t0.5-breaker", "b-library-probe-cost"] {
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(text.lines().count(), 22, "{text}"); // 21 stories under their heading.
}

#[test]
fn one_story_has_a_report_and_several_are_compared_on_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("page.html");
    let file = pages.to_str().unwrap();
    let page = |stories: &[&str]| {
        let short = ["--duration", "1", "--tail-limit", "0.1", "--html", file];
        run(&[&["simulate"], stories, &short[..]].concat()).ok();
        let page = fs::read_to_string(&pages).unwrap();
        assert!(page.len() < 1_000_000 && page.ends_with("</html>\n"));
        // Nothing is fetched: it can be kept, and read without a network.
        for source in ["src=\"http", "url(http", "@import", "<link"] {
            assert!(!page.contains(source), "{source}");
        }
        page
    };

    let (one, two) = (page(&["ideal"]), page(&["ideal", "outage"]));

    assert!(one.contains("<svg") && !one.contains("outage on recommendations"));
    for column in ["ideal", "outage", "served", "failed", "unfinished"] {
        assert!(two.contains(column), "{column}");
    }
    assert_ne!(one, two);
}

#[test]
fn what_was_not_answered_is_said_and_a_change_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("before.json");
    let before = before.to_str().unwrap();
    run(&["simulate", "ideal", "--duration", "1", "--json", before]).ok();

    let slow = [
        "simulate",
        "performance",
        "--duration",
        "1",
        "--tail-limit",
        "0.1",
        "--against",
        before,
    ];
    let text = run(&slow).ok();

    let said = "0 served (0 % degraded), 0 failed, 10 unfinished";
    assert!(text.contains(said), "{text}");
    assert!(text.contains("performance: was not run before"), "{text}");
    assert!(text.contains("ideal: was not run now"), "{text}");
}
