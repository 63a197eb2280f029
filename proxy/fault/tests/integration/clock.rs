//! Time in a fault's life: the same instant twice, and a wall clock that jumps.

use std::time::Duration;

use brownout_fault::{Moment, PatchError, State, store};
use serde_json::json;

use crate::{after, arm, decide, later, start};

const NANO: Duration = Duration::from_nanos(1);

#[test]
fn a_wall_clock_that_jumps_neither_shortens_nor_lengthens_a_fault() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let (mut writer, reader) = store(1);
    let now = Moment {
        wall: start().wall + 2 * DAY,
        ..start()
    };
    let fault = json!({ "route": "web", "reset": {}, "start": "10s", "ttl": "1m" });
    let id = arm(&mut writer, &fault, now);

    let at = |seconds: u64| after(now, Duration::from_secs(seconds));
    let forward = |at: Moment| Moment {
        wall: at.wall + DAY,
        ..at
    };
    let backward = |at: Moment| Moment {
        wall: at.wall - DAY,
        ..at
    };
    for (seconds, acts) in [(9, false), (10, true), (59, true), (60, false)] {
        for now in [at(seconds), forward(at(seconds)), backward(at(seconds))] {
            let hits = decide(&reader.plan(), now).fired.len();
            assert_eq!(hits, usize::from(acts), "{seconds}s after it was armed");
        }
    }
    // A patch at a jumped clock keeps the end as well, and shows it as it was promised.
    let before = writer.status(&id, at(20).instant).unwrap().expires_at;
    let patched = writer.patch(&id, &json!({ "percent": 50 }), backward(at(20)));
    assert_eq!(patched.unwrap().expires_at, before);
    assert!(writer.expire(at(59).instant).0.is_empty());
    assert_eq!(writer.expire(at(60).instant).0, [id]);
}

#[test]
fn at_the_instant_of_its_end_a_fault_is_gone_for_everybody() {
    let (mut writer, reader) = store(1);
    let now = start();
    let fault = json!({ "route": "web", "id": "short", "reset": {}, "ttl": "1m" });
    arm(&mut writer, &fault, now);
    let end = later(now, 60);
    let just_before = after(now, Duration::from_secs(60) - NANO);

    assert_eq!(decide(&reader.plan(), just_before).fired.len(), 1);
    let state = writer.status("short", just_before.instant).unwrap().state;
    assert_eq!(state, State::Active);

    // Whoever comes first at that instant: a request, a look, a patch, a removal, another fault of the same id.
    assert!(decide(&reader.plan(), end).is_none());
    assert!(writer.status("short", end.instant).is_none());
    let patch = writer.patch("short", &json!({ "percent": 1 }), end);
    assert!(matches!(patch, Err(PatchError::Unknown { .. })));
    assert!(!writer.remove("short", end.instant));
    assert_eq!(arm(&mut writer, &fault, end), "short");
}

#[test]
fn what_is_held_at_the_end_is_released_once_by_whoever_comes_first() {
    type Change = fn(&mut brownout_fault::FaultWriter, Moment);
    let changes: [Change; 3] = [
        |writer, at| drop(writer.expire(at.instant)),
        |writer, at| drop(writer.patch("slow", &json!({ "percent": 1 }), at)),
        |writer, at| assert!(!writer.remove("slow", at.instant)),
    ];
    for change in changes {
        let (mut writer, reader) = store(1);
        let now = start();
        let fault = json!({ "route": "web", "id": "slow", "latency": "1m", "ttl": "1m" });
        arm(&mut writer, &fault, now);
        let held = decide(&reader.plan(), now);
        let released = held.fired[0].released();
        assert!(!released.has_happened());

        let end = later(now, 60);
        change(&mut writer, end);
        assert!(released.has_happened());
        change(&mut writer, end);

        drop(held);
        assert!(writer.status("slow", end.instant).is_none());
        // Its place is free again, once.
        let fault = json!({ "route": "web", "id": "next", "latency": "1m", "max_active": 1 });
        arm(&mut writer, &fault, end);
        let next = decide(&reader.plan(), end);
        assert_eq!(next.fired.len(), 1);
        let active = writer.status("next", end.instant).unwrap().counters.active;
        assert_eq!(active, 1);
    }
}
