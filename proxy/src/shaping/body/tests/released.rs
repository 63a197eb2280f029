//! Faults that are removed while they act on a body.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::task::{ArcWake, noop_waker, waker};

use super::*;

/// Faults that hold a body for long, each with what it has let through before.
fn holding() -> Vec<(Value, usize)> {
    vec![
        (
            json!({ "id": "f", "bandwidth": { "rate": "16B/s", "burst": "0B" } }),
            0,
        ),
        (
            json!({ "id": "f", "dribble": { "chunk_size": "10B", "gap": "1h" } }),
            10,
        ),
        (
            json!({ "id": "f", "stall": { "after_bytes": "20B", "for": "1h" } }),
            20,
        ),
        (
            json!({ "id": "f", "stall": { "after_bytes": "20B", "for": "until_removed", "then": "rst" } }),
            20,
        ),
    ]
}

#[test]
fn what_a_removed_fault_holds_passes_at_once_and_in_order() {
    for (fault, before) in holding() {
        let mut world = World::new(std::slice::from_ref(&fault));
        let mut body = world.body(Some(100));
        for chunk in content(90).chunks(9) {
            body.push(&world, chunk);
        }
        body.pass(&mut world, ms(20));
        assert_eq!(body.bytes(), content(before), "{fault}");
        assert_eq!(body.shaper.is_pausing(), Some(0), "{fault}");

        world.remove("f");
        body.take(&world);

        assert_eq!(body.bytes(), content(90), "{fault}");
        assert_eq!(body.shaper.is_pausing(), None, "{fault}");
        body.push(&world, &content(100)[90..]);
        body.end(&world);
        assert_eq!(body.bytes(), content(100), "{fault}");
        assert_eq!(body.ended, Some(BodyNext::End), "{fault}");
        assert_eq!(world.elapsed, ms(20), "{fault}");
        assert_eq!(body.acted(), ["f"], "{fault}");
    }
}

#[test]
fn the_notes_of_a_removed_fault_are_told_once_and_say_that_it_ended_early() {
    for (fault, before) in holding() {
        let mut world = World::new(std::slice::from_ref(&fault));
        let mut body = world.body(None);
        body.push(&world, &content(90));
        body.pass(&mut world, ms(20));

        world.remove("f");
        body.take(&world);
        body.end(&world);

        let last = match fault.get("stall") {
            Some(_) => BodyNote::Held {
                by: 0,
                asked: None,
                achieved: ms(20),
            },
            None => BodyNote::Passed {
                by: 0,
                bytes: before as u64,
                took: ms(20),
            },
        };
        assert_eq!(body.notes, [BodyNote::Acts { by: 0 }, last], "{fault}");
    }
}

#[test]
fn each_fault_is_released_by_itself() {
    let mut world = World::new(&[
        json!({ "id": "dribble", "dribble": { "chunk_size": "10B", "gap": "1h" } }),
        json!({ "id": "stall", "stall": { "after_bytes": "5B", "for": "1h" } }),
        json!({ "id": "pace", "bandwidth": { "rate": "1000B/s", "burst": "0B" } }),
    ]);
    let mut body = world.body(Some(100));
    body.push(&world, &content(100));
    body.end(&world);
    let pausing = |body: &Body| {
        body.shaper
            .is_pausing()
            .map(|by| body.fired[by].id().to_owned())
    };

    assert_eq!(
        (body.bytes().len(), pausing(&body).as_deref()),
        (0, Some("pace"))
    );
    body.pass(&mut world, ms(10));
    assert_eq!(
        (body.bytes().len(), pausing(&body).as_deref()),
        (5, Some("stall"))
    );
    world.remove("stall");
    body.pass(&mut world, ms(50));
    assert_eq!(
        (body.bytes().len(), pausing(&body).as_deref()),
        (10, Some("dribble"))
    );
    world.remove("dribble");
    body.take(&world);
    assert_eq!(pausing(&body).as_deref(), Some("pace"));
    assert!(body.bytes().len() < 100, "the rate still holds");
    body.pass(&mut world, ms(100));

    assert_eq!(body.bytes(), content(100));
    assert_eq!(body.ended, Some(BodyNext::End));
}

#[test]
fn damage_and_cuts_stay_as_the_head_may_have_announced_them() {
    let mut world = World::new(&[
        json!({ "id": "corrupt", "corrupt": { "how": "random", "rate": 1 } }),
        json!({ "id": "cut", "truncate": { "after_bytes": "40B", "ending": "clean" } }),
    ]);
    let mut body = world.body(Some(100));
    body.push(&world, &content(10));

    world.writer.clear();
    body.push(&world, &content(100)[10..]);

    let pairs = body.bytes();
    assert_eq!(pairs.len(), 40);
    assert!(pairs.iter().zip(content(40)).all(|(is, was)| *is != was));
    assert_eq!(body.ended, Body::cut(1, Break::Clean));
}

#[test]
fn a_body_that_is_given_up_tells_what_held_it() {
    for (fault, before) in holding() {
        let mut world = World::new(std::slice::from_ref(&fault));
        let mut body = world.body(None);
        body.push(&world, &content(90));
        body.pass(&mut world, ms(20));

        body.shaper.abandon(world.now());
        body.shaper.abandon(world.now() + ms(1));
        body.notes.extend(body.shaper.take_notes());

        let last = match fault.get("stall") {
            Some(_) => BodyNote::Held {
                by: 0,
                asked: None,
                achieved: ms(20),
            },
            None => BodyNote::Passed {
                by: 0,
                bytes: before as u64,
                took: ms(20),
            },
        };
        assert_eq!(body.notes, [BodyNote::Acts { by: 0 }, last], "{fault}");
    }
}

struct Woken(AtomicUsize);

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_waits_is_woken_when_a_fault_is_removed() {
    let mut world = World::new(&[
        json!({ "id": "f", "stall": { "for": "until_removed" } }),
        json!({ "id": "other", "bandwidth": "1B/s" }),
    ]);
    let mut body = world.body(None);
    body.push(&world, b"held");
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = waker(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(body.shaper.poll_released(world.now(), &mut cx).is_pending());

    world.remove("f");

    assert!(woken.0.load(Ordering::Relaxed) >= 1);
    assert!(body.shaper.poll_released(world.now(), &mut cx).is_ready());
    assert!(body.shaper.poll_released(world.now(), &mut cx).is_pending());
    body.take(&world);
    assert!(body.bytes().starts_with(b"h"), "the burst of the other");
}

#[test]
fn nobody_waits_for_faults_that_hold_nothing() {
    let world = World::new(&[json!({ "truncate": { "after_bytes": "4B" } })]);
    let mut body = world.body(None);
    let waker = noop_waker();

    let polled = body
        .shaper
        .poll_released(world.now(), &mut Context::from_waker(&waker));

    assert!(polled.is_pending());
}
