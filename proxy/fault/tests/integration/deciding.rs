use brownout_fault::{MatchOutcome, RequestEnding, store};
use http::Request;
use proptest::prelude::*;
use serde_json::json;

use crate::{arm, decide, decide_for, fired_ids, later, start};

#[test]
fn delays_add_and_come_before_the_ending_whatever_was_armed_first() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(&mut writer, &json!({ "route": "web", "abort": 503 }), now);
    arm(
        &mut writer,
        &json!({ "route": "web", "latency": "200ms" }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "route": "*", "latency": "300ms" }),
        now,
    );

    let injection = decide(&reader.plan(), now);

    let waits: Vec<u128> = injection
        .before
        .delays
        .iter()
        .map(|delay| delay.span.as_millis())
        .collect();
    assert_eq!(waits, [200, 300]);
    let (by, ending) = injection.before.ending.as_ref().unwrap();
    assert_eq!(injection.fired[*by].id(), "abort-1");
    assert!(matches!(ending, RequestEnding::Answer(answer) if answer.status == 503));
}

#[test]
fn only_the_first_ending_acts_and_the_other_uses_up_nothing() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "first", "route": "web", "reset": {} }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "id": "second", "route": "web", "abort": 503, "limit": 1 }),
        now,
    );

    let injection = decide(&reader.plan(), now);

    assert_eq!(fired_ids(&injection), ["first"]);
    let second = writer.status("second", now.instant).unwrap().counters;
    assert_eq!((second.matched, second.injected, second.skipped), (1, 0, 1));
}

#[test]
fn a_higher_priority_goes_first() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "low", "route": "web", "reset": {} }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "id": "high", "route": "*", "abort": 503, "priority": 1 }),
        now,
    );

    assert_eq!(fired_ids(&decide(&reader.plan(), now)), ["high"]);
}

#[test]
fn a_fault_touches_its_routes_alone() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "two", "route": ["a", "b"], "latency": "1s" }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "id": "all", "route": "*", "latency": "1s" }),
        now,
    );
    let request = Request::get("/").body(()).unwrap();
    let on = |route| {
        let injection = decide_for(&reader.plan(), route, &request, now);
        fired_ids(&injection)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };

    assert_eq!(on("a"), ["two", "all"]);
    assert_eq!(on("b"), ["two", "all"]);
    assert_eq!(on("made-later"), ["all"]);
}

#[test]
fn matched_is_the_sum_of_what_became_of_it() {
    let (mut writer, reader) = store(7);
    let now = start();
    let fault = json!({
        "id": "x", "route": "web", "latency": "1s", "percent": 50, "max_active": 3, "limit": 20,
    });
    arm(&mut writer, &fault, now);

    let held: Vec<_> = (0..50).map(|_| decide(&reader.plan(), now)).collect();

    let counters = writer.status("x", now.instant).unwrap().counters;
    assert_eq!(counters.matched, 50);
    assert_eq!(counters.injected, 3);
    assert_eq!(counters.active, 3);
    assert!(counters.overflow > 0 && counters.skipped > 0);
    assert_eq!(
        counters.matched,
        counters.injected + counters.skipped + counters.overflow
    );
    let told = |outcome| {
        held.iter()
            .flat_map(|i| &i.considered)
            .filter(|c| c.outcome == outcome)
            .count() as u64
    };
    assert_eq!(told(MatchOutcome::Injected), counters.injected);
    assert_eq!(told(MatchOutcome::Skipped), counters.skipped);
    assert_eq!(told(MatchOutcome::Overflow), counters.overflow);
}

#[test]
fn the_marker_names_the_fault_unless_it_is_stealthy() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "seen", "route": "web", "abort": 503 }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "id": "unseen", "route": "other", "abort": 503, "stealth": true }),
        now,
    );
    let request = Request::get("/").body(()).unwrap();

    let seen = decide(&reader.plan(), now);
    let unseen = decide_for(&reader.plan(), "other", &request, now);

    assert_eq!(
        seen.fired[0].marker().unwrap(),
        "seen; type=abort; phase=request"
    );
    assert_eq!(unseen.fired[0].marker(), None);
}

#[test]
fn limit_is_exact_under_any_concurrency_and_across_patches() {
    for round in 0..50 {
        let (mut writer, reader) = store(round);
        let now = start();
        arm(
            &mut writer,
            &json!({ "id": "x", "route": "web", "reset": {}, "limit": 5 }),
            now,
        );

        let hits: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    let reader = reader.clone();
                    scope.spawn(move || {
                        (0..50)
                            .filter(|_| !decide(&reader.plan(), now).is_none())
                            .count()
                    })
                })
                .collect();
            writer
                .patch("x", &json!({ "note": "in mid-run" }), now)
                .unwrap();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum()
        });

        assert_eq!(hits, 5);
        assert_eq!(
            writer.status("x", now.instant).unwrap().counters.injected,
            5
        );
    }
}

proptest! {
    #[test]
    fn a_silent_an_expired_a_spent_and_a_removed_fault_do_nothing(path in "/[a-z]{0,8}", after in 0u64..100) {
        let (mut writer, reader) = store(1);
        let now = start();
        arm(&mut writer, &json!({ "route": "web", "reset": {}, "percent": 0 }), now);
        arm(&mut writer, &json!({ "route": "web", "latency": "1s", "ttl": "1s" }), now);
        arm(&mut writer, &json!({ "route": "web", "abort": 500, "limit": 1 }), now);
        let gone = arm(&mut writer, &json!({ "route": "web", "blackhole": {} }), now);
        writer.remove(&gone, now.instant);
        drop(decide(&reader.plan(), now));

        let request = Request::get(path).body(()).unwrap();
        let injection = decide_for(&reader.plan(), "web", &request, later(now, 1 + after));

        prop_assert!(injection.is_none());
        prop_assert!(injection.before.delays.is_empty() && injection.before.ending.is_none());
    }

    #[test]
    fn armed_faults_never_touch_a_request_they_do_not_match(
        faults in proptest::collection::vec((0usize..4, "/[ab]{1,3}", 0u32..=100), 0..12),
        path in "/[ab]{1,3}",
    ) {
        let (mut writer, reader) = store(3);
        let now = start();
        for (kind, pattern, percent) in &faults {
            let kind = [("latency", json!("1s")), ("abort", json!(503)), ("reset", json!({})), ("blackhole", json!({}))]
                [*kind].clone();
            let mut fault = json!({ "route": "web", "match": { "path": pattern }, "percent": percent });
            fault[kind.0] = kind.1;
            arm(&mut writer, &fault, now);
        }

        let request = Request::get(path.as_str()).body(()).unwrap();
        let injection = decide_for(&reader.plan(), "web", &request, now);

        for fired in &injection.fired {
            let status = writer.status(fired.id(), now.instant).unwrap();
            prop_assert_eq!(status.spec.matching.path[0].to_text(), path.as_str());
        }
        let endings = injection.fired.iter().filter(|fired| fired.kind() != "latency").count();
        prop_assert!(endings <= 1);
        prop_assert_eq!(injection.before.delays.len(), injection.fired.len() - endings);
    }
}
