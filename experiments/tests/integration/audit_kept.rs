//! What an audit writes with `--write`: an experiment of what held.

use brownout_experiment::{
    audit::AuditReport, expectation::Expectation, experiment::Experiment, render::audit_experiment,
};
use serde_json::{Value, json};

/// A report of one dependency, `up`, that pages call once.
struct Audited(Value);

impl Audited {
    fn new() -> Self {
        Self(json!({
            "schema": 1, "verdict": "pass", "budget": "1s", "joined_by": "id",
            "page": { "origin": "http://127.0.0.1:5000", "path": "/page" },
            "degraded_if": ["header x-degraded"],
            "findings": [], "experiments": [], "stopped": {}, "reproduce": "",
            "calm": [{
                "route": "up", "page_p50_ms": 2.0, "page_p95_ms": 3.0, "call_p50_ms": 1.0,
                "calls_per_page": { "/items": 1.0 }, "background": false,
            }],
        }))
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.0[key] = value;
        self
    }

    fn found(mut self, id: &str, verdict: &str, evidence: &Value) -> Self {
        let finding = json!({
            "id": id, "route": "up", "verdict": verdict, "sentence": "", "why": "", "severity": "high", "fix": "",
            "evidence": evidence,
        });
        self.0["findings"].as_array_mut().unwrap().push(finding);
        self
    }

    fn ok(self, ids: &[&str]) -> Self {
        ids.iter()
            .fold(self, |all, id| all.found(id, "ok", &json!({})))
    }

    /// An experiment with so many pages: whole, degraded, failed.
    fn tried(
        mut self,
        id: &str,
        form: &str,
        fault: &Value,
        pages: [usize; 3],
        attempts: usize,
        took: f64,
    ) -> Self {
        let experiment = json!({
            "id": id, "route": "up", "form": form, "fault": "", "faults": [fault], "pages": pages.iter().sum::<usize>(),
            "attempts": attempts, "struck": attempts, "took_ms": 1, "busy": false,
            "seen": {
                "whole": pages[0], "degraded": pages[1], "failed": pages[2], "left": 0, "late": 0, "page_max_ms": took,
            },
        });
        self.0["experiments"]
            .as_array_mut()
            .unwrap()
            .push(experiment);
        self
    }

    fn written(&self) -> String {
        let report: AuditReport = serde_json::from_value(self.0.clone()).unwrap();
        audit_experiment(&report, "127.0.0.1:28474")
    }
}

/// What a phase expects, and its `after`; none without such a phase.
fn phase(text: &str, name: &str) -> Option<(Vec<String>, Vec<String>)> {
    let experiment =
        Experiment::read(text, "kept.toml").unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let found = experiment.phases.iter().find(|it| it.name == name)?;
    let told = |it: &Expectation| it.text.clone();
    let expect = found.expect.iter().map(|it| told(&it.expectation));
    let after = found.after.iter().map(|it| told(&it.expectation));
    Some((expect.collect(), after.collect()))
}

fn expected(text: &str, name: &str) -> Vec<String> {
    phase(text, name)
        .unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .0
}

fn hangs() -> Value {
    json!({ "blackhole": {}, "match": { "path": "/items", "method": ["GET"] } })
}

const IN_TIME: [&str; 3] = ["no-timeout", "timeout-over-budget", "no-total-timeout"];

#[test]
fn a_page_that_was_good_while_calls_hung_must_be_good_and_as_fast_as_it_was() {
    let audited = Audited::new()
        .ok(&IN_TIME)
        .tried("S4", "/items", &hangs(), [0, 1, 0], 1, 300.0);

    let text = audited.written();

    assert_eq!(
        expected(&text, "up-does-not-answer"),
        ["load.success_rate == 100%", "load.answered within 450ms"]
    );
    assert!(
        text.contains(r#"match = { path = "/items", method = ["GET"] }"#),
        "{text}"
    );
    assert!(text.contains("control = \"127.0.0.1:28474\""), "{text}");
}

#[test]
fn no_bound_is_longer_than_a_page_may_take_or_shorter_than_was_seen() {
    let of = |took: f64| {
        let audited =
            Audited::new()
                .ok(&IN_TIME)
                .tried("S4", "/items", &hangs(), [0, 1, 0], 1, took);
        expected(&audited.written(), "up-does-not-answer")
    };

    assert_eq!(of(900.0)[1], "load.answered within 1000ms");
    assert_eq!(of(10.0)[1], "load.answered within 110ms");
    assert_eq!(of(1_050.0), ["load.success_rate == 100%"]);
}

#[test]
fn pages_that_failed_in_time_are_not_expected_to_be_good() {
    let audited = Audited::new()
        .ok(&IN_TIME)
        .tried("S4", "/items", &hangs(), [0, 0, 1], 1, 300.0);

    assert_eq!(
        expected(&audited.written(), "up-does-not-answer"),
        ["load.answered within 450ms"]
    );
}

#[test]
fn what_failed_under_load_is_not_expected_of_single_pages() {
    let abort = json!({ "abort": 503 });
    let audited = Audited::new()
        .ok(&["nested-retries"])
        .tried("S11", "503", &abort, [0, 1, 0], 1, 2.0)
        .tried("S15", "503", &abort, [50, 100, 3], 150, 2.0);

    assert_eq!(
        expected(&audited.written(), "up-answers-503"),
        ["up.calls_per_page <= 1.1"]
    );
}

#[test]
fn calls_are_bound_by_the_most_that_were_seen_and_not_where_they_are_a_defect() {
    let abort = json!({ "abort": 503 });
    let audited = |budget: &str| {
        Audited::new()
            .ok(&["nested-retries"])
            .found("no-retry-budget", budget, &json!({}))
            .tried("S11", "503", &abort, [0, 1, 0], 3, 2.0)
            .tried("S11", "503", &abort, [0, 1, 0], 2, 2.0)
            .written()
    };
    let bound = "up.calls_per_page <= 3.3".to_owned();

    assert!(expected(&audited("ok"), "up-answers-503").contains(&bound));
    assert!(!expected(&audited("defect"), "up-answers-503").contains(&bound));
}

#[test]
fn a_damaged_answer_must_not_make_a_whole_page() {
    let corrupt = json!({ "corrupt": { "how": "json" } });
    let audited = || {
        Audited::new().ok(&["accepts-corrupt"]).tried(
            "S24",
            "broken JSON",
            &corrupt,
            [0, 1, 0],
            1,
            2.0,
        )
    };

    assert_eq!(
        expected(&audited().written(), "up-broken-json"),
        [
            "load.success_rate == 100%",
            "load.fallback_rate(header x-degraded) >= 80%"
        ]
    );
    // Where nothing tells the two apart, the file says so.
    let text = audited().with("degraded_if", json!([])).written();
    assert_eq!(
        expected(&text, "up-broken-json"),
        ["load.success_rate == 100%"]
    );
    assert!(
        text.contains("(--degraded-if):\n#   accepts-corrupt\n"),
        "{text}"
    );
}

#[test]
fn waits_before_retries_are_expected_only_where_calls_carry_the_id_of_their_page() {
    let one = json!({ "abort": 503, "limit": 1 });
    let audited = |by: &str| {
        Audited::new()
            .with("joined_by", json!(by))
            .found("immediate-retries", "ok", &json!({ "median_us": 80_000 }))
            .tried("S2", "a 503", &one, [45, 0, 0], 60, 90.0)
            .written()
    };

    let text = audited("id");
    assert!(
        expected(&text, "up-one-503").contains(&"up.retry_gap.p50 >= 40ms".to_owned()),
        "{text}"
    );
    assert!(
        text.contains("pages = { every = 3, attempts = 1 }") && !text.contains("limit"),
        "{text}"
    );
    let text = audited("serial");
    assert_eq!(expected(&text, "up-one-503"), ["load.success_rate == 100%"]);
    assert!(
        text.contains("as calls carry no id of their page:\n#   immediate-retries\n"),
        "{text}"
    );
}

#[test]
fn attempts_are_fewer_where_an_answer_asks_to_wait() {
    let told = json!({ "abort": { "status": 503, "retry_after": "2s" } });
    let audited = |attempts| {
        Audited::new()
            .ok(&[
                "nested-retries",
                "ignores-retry-after",
                "waits-out-retry-after",
            ])
            .tried(
                "S11",
                "503",
                &json!({ "abort": 503 }),
                [0, 1, 0],
                attempts,
                200.0,
            )
            .tried("S9", "503", &told, [0, 1, 0], 1, 2.0)
            .written()
    };

    assert_eq!(
        expected(&audited(3), "up-says-retry-after"),
        [
            "load.success_rate == 100%",
            "up.calls_per_page <= 1.1",
            "load.answered within 102ms"
        ]
    );
    assert_eq!(phase(&audited(1), "up-says-retry-after"), None);
}

#[test]
fn what_a_breaker_does_is_expected_and_it_is_waited_for_after_each_fault() {
    let abort = json!({ "abort": 503 });
    let step = |calls: usize| json!({ "calls": calls, "whole": 0, "degraded": 20, "failed": 0 });
    let mut audited = Audited::new()
        .found(
            "no-effective-breaker",
            "ok",
            &json!({ "calls_per_page": 1.0, "late_in_503s": 0.02, "late_in_resets": 0.02 }),
        )
        .found(
            "breaker-never-closes",
            "ok",
            &json!({ "back_after_503s_us": 3_000_000, "back_after_resets_us": 1_000_000 }),
        )
        .ok(&["breaker-opens-on-4xx", "retries-4xx"])
        .tried("S8", "404", &json!({ "abort": 404 }), [0, 1, 0], 1, 2.0)
        .tried(
            "S21",
            "404",
            &json!({ "abort": 404 }),
            [0, 160, 0],
            160,
            2.0,
        )
        .tried("S11", "503", &abort, [0, 1, 0], 1, 2.0)
        .tried("S15", "503", &abort, [20, 80, 0], 30, 2.0);
    audited.0["experiments"][3]["seen"]["over_time"] = json!({
        "step_ms": 500, "armed_ms": 500, "removed_ms": 2_000, "steps": [step(20), step(10), step(0), step(0), step(20)],
    });

    let text = audited.written();

    // Ten calls were made until it opened, of four times as many pages.
    assert!(
        text.contains("\"up-answers-503\"\nduration = \"4s\""),
        "{text}"
    );
    let back = ["up.rate >= 0.5x baseline within 8s".to_owned()];
    let (expect, after) = phase(&text, "up-answers-503").unwrap();
    assert_eq!(
        expect,
        [
            "load.success_rate == 100%",
            "up.calls_per_page <= 0.6x baseline"
        ]
    );
    assert_eq!(after, back);
    let (expect, after) = phase(&text, "up-answers-404").unwrap();
    assert_eq!(
        expect,
        [
            "load.success_rate == 100%",
            "up.calls_per_page <= 1.1",
            "up.calls_per_page >= 0.7x baseline"
        ]
    );
    assert_eq!(after, back);
}

#[test]
fn what_held_and_cannot_be_expected_is_named() {
    let text = Audited::new()
        .ok(&["no-bulkhead"])
        .tried("S4", "/items", &hangs(), [0, 1, 0], 1, 300.0)
        .written();

    assert!(
        text.contains("was seen on too little:\n#   no-bulkhead\n"),
        "{text}"
    );
}
