//! What a fault says of itself afterwards.

use super::*;

fn magnitude(world: &World) -> brownout_fault::Magnitude {
    let status = world.writer.status("f", world.now()).unwrap();
    status.magnitude
}

/// Within the width of a histogram's bucket.
fn is_about(measured: Option<Duration>, expected: Duration) -> bool {
    measured.is_some_and(|measured| measured.abs_diff(expected) <= expected / 50)
}

#[test]
fn a_latency_tells_what_each_chunk_was_to_wait_and_did() {
    let mut world = World::new(&[json!({ "id": "f", "latency": "100ms" })]);

    world.send(b"a");
    world.elapsed += ms(130); // A timer that is late.
    world.take();

    let measured = magnitude(&world);
    assert!(is_about(measured.asked.map(|d| d.p50), ms(100)));
    assert!(is_about(measured.achieved.map(|d| d.p50), ms(130)));
    assert!(is_about(measured.late.map(|d| d.p50), ms(30)));
}

#[test]
fn what_was_let_go_before_its_time_was_asked_for_nothing() {
    for fault in [
        json!({ "id": "f", "latency": "1h" }),
        json!({ "id": "f", "slow_close": "1h" }),
        json!({ "id": "f", "stall": { "for": "until_removed" } }),
        json!({ "id": "f", "blackhole": {} }),
    ] {
        let mut world = World::new(std::slice::from_ref(&fault));
        world.send(b"a");
        world.end();
        world.pass(ms(70));

        world
            .writer
            .patch("f", &json!({ "percent": 0 }), world.moment())
            .unwrap();
        world.look();

        let measured = magnitude(&world);
        assert_eq!(measured.asked, None, "{fault}");
        assert!(
            is_about(measured.achieved.map(|d| d.p50), ms(70)),
            "{fault}: {measured:?}"
        );
    }
}

#[test]
fn a_rate_tells_the_bytes_and_the_rate_while_bytes_waited() {
    let fault = json!({ "id": "f", "bandwidth": { "rate": "10KB/s", "burst": "0B" } });
    let mut world = World::new(&[fault]);

    for _ in 0..2 {
        world.send(&[b'x'; 20_000]);
        world.pass(ms(60_000)); // Most of it idle.
    }

    let measured = magnitude(&world);
    assert_eq!(measured.bytes, Some(40_000));
    let rate = measured.bytes_per_second.unwrap();
    assert!((9_900..10_700).contains(&rate), "{rate} B/s");
}

#[test]
fn those_that_cut_damage_or_slice_tell_the_bytes_that_passed() {
    for (kind, passed) in [
        (json!({ "reset": { "after_bytes": "300B" } }), 300),
        (json!({ "limit_data": "300B" }), 300),
        (json!({ "slicer": { "size": "7B", "gap": "0s" } }), 400),
        (json!({ "corrupt": { "rate": 1.0 } }), 400),
    ] {
        let mut fault = kind.clone();
        fault["id"] = "f".into();
        let mut world = World::new(&[fault]);

        world.send(&[b'x'; 400]);
        world.pass(ms(1_000));

        let measured = magnitude(&world);
        assert_eq!(
            (measured.bytes, measured.bytes_per_second),
            (Some(passed), None),
            "{kind}"
        );
    }
}
