use std::{future::Future, pin::pin, task::Poll, time::Duration};

use brownout_fault::{Injection, store};
use brownout_fault::{Magnitude, MatchOutcome};
use serde_json::json;

use crate::{arm, decide, start};

/// Whether what `injection` holds has been released.
fn is_released(injection: &Injection) -> bool {
    let mut released = pin!(injection.fired[0].released().wait());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    released.as_mut().poll(&mut context) == Poll::Ready(())
}

#[test]
fn a_held_request_is_active_until_it_is_dropped() {
    let (mut writer, reader) = store(1);
    let now = start();
    let id = arm(
        &mut writer,
        &json!({ "route": "web", "blackhole": {} }),
        now,
    );
    let active = |writer: &brownout_fault::FaultWriter| {
        writer.status(&id, now.instant).unwrap().counters.active
    };

    let held = decide(&reader.plan(), now);
    assert_eq!(active(&writer), 1);
    drop(held);
    assert_eq!(active(&writer), 0);
}

#[test]
fn what_holds_nothing_is_never_active_and_learns_of_the_end_all_the_same() {
    let (mut writer, reader) = store(1);
    let now = start();
    let id = arm(&mut writer, &json!({ "route": "web", "reset": {} }), now);

    let injection = decide(&reader.plan(), now);
    assert_eq!(writer.status(&id, now.instant).unwrap().counters.active, 0);
    assert!(!is_released(&injection));
    writer.clear();

    assert!(
        is_released(&injection),
        "a reset that waits for a drain waits no longer"
    );
}

#[test]
fn removing_replacing_and_expiring_release_what_is_held() {
    let (mut writer, reader) = store(1);
    let now = start();
    let hole = json!({ "id": "x", "route": "web", "blackhole": {}, "ttl": "1m" });
    let end = now.instant + Duration::from_secs(60);
    let respec = || crate::spec(&hole);
    type Change<'a> = Box<dyn Fn(&mut brownout_fault::FaultWriter) + 'a>;
    let changes: [Change<'_>; 4] = [
        Box::new(|writer| assert!(writer.remove("x", now.instant))),
        Box::new(|writer| assert_eq!(writer.clear(), ["x"])),
        Box::new(|writer| assert_eq!(writer.expire(end).0, ["x"])),
        Box::new(|writer| drop(writer.put("x", respec(), now).unwrap())),
    ];
    for change in changes {
        writer.clear();
        arm(&mut writer, &hole, now);
        let held = decide(&reader.plan(), now);
        assert!(!is_released(&held));

        change(&mut writer);

        assert!(is_released(&held));
    }
}

#[test]
fn a_patch_releases_only_if_it_changes_the_parameters_of_the_kind() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "latency": "1h" }),
        now,
    );
    let held = decide(&reader.plan(), now);

    writer
        .patch("x", &json!({ "percent": 10, "note": "less" }), now)
        .unwrap();
    assert!(!is_released(&held));
    writer.patch("x", &json!({ "latency": "1s" }), now).unwrap();
    assert!(is_released(&held));

    let counters = writer.status("x", now.instant).unwrap().counters;
    assert_eq!(counters.active, 0, "its place is free at once");
    drop(held);
    let counters = writer.status("x", now.instant).unwrap().counters;
    assert_eq!(counters.active, 0);
}

#[test]
fn a_change_wakes_those_alone_that_its_fault_holds() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "x", "route": "web", "blackhole": {}, "limit": 1 }),
        now,
    );
    let by_x = decide(&reader.plan(), now);
    arm(
        &mut writer,
        &json!({ "id": "y", "route": "web", "blackhole": {} }),
        now,
    );
    let by_y = decide(&reader.plan(), now);

    writer.remove("x", now.instant);

    assert!(is_released(&by_x));
    assert!(!is_released(&by_y));
}

#[test]
fn the_process_holds_at_most_ten_thousand() {
    let (mut writer, reader) = store(1);
    let now = start();
    for id in ["a", "b"] {
        let fault = json!({ "id": id, "route": "web", "blackhole": {}, "max_active": 6_000 });
        arm(&mut writer, &fault, now);
    }

    // The second takes over what the first has no room for.
    let held: Vec<Injection> = (0..12_000).map(|_| decide(&reader.plan(), now)).collect();

    let counters = |id| writer.status(id, now.instant).unwrap().counters;
    assert_eq!(counters("a").active, 6_000);
    assert_eq!(counters("b").active, 4_000);
    assert_eq!(
        held.iter().filter(|injection| injection.is_none()).count(),
        2_000
    );
}

#[test]
fn achieved_delays_are_shown_as_magnitude() {
    let (mut writer, reader) = store(1);
    let now = start();
    let id = arm(
        &mut writer,
        &json!({ "route": "web", "latency": "300ms" }),
        now,
    );
    let magnitude = || writer.status(&id, now.instant).unwrap().magnitude;
    assert_eq!(magnitude(), Magnitude::default());

    let asked = Some(Duration::from_millis(300));
    decide(&reader.plan(), now).fired[0].note_delay(asked, Duration::from_micros(300_400));

    let late = magnitude().late.unwrap().p50.as_micros();
    assert!((400..410).contains(&late), "{late}");
    for delays in [magnitude().asked, magnitude().achieved] {
        let p50 = delays.unwrap().p50.as_secs_f64();
        assert!((0.300..0.306).contains(&p50), "{p50}");
    }
}

#[test]
fn a_removed_fault_gives_its_places_back_though_nobody_has_left_yet() {
    let (mut writer, reader) = store(1);
    let now = start();
    let fault = json!({ "route": "web", "latency": "1h", "max_active": 1 });
    let id = arm(&mut writer, &fault, now);
    let held = decide(&reader.plan(), now);
    assert!(held.fired[0].holds());
    let before = reader.plan().clone();

    writer.remove(&id, now.instant);

    arm(&mut writer, &fault, now);
    assert_eq!(decide(&reader.plan(), now).fired.len(), 1);
    // Who decided by the old plan is let through, not held by a fault that is gone.
    assert_eq!(
        decide(&before, now).considered[0].outcome,
        MatchOutcome::Overflow
    );
    drop(held);
    assert_eq!(
        writer
            .status("latency-2", now.instant)
            .unwrap()
            .counters
            .active,
        0
    );
}

#[test]
fn whoever_waits_for_changes_is_not_told_of_those_before() {
    let (mut writer, reader) = store(1);
    let now = start();
    arm(&mut writer, &json!({ "route": "web", "reset": {} }), now);

    let changes = reader.changes();
    assert!(!changes.has_changed().unwrap());
    writer.clear();

    assert!(changes.has_changed().unwrap());
}
