//! Strength over time, on a stepped clock: half an hour takes no longer than the decisions do.

use std::time::Duration;

use brownout_fault::{FaultPlan, Moment, store};
use serde_json::{Value, json};

use crate::{after, arm, decide, decide_for, later, start};

/// How many of `count` requests at one time are hit.
fn hits(plan: &FaultPlan, at: Moment, count: usize) -> usize {
    (0..count).filter(|_| !decide(plan, at).is_none()).count()
}

/// For each second of `seconds`, whether a request is hit.
#[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
fn seconds_on(fault: Value, seconds: u64) -> Vec<bool> {
    let (mut writer, reader) = store(7);
    let now = start();
    arm(&mut writer, &fault, now);
    let on = |second| !decide(&reader.plan(), later(now, second)).is_none();
    (0..seconds).map(on).collect()
}

#[test]
fn a_ramp_of_percent_grows_over_half_an_hour_and_fades() {
    let (mut writer, reader) = store(7);
    let now = start();
    let ramp = json!({ "up": "10m", "down": "10m" });
    arm(
        &mut writer,
        &json!({ "route": "web", "reset": {}, "ramp": ramp, "ttl": "30m" }),
        now,
    );

    let share = |minute: u64| hits(&reader.plan(), later(now, minute * 60), 2_000);

    assert_eq!(share(0), 0);
    assert!((900..1_100).contains(&share(5)), "{}", share(5));
    assert_eq!(share(10), 2_000);
    assert_eq!(share(19), 2_000);
    assert!((900..1_100).contains(&share(25)), "{}", share(25));
    assert!(share(29) < 300);
}

#[test]
fn a_ramp_of_value_grows_the_magnitude_and_hits_everybody() {
    let (mut writer, reader) = store(7);
    let now = start();
    let ramp = json!({ "up": "10s", "of": "value", "shape": "steps", "steps": 2 });
    arm(
        &mut writer,
        &json!({ "route": "web", "latency": "1s", "ramp": ramp }),
        now,
    );

    let wait = |second| decide(&reader.plan(), later(now, second)).before.delays[0].span;

    let millis: Vec<u128> = [0, 4, 5, 9, 10]
        .map(|second| wait(second).as_millis())
        .into();
    assert_eq!(millis, [0, 0, 500, 500, 1_000]);
}

#[test]
fn a_wave_is_on_for_its_part_of_each_period() {
    let wave = json!({ "period": "4s", "duty": 0.25, "phase": "2s" });

    let on = seconds_on(json!({ "route": "web", "reset": {}, "wave": wave }), 12);

    let wanted: Vec<bool> = (0..12).map(|second| (second + 2) % 4 == 0).collect();
    assert_eq!(on, wanted);
}

#[test]
fn pulses_are_on_in_their_windows_alone_counted_from_the_start() {
    let pulses = json!([{ "start": "1s", "for": "2s" }, { "start": "6s", "for": "1s" }]);
    let fault = json!({ "route": "web", "reset": {}, "pulses": pulses, "start": "1s" });

    let on = seconds_on(fault, 10);

    let at: Vec<usize> = (0..10).filter(|second| on[*second]).collect();
    assert_eq!(at, [2, 3, 7]);
}

#[test]
fn what_is_off_by_schedule_counts_no_match() {
    let (mut writer, reader) = store(7);
    let now = start();
    let pulses = json!({ "start": "10s", "for": "1s" });
    let id = arm(
        &mut writer,
        &json!({ "route": "web", "reset": {}, "pulses": pulses, "skip_first": 1 }),
        now,
    );

    for _ in 0..5 {
        assert!(decide(&reader.plan(), now).is_none());
    }
    assert_eq!(hits(&reader.plan(), later(now, 10), 3), 2);
    assert_eq!(writer.status(&id, now.instant).unwrap().counters.matched, 3);
}

#[test]
fn a_nemesis_strikes_once_a_round_for_its_time_and_the_same_for_the_same_seed() {
    let nemesis = json!({ "every": "60s", "jitter": "30s", "for": "10s" });
    let fault = json!({ "route": "web", "reset": {}, "nemesis": nemesis, "ttl": "30m" });

    let on = seconds_on(fault.clone(), 1_900);

    for round in 0..30 {
        let struck = on[round * 60..(round + 1) * 60]
            .iter()
            .filter(|on| **on)
            .count();
        assert!((9..=11).contains(&struck), "{struck} s in round {round}");
    }
    let begins: Vec<usize> = (0..30)
        .map(|round| on[round * 60..].iter().position(|on| *on).unwrap())
        .collect();
    assert!(
        begins.iter().any(|at| *at != begins[0]),
        "no jitter: {begins:?}"
    );
    assert!(on[1_800..].iter().all(|on| !on), "it ends with the fault");
    assert_eq!(seconds_on(fault, 1_900), on);
}

#[test]
fn a_nemesis_strikes_one_of_its_group_in_each_round() {
    let (mut writer, reader) = store(7);
    let now = start();
    let nemesis = json!({ "every": "10s", "for": "10s", "targets": "one" });
    for route in ["a", "b", "c"] {
        let fault = json!({ "route": route, "reset": {}, "group": "zone", "nemesis": nemesis });
        arm(&mut writer, &fault, now);
    }
    let request = http::Request::get("/").body(()).unwrap();

    let mut struck = [0; 3];
    for round in 0..60 {
        let at = later(now, round * 10 + 5);
        let hit =
            ["a", "b", "c"].map(|route| !decide_for(&reader.plan(), route, &request, at).is_none());
        assert_eq!(hit.iter().filter(|hit| **hit).count(), 1, "round {round}");
        for (count, hit) in struck.iter_mut().zip(hit) {
            *count += u32::from(hit);
        }
    }
    assert!(struck.iter().all(|count| *count > 8), "{struck:?}");
}

#[test]
fn a_group_that_was_armed_one_after_the_other_strikes_at_the_same_times() {
    let (mut writer, reader) = store(7);
    let now = start();
    let burst = json!({ "mean_burst": "5s", "mean_gap": "10s" });
    for (at, route) in ["a", "b"].iter().enumerate() {
        let fault = json!({ "route": route, "reset": {}, "group": "zone", "burst": burst });
        arm(&mut writer, &fault, later(now, at as u64 * 3));
    }
    let request = http::Request::get("/").body(()).unwrap();

    let hit = |route, at| !decide_for(&reader.plan(), route, &request, at).is_none();
    let times = (30..5_000).map(|tenth| after(now, Duration::from_millis(tenth * 100)));
    let both: Vec<(bool, bool)> = times.map(|at| (hit("a", at), hit("b", at))).collect();

    assert!(both.iter().all(|(a, b)| a == b));
    assert!(both.iter().any(|(a, _)| *a) && both.iter().any(|(a, _)| !a));
}

#[test]
fn bursts_by_match_come_in_runs_and_repeat() {
    let run = || {
        let (mut writer, reader) = store(7);
        let now = start();
        let burst = json!({ "p_bad": 0.02, "p_good": 0.2 });
        arm(
            &mut writer,
            &json!({ "route": "web", "reset": {}, "burst": burst }),
            now,
        );
        let hit = |_| !decide(&reader.plan(), now).is_none();
        (0..20_000).map(hit).collect::<Vec<bool>>()
    };

    let hits = run();

    let bad = hits.iter().filter(|hit| **hit).count();
    let runs = hits.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert!((1_300..2_400).contains(&bad), "{bad}");
    assert!((3..=8).contains(&(bad / runs)), "{bad} in {runs} runs");
    assert_eq!(run(), hits);
}
