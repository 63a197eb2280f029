//! `per`: the same key always gets the same draw.

use brownout_fault::store;
use http::Request;
use proptest::prelude::*;
use serde_json::json;

use crate::{arm, decide_on, start};

fn user(name: &str) -> Request<()> {
    let request = Request::get("/").header("x-user", name);
    let request = request.header("cookie", format!("a=b; sid={name}"));
    request
        .header("traceparent", format!("00-{name:0>32}-00f067aa0ba902b7-01"))
        .body(())
        .unwrap()
}

/// Whether each of `users` is hit, asked in this order.
fn hits(per: &str, users: &[u32]) -> Vec<bool> {
    let (mut writer, reader) = store(7);
    let now = start();
    let fault = json!({ "id": "sticky", "route": "web", "reset": {}, "percent": 50, "per": per });
    arm(&mut writer, &fault, now);
    let hit = |user_number: &u32| {
        let request = user(&format!("{user_number}"));
        let connection = u64::from(*user_number);
        !decide_on(&reader.plan(), "web", &request, connection, now).is_none()
    };
    users.iter().map(hit).collect()
}

#[test]
fn each_key_is_hit_always_or_never() {
    for per in ["header:x-user", "cookie:sid", "trace", "connection"] {
        let users: Vec<u32> = (1..=200).collect();

        let first = hits(per, &users);
        let share = first.iter().filter(|hit| **hit).count();

        assert!((70..130).contains(&share), "{per}: {share} of 200");
        let three = hits(per, &[users.clone(), users.clone(), users].concat());
        assert_eq!(three, first.repeat(3), "{per}");
    }
}

#[test]
fn who_has_no_key_is_drawn_for_alone() {
    let (mut writer, reader) = store(7);
    let now = start();
    let fault = json!({ "route": "web", "reset": {}, "percent": 50, "per": "header:x-user" });
    arm(&mut writer, &fault, now);
    let request = Request::get("/").body(()).unwrap();

    let hit = |_| !decide_on(&reader.plan(), "web", &request, 0, now).is_none();
    let share = (0..200).map(hit).filter(|hit| *hit).count();

    assert!((70..130).contains(&share), "{share} of 200");
}

#[test]
fn a_group_hits_the_same_traces_on_all_its_routes() {
    let (mut writer, reader) = store(7);
    let now = start();
    for route in ["a", "b"] {
        let fault = json!({
            "route": route, "reset": {}, "percent": 50, "per": "trace", "group": "zone",
        });
        arm(&mut writer, &fault, now);
    }

    for trace in 1..100 {
        let request = user(&format!("{trace}"));
        let hit = |route| !decide_on(&reader.plan(), route, &request, 0, now).is_none();
        assert_eq!(hit("a"), hit("b"), "{trace}");
    }
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_draws_in_any_order(
        users in prop::collection::vec(1_u32..50, 1..100),
        shuffle in any::<u64>(),
    ) {
        let mut order: Vec<usize> = (0..users.len()).collect();
        order.sort_by_key(|at| (*at as u64).wrapping_mul(shuffle | 1));
        let shuffled: Vec<u32> = order.iter().map(|at| users[*at]).collect();

        let straight = hits("header:x-user", &users);
        let mixed = hits("header:x-user", &shuffled);

        for (place, at) in order.iter().enumerate() {
            prop_assert_eq!(mixed[place], straight[*at]);
        }
    }
}
