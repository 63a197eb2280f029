//! `brownout sweep`: to where an expectation holds.

use std::fs;

use serde_json::Value;

use crate::run;

/// Recommendations is late for a homepage that waits a second for it.
const LATE: &str = r#"
name = "late"

[demo]
system = "homepage"
timeout = "1s"

[load]
to = "homepage"
connections = 2
headers = { authorization = "Token 0x132" }

[[phase]]
name = "late"
duration = "3s"
faults = [{ id = "late", route = "recommendations", latency = "100ms" }]
expect = ["homepage.fallback_rate(header x-degraded) < 50%"]
"#;

#[test]
fn a_sweep_finds_the_edge_and_writes_what_it_tried() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, json) = (path("late.toml"), path("found.json"));
    fs::write(&file, LATE).unwrap();

    let over = "fault.latency=50ms..4s";
    let ran = run(&["sweep", &file, "--over", over, "--json", &json]);

    let text = ran.ok();
    assert!(text.contains("fault.latency: safe to "), "{text}");
    assert!(text.contains("it breaks"), "{text}");
    let found: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let points = found["points"].as_array().unwrap();
    for point in points {
        let (value, holds) = (milliseconds(&point["value"]), point["holds"] == true);
        // A page whose call takes longer than it waits has a fallback. Below that a busy machine may be late.
        assert!(!(holds && value > 1_000.0), "{found:#}");
        assert!(holds || value > 50.0, "{found:#}");
    }
    let (safe, breaks) = (milliseconds(&found["safe"]), milliseconds(&found["breaks"]));
    assert!(
        (50.0..1_000.0).contains(&safe) && safe < breaks,
        "{found:#}"
    );
    assert!(breaks < safe * 1.2, "the edge is narrow: {found:#}");
}

fn milliseconds(value: &Value) -> f64 {
    let text = value.as_str().unwrap();
    match text.strip_suffix("ms") {
        Some(number) => number.parse().unwrap(),
        None => text.strip_suffix('s').unwrap().parse::<f64>().unwrap() * 1_000.0,
    }
}

#[test]
fn what_never_holds_is_said_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("late.toml");
    fs::write(&file, LATE).unwrap();

    let never = ["--expect", "homepage.served >= 1000000"];
    let command = [
        "sweep",
        file.to_str().unwrap(),
        "--over",
        "demo.timeout=1s..2s",
    ];
    let ran = run(&[&command[..], &never[..]].concat());

    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert!(
        ran.out().contains("breaks at 1s and at 2s"),
        "{}",
        ran.out()
    );
}

#[test]
fn what_cannot_be_moved_is_refused_before_anything_starts() {
    let cases = [
        ("falt.latency=50ms..2s", "did you mean `fault`?"),
        ("fault.latency", "="),
        ("fault.latency=2s..50ms", "2s"),
        ("fault.latency=50ms..2", "50ms..2"),
        ("fault.abort=1..2", "no fault has that"),
        ("policy.breaker.wait=1s..2s", "no policy of its own"),
    ];
    for (over, wanted) in cases {
        let ran = run(&["sweep", "a-slow-t0.5", "--over", over]);
        assert_eq!(ran.code(), 2, "{over}: {}{}", ran.out(), ran.err());
        assert!(ran.err().contains(wanted), "{over}: {}", ran.err());
    }
    let nothing = run(&["sweep", "a-slw", "--over", "fault.latency=1s..2s"]);
    assert_eq!(nothing.code(), 2, "{}", nothing.err());
    assert!(
        nothing.err().contains("no story fits `a-slw`"),
        "{}",
        nothing.err()
    );
}
