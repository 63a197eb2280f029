use std::collections::BTreeSet;

use brownout_fault::{FaultPlan, store};
use http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{arm, decide, decide_for, fired_ids, start};

/// Which of `count` requests in a row the faults hit, by fault.
fn hits(seed: u64, faults: &[Value], count: usize) -> Vec<BTreeSet<usize>> {
    let (mut writer, reader) = store(seed);
    let now = start();
    let ids: Vec<String> = faults
        .iter()
        .map(|fault| arm(&mut writer, fault, now))
        .collect();
    let mut hits = vec![BTreeSet::new(); faults.len()];
    for request in 0..count {
        for fired in &decide(&reader.plan(), now).fired {
            let fault = ids.iter().position(|id| id == fired.id()).unwrap();
            hits[fault].insert(request);
        }
    }
    hits
}

fn twenty_percent() -> Value {
    json!({ "route": "web", "latency": "1ms", "percent": 20 })
}

#[test]
fn the_same_seed_hits_the_same_requests_and_another_seed_others() {
    let once = hits(42, &[twenty_percent()], 5_000);
    let again = hits(42, &[twenty_percent()], 5_000);
    let other = hits(43, &[twenty_percent()], 5_000);

    assert_eq!(once, again);
    assert_ne!(once, other);
    // 20 % of 5,000 is 1,000; five standard deviations are 141.
    assert!(
        (859..=1141).contains(&once[0].len()),
        "{} hits",
        once[0].len()
    );
}

#[test]
fn a_faults_own_seed_wins_over_the_process_seed() {
    let own = json!({ "route": "web", "latency": "1ms", "percent": 20, "seed": 7 });

    assert_eq!(
        hits(1, std::slice::from_ref(&own), 1_000),
        hits(2, &[own], 1_000)
    );
}

#[test]
fn two_faults_on_one_seed_are_independent() {
    let both = hits(42, &[twenty_percent(), twenty_percent()], 20_000);

    // Both together: 4 % of 20,000 is 800; five standard deviations are 139.
    let together = both[0].intersection(&both[1]).count();
    assert!(
        (661..=939).contains(&together),
        "{together} requests were hit by both"
    );
}

#[test]
fn runs_of_misses_are_as_long_as_independent_draws_make_them() {
    let hits = hits(42, &[twenty_percent()], 50_000).remove(0);
    let positions: Vec<usize> = hits.into_iter().collect();
    let gaps: Vec<usize> = positions.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let share = |longer_than: usize| {
        gaps.iter().filter(|gap| **gap > longer_than).count() as f64 / gaps.len() as f64
    };

    // A geometric distribution: P(gap > n) = 0.8^n.
    for n in [1, 2, 5, 10, 20] {
        let expected = 0.8f64.powi(i32::try_from(n).unwrap());
        assert!(
            (share(n) - expected).abs() < 0.02,
            "gaps above {n}: {}, not {expected}",
            share(n)
        );
    }
}

#[test]
fn the_same_count_of_requests_gives_the_same_count_of_hits_at_any_concurrency() {
    let count = |threads: usize| {
        let (mut writer, reader) = store(42);
        let now = start();
        let id = arm(&mut writer, &twenty_percent(), now);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let reader = reader.clone();
                scope.spawn(move || {
                    for _ in 0..4_000 / threads {
                        drop(decide(&reader.plan(), now));
                    }
                });
            }
        });
        writer.status(&id, now.instant).unwrap().counters.injected
    };

    assert_eq!(count(1), count(8));
    assert_eq!(count(1), count(4));
}

proptest! {
    #[test]
    fn the_same_seed_gives_each_fault_the_same_draws_however_requests_interleave(
        seed in any::<u64>(),
        order in prop::collection::vec(0_usize..3, 1..300),
    ) {
        const ROUTES: [&str; 3] = ["web", "shop", "db"];
        let armed = || {
            let (mut writer, reader) = store(seed);
            for route in ROUTES {
                let fault = json!({ "route": route, "id": route, "percent": 30, "abort": 503 });
                arm(&mut writer, &fault, start());
            }
            // It looks at every request and takes nothing from the others' chance.
            let all = json!({ "route": "*", "id": "all", "percent": 50, "latency": { "min": "1ms", "max": "9ms" } });
            arm(&mut writer, &all, start());
            (writer, reader)
        };
        let request = Request::get("/").body(()).unwrap();
        let is_hit = |plan: &FaultPlan, route: &str| {
            let injection = decide_for(plan, route, &request, start());
            fired_ids(&injection).contains(&route)
        };

        let (_writer, reader) = armed();
        let mut mixed: [Vec<bool>; 3] = Default::default();
        for route in order {
            mixed[route].push(is_hit(&reader.plan(), ROUTES[route]));
        }

        let (_writer, reader) = armed();
        for (route, hits) in ROUTES.into_iter().zip(mixed) {
            let alone: Vec<bool> = hits.iter().map(|_| is_hit(&reader.plan(), route)).collect();
            prop_assert_eq!(hits, alone, "{}", route);
        }
    }
}
