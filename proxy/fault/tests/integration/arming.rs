use brownout_fault::{ArmError, FaultWriter, PatchError, State, store};
use serde_json::json;

use crate::{arm, decide, fired_ids, later, spec, start};

#[test]
fn ids_are_made_by_kind_and_skip_those_that_are_taken() {
    let (mut writer, _) = store(1);
    let now = start();

    arm(
        &mut writer,
        &json!({ "id": "latency-2", "route": "web", "latency": "1s" }),
        now,
    );
    let made: Vec<String> = [
        json!({ "route": "web", "latency": "1s" }),
        json!({ "route": "web", "reset": {} }),
        json!({ "route": "web", "latency": "1s" }),
    ]
    .iter()
    .map(|value| arm(&mut writer, value, now))
    .collect();

    assert_eq!(made, ["latency-1", "reset-1", "latency-3"]);
}

#[test]
fn a_fault_with_unicode_in_its_fields_is_written_as_it_was_read() {
    for kind in [
        json!({ "mutate": { "response": { "set": { "x-greeting": ["Grüß Gott", "你好"] } } } }),
        json!({ "abort": { "status": 503, "headers": { "x-reason": "überlastet" } } }),
        json!({ "redirect": { "to": "/straße" } }),
    ] {
        let mut fault = json!({ "route": "web" });
        fault
            .as_object_mut()
            .unwrap()
            .extend(kind.as_object().unwrap().clone());

        let written = spec(&fault).to_value();

        assert_eq!(spec(&written).to_value(), written);
        let said = written.to_string();
        assert!(
            ["Grüß Gott", "überlastet", "/straße"]
                .iter()
                .any(|text| said.contains(text)),
            "{said}"
        );
    }
}

#[test]
fn a_made_id_is_not_given_twice_even_after_its_fault_is_gone() {
    let (mut writer, _) = store(1);
    let now = start();
    let first = arm(&mut writer, &json!({ "route": "web", "reset": {} }), now);

    writer.remove(&first, now.instant);

    assert_eq!(
        arm(&mut writer, &json!({ "route": "web", "reset": {} }), now),
        "reset-2"
    );
}

#[test]
fn a_list_is_armed_whole_or_not_at_all() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "b", "route": "web", "reset": {} }),
        now,
    );

    let refused = writer.arm(
        vec![
            spec(&json!({ "id": "a", "route": "web", "abort": 500 })),
            spec(&json!({ "id": "b", "route": "web", "abort": 501 })),
        ],
        now,
    );

    assert_eq!(refused.unwrap_err(), ArmError::Taken { id: "b".into() });
    assert_eq!(writer.statuses(now.instant).count(), 1);
    assert_eq!(fired_ids(&decide(&reader.plan(), now)), ["b"]);
}

#[test]
fn one_id_twice_in_a_list_is_refused() {
    let (mut writer, _) = store(1);
    let twice = || spec(&json!({ "id": "a", "route": "web", "reset": {} }));

    let refused = writer.arm(vec![twice(), twice()], start());

    assert_eq!(refused.unwrap_err(), ArmError::Taken { id: "a".into() });
}

#[test]
fn there_are_at_most_a_thousand_faults() {
    let (mut writer, _) = store(1);
    let now = start();
    let fault = || spec(&json!({ "route": "web", "reset": {} }));
    writer
        .arm((0..FaultWriter::FAULTS_MAX).map(|_| fault()).collect(), now)
        .unwrap();

    assert_eq!(
        writer.arm(vec![fault()], now).unwrap_err(),
        ArmError::TooMany
    );
    assert_eq!(
        writer.put("new", fault(), now).unwrap_err(),
        ArmError::TooMany
    );
    assert!(
        writer.put("reset-7", fault(), now).is_ok(),
        "replacing needs no room"
    );
}

#[test]
fn put_replaces_and_starts_counting_anew() {
    let (mut writer, reader) = store(1);
    let now = start();
    let (_, created) = writer
        .put("x", spec(&json!({ "route": "web", "reset": {} })), now)
        .unwrap();
    drop(decide(&reader.plan(), now));

    let (status, again) = writer
        .put("x", spec(&json!({ "route": "web", "abort": 500 })), now)
        .unwrap();

    assert!(created && !again);
    assert_eq!(status.counters.matched, 0);
    assert_eq!(status.spec.fault.name(), "abort");
    assert_eq!(decide(&reader.plan(), now).fired[0].kind(), "abort");
}

#[test]
fn a_patch_merges_and_keeps_the_counters_and_the_end() {
    let (mut writer, reader) = store(1);
    let armed = start();
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "abort": 503, "ttl": "1m" }),
        armed,
    );
    drop(decide(&reader.plan(), armed));

    let patched = writer
        .patch(
            "x",
            &json!({ "abort": { "status": 500 } }),
            later(armed, 20),
        )
        .unwrap();

    assert_eq!(patched.counters.injected, 1);
    assert_eq!(patched.spec.fault.to_value()["status"], 500);
    assert_eq!(patched.expires_at, Some(later(armed, 60)));
}

#[test]
fn a_patch_that_takes_one_of_many_away_leaves_the_others_in_their_order() {
    let (mut writer, _) = store(1);
    let now = start();
    let with = |id: &str, statuses: serde_json::Value| json!({ "id": id, "route": "web", "abort": { "statuses": statuses } });
    let all = json!({ "503": 1, "500": 2, "502": 3, "504": 4 });
    arm(&mut writer, &with("patched", all), now);
    let left = json!({ "500": 2, "502": 3, "504": 4 });
    arm(&mut writer, &with("at-once", left), now);

    let change = json!({ "abort": { "statuses": { "503": null } } });
    let patched = writer.patch("patched", &change, now).unwrap();

    let at_once = writer.status("at-once", now.instant).unwrap();
    // As text: values with other orders are equal, but draw other statuses.
    let [patched, at_once] =
        [patched, at_once].map(|status| status.spec.fault.to_value().to_string());
    assert_eq!(patched, at_once);
}

#[test]
fn a_patch_that_names_the_ttl_restarts_it() {
    let (mut writer, _) = store(1);
    let armed = start();
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "reset": {}, "ttl": "1m" }),
        armed,
    );

    let patched = writer
        .patch("x", &json!({ "ttl": "1m" }), later(armed, 20))
        .unwrap();

    assert_eq!(patched.expires_at, Some(later(armed, 80)));
}

#[test]
fn a_patch_of_times_is_held_against_the_clock_and_not_against_words() {
    let (mut writer, _) = store(1);
    let armed = start();
    let fault = json!({ "id": "x", "route": "web", "reset": {}, "start": "10s", "ttl": "30s" });
    arm(&mut writer, &fault, armed);

    // In force for 10 s already: its start is no obstacle to any ttl.
    let patched = writer.patch("x", &json!({ "ttl": "5s" }), later(armed, 20));
    assert_eq!(patched.unwrap().expires_at, Some(later(armed, 25)));

    // It would begin when it is over.
    let refused = writer.patch("x", &json!({ "start": "5s" }), later(armed, 21));
    let Err(PatchError::Invalid(problems)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(problems[0].pointer, "/start");
    let unchanged = writer.status("x", later(armed, 21).instant).unwrap();
    assert_eq!(unchanged.state, State::Active);
}

#[test]
fn a_patch_can_take_away_and_change_the_kind() {
    let (mut writer, _) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "reset": {}, "limit": 3 }),
        now,
    );

    let change = json!({ "limit": null, "reset": null, "latency": "1s" });
    let patched = writer.patch("x", &change, now).unwrap();

    assert_eq!(patched.spec.limit, None);
    assert_eq!(patched.spec.fault.name(), "latency");
}

#[test]
fn a_patch_that_makes_no_sense_changes_nothing() {
    let (mut writer, _) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "latency": { "value": "1s" } }),
        now,
    );
    let before = writer.status("x", now.instant).unwrap().spec;

    for (patch, pointer) in [
        (json!({ "percent": 150 }), "/percent"),
        (
            json!({ "latency": { "p50": "1s", "p99": "2s" } }),
            "/latency",
        ),
        (json!({ "id": "y" }), "/id"),
        (json!({ "abort": 503 }), "/abort"),
        (json!({ "latency": null }), ""),
        (json!([]), ""),
    ] {
        let Err(PatchError::Invalid(problems)) = writer.patch("x", &patch, now) else {
            panic!("{patch} was taken");
        };
        assert_eq!(problems[0].pointer, pointer, "{patch}");
    }
    assert_eq!(writer.status("x", now.instant).unwrap().spec, before);
}

#[test]
fn patching_a_fault_that_is_not_there_says_so() {
    let (mut writer, _) = store(1);

    let refused = writer.patch("x", &json!({}), start());

    assert_eq!(refused.unwrap_err(), PatchError::Unknown { id: "x".into() });
}

#[test]
fn expired_faults_are_gone_and_their_ids_free() {
    let (mut writer, _) = store(1);
    let armed = start();
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "reset": {}, "ttl": "1m" }),
        armed,
    );
    arm(
        &mut writer,
        &json!({ "id": "y", "route": "web", "reset": {}, "ttl": "2m" }),
        armed,
    );

    assert_eq!(
        writer.expire(later(armed, 59).instant),
        (vec![], Some(later(armed, 60).instant))
    );
    assert!(writer.status("x", later(armed, 60).instant).is_none());
    assert_eq!(
        writer.expire(later(armed, 60).instant),
        (vec!["x".to_owned()], Some(later(armed, 120).instant))
    );
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "reset": {} }),
        later(armed, 60),
    );
}

#[test]
fn a_fault_without_end_has_no_expiry() {
    let (mut writer, _) = store(1);
    let now = start();

    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "reset": {}, "ttl": "none" }),
        now,
    );

    assert_eq!(writer.status("x", now.instant).unwrap().expires_at, None);
    assert_eq!(writer.expire(later(now, 1_000_000).instant), (vec![], None));
}

#[test]
fn states_are_waiting_active_and_spent() {
    let (mut writer, reader) = store(1);
    let armed = start();
    let fault = json!({ "id": "x", "route": "web", "reset": {}, "start": "10s", "limit": 1 });
    arm(&mut writer, &fault, armed);
    let state = |writer: &FaultWriter, now| writer.status("x", now).unwrap().state;

    assert_eq!(state(&writer, armed.instant), State::Waiting);
    assert!(decide(&reader.plan(), later(armed, 9)).is_none());
    assert_eq!(state(&writer, later(armed, 10).instant), State::Active);
    assert_eq!(fired_ids(&decide(&reader.plan(), later(armed, 10))), ["x"]);
    assert_eq!(state(&writer, later(armed, 10).instant), State::Spent);
    assert!(decide(&reader.plan(), later(armed, 10)).is_none());
}

#[test]
fn all_faults_together_have_a_bounded_number_of_expressions() {
    let (mut writer, _) = store(1);
    let now = start();
    let fault = |id: &str, count: usize| {
        let paths = vec!["re:^/a"; count];
        spec(&json!({ "id": id, "route": "web", "reset": {}, "match": { "path": paths } }))
    };
    let full: Vec<_> = (0..16).map(|n| fault(&format!("f{n}"), 16)).collect();
    writer.arm(full, now).unwrap();

    let more = writer.arm(vec![fault("more", 1)], now).unwrap_err();
    let put = writer.put("more", fault("more", 1), now).unwrap_err();

    let wanted = "all faults together may have 256 regular expressions, and this makes 257";
    assert_eq!(
        (more.to_string().as_str(), put.to_string().as_str()),
        (wanted, wanted)
    );
    // What replaces a fault counts in its place, and one that is removed makes room.
    writer.put("f0", fault("f0", 15), now).unwrap();
    writer.arm(vec![fault("one", 1)], now).unwrap();
    let patch = json!({ "match": { "path": vec!["re:^/a"; 2] } });
    assert!(writer.patch("one", &patch, now).is_err());
    assert!(writer.remove("f1", now.instant));
    writer.patch("one", &patch, now).unwrap();
}
