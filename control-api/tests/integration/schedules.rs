//! When a fault acts: its start and end, and the schedules, as requests see them.

use std::time::{Duration, Instant};

use brownout_testkit::within;
use serde_json::{Value, json};

use crate::World;

/// Asks over and over until the status is this one.
async fn until(world: &World, status: u16) {
    let asked = async { while world.through("/").await != status {} };
    within("the status to change", asked).await;
}

#[tokio::test]
async fn a_fault_waits_for_its_start_and_then_is_active() {
    let world = World::start().await;
    let began = Instant::now();
    let fault = json!({ "id": "x", "route": "web", "abort": 503, "start": "300ms" });

    assert_eq!(world.arm(fault).await["state"], "waiting");
    until(&world, 503).await;

    assert!(began.elapsed() >= Duration::from_millis(300));
    let (_, fault) = world.get("/faults/x").await;
    assert_eq!(
        (&fault["state"], &fault["start"]),
        (&json!("active"), &json!("300ms"))
    );
    assert_eq!(
        fault["counters"]["matched"], 1,
        "what came before its start is no match"
    );
}

#[tokio::test]
async fn schedules_are_seen_by_requests() {
    let world = World::start().await;
    for (schedule, changes) in [
        (json!({ "wave": { "period": "400ms", "duty": 0.5 } }), 4),
        (
            // Each longer than a machine stands still: they come once.
            json!({ "pulses": [{ "start": "100ms", "for": "1500ms" }, { "start": "3s", "for": "1500ms" }] }),
            4,
        ),
        (
            json!({ "burst": { "mean_burst": "60ms", "mean_gap": "60ms" } }),
            2,
        ),
        (json!({ "burst": { "p_bad": 0.2, "p_good": 0.2 } }), 6),
        (
            json!({ "nemesis": { "every": "200ms", "for": "100ms" } }),
            2,
        ),
    ] {
        let mut fault = json!({ "id": "x", "route": "web", "abort": 503 });
        fault
            .as_object_mut()
            .unwrap()
            .extend(schedule.as_object().unwrap().clone());
        let began = Instant::now();
        let shown = world.arm(fault).await;
        for key in schedule.as_object().unwrap().keys() {
            assert!(!shown[key].is_null(), "{shown}");
        }

        // On and off in turn, so many times.
        let (mut seen, mut is_on) = (0, false);
        let watched = async {
            while seen < changes {
                let now = world.through("/").await == 503;
                seen += usize::from(now != is_on);
                is_on = now;
            }
        };
        within("the schedule to turn", watched).await;

        if schedule.get("wave").is_some() {
            // It begins with an on half: the fourth change is the end of the second.
            assert!(
                began.elapsed() >= Duration::from_millis(590),
                "{:?}",
                began.elapsed()
            );
        }
        if schedule.get("pulses").is_some() {
            assert!(
                began.elapsed() >= Duration::from_millis(4_490),
                "{:?}",
                began.elapsed()
            );
            assert_eq!(world.through("/").await, 200, "no pulse is left");
        }
        world.delete("/faults/x").await;
    }
}

#[tokio::test]
async fn a_ramp_grows_to_the_whole_and_fades_before_the_end() {
    let world = World::start().await;
    let fault = json!({
        "id": "x", "route": "web", "abort": 503, "ttl": "8s", "ramp": { "up": "4s", "down": "2s" },
    });
    world.arm(fault).await;
    let began = Instant::now();
    let mut seen: Vec<(Duration, bool)> = Vec::new();
    while world.get("/faults/x").await.1["state"] == "active" {
        let at = began.elapsed();
        let is_hit = world.through("/").await == 503;
        // What was asked at one moment and answered at another proves nothing. The parts that are looked at are long enough for
        // a machine that stands still in them.
        if began.elapsed() - at < Duration::from_millis(100) {
            seen.push((at, is_hit));
        }
    }

    let share = |from: u64, to: u64| {
        let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
        let those: Vec<bool> = (seen.iter().filter(|(at, _)| (from..to).contains(at)))
            .map(|(_, is_hit)| *is_hit)
            .collect();
        assert!(
            those.len() >= 5,
            "{} requests are too few to tell",
            those.len()
        );
        those.iter().filter(|is_hit| **is_hit).count() as f64 / those.len() as f64
    };
    let (begin, whole) = (share(0, 1_000), share(4_100, 5_750));
    assert!(begin < 0.6, "{begin} at the beginning");
    assert!(
        (whole - 1.0).abs() < f64::EPSILON,
        "{whole} once it has grown"
    );
    assert!(
        seen.iter()
            .any(|(at, is_hit)| !is_hit && *at > Duration::from_millis(6_250))
    );
}

#[tokio::test]
async fn a_patch_keeps_the_end_unless_it_names_it_and_a_put_begins_anew() {
    let world = World::start().await;
    let end = |fault: &Value| {
        let told = fault["expires_at"].as_str()?;
        Some(told.parse::<jiff::Timestamp>().unwrap())
    };
    let fault = json!({ "route": "web", "abort": 503, "ttl": "1h" });
    let armed = world.call("PUT", "/faults/x", fault).await.1;
    let first = end(&armed);
    assert!(first.is_some());
    let patched = async |patch: Value| world.call("PATCH", "/faults/x", patch).await.1;

    assert_eq!(end(&patched(json!({ "percent": 50 })).await), first);
    let longer = end(&patched(json!({ "ttl": "2h" })).await);
    assert!(longer > first, "{longer:?} {first:?}");
    let for_ever = patched(json!({ "ttl": "none" })).await;
    assert_eq!((end(&for_ever), &for_ever["ttl"]), (None, &json!("none")));
    let again = end(&patched(json!({ "ttl": "1h" })).await);
    // Counted anew, from the change on.
    assert!(again >= first && again < longer, "{again:?} {first:?}");

    let other = json!({ "route": "web", "abort": 500, "ttl": "1h" });
    let replaced = world.call("PUT", "/faults/x", other).await.1;
    assert!(end(&replaced) > first, "{replaced}");
    let none = world
        .arm(json!({ "route": "web", "abort": 503, "ttl": "none" }))
        .await;
    assert_eq!(
        (
            end(&none),
            none.get("expires_at").is_some_and(|it| !it.is_null())
        ),
        (None, false)
    );
}
