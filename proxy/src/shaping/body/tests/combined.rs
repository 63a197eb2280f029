//! Several faults on one body, and one budget of several bodies.

use super::*;

#[test]
fn pieces_run_on_across_chunks() {
    let mut world = World::new(&[json!({ "dribble": { "chunk_size": "10B", "gap": "5ms" } })]);
    let mut body = world.body(None);

    for byte in content(25) {
        body.push(&world, &[byte]);
    }
    body.end(&world);
    body.pass(&mut world, ms(100));

    let at = |millis| {
        let pieces = body.out.iter().filter(|(at, _)| *at == ms(millis));
        pieces.map(|(_, bytes)| bytes.len()).sum::<usize>()
    };
    assert_eq!((at(0), at(5), at(10)), (10, 10, 5));
    assert_eq!(body.bytes(), content(25));
}

#[test]
fn late_timers_do_not_add_up() {
    for (fault, took) in [
        (
            json!({ "dribble": { "chunk_size": "10B", "gap": "10ms" } }),
            990,
        ),
        (
            json!({ "bandwidth": { "rate": "1000B/s", "burst": "0B" } }),
            1_000,
        ),
    ] {
        let mut world = World::new(std::slice::from_ref(&fault));
        let mut body = world.body(Some(1_000));

        body.run(&mut world, [&content(1_000)[..]], ms(3));

        let (last, _) = body.out.last().unwrap();
        assert!(
            (ms(took)..=ms(took + 3)).contains(last),
            "{fault}: {last:?}"
        );
    }
}

#[test]
fn a_source_that_is_slow_makes_no_later_pieces_come_at_once() {
    let mut world = World::new(&[json!({ "dribble": { "chunk_size": "10B", "gap": "10ms" } })]);
    let mut body = world.body(None);
    body.push(&world, &content(10));
    body.pass(&mut world, ms(1_000));

    body.push(&world, &content(30));
    body.pass(&mut world, ms(1_000));

    let times: Vec<Duration> = body.out.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 1_000, 1_010, 1_020].map(ms));
}

#[test]
fn a_stall_comes_at_its_place_on_the_wire_and_stops_the_rate() {
    let mut world = World::new(&[
        json!({ "stall": { "after_bytes": "500B", "for": "5s" } }),
        json!({ "bandwidth": { "rate": "1000B/s", "burst": "0B" } }),
    ]);
    let mut body = world.body(Some(2_000));

    body.run(&mut world, content(2_000).chunks(64), Duration::ZERO);

    let before = |millis| {
        let out = body.out.iter().filter(|(at, _)| *at <= ms(millis));
        out.map(|(_, bytes)| bytes.len()).sum::<usize>()
    };
    assert_eq!(
        (before(600), before(5_300)),
        (500, 500),
        "the stall lasts 5 s"
    );
    let after = before(6_000) - 500;
    assert!(
        (400..=700).contains(&after),
        "{after} bytes in about half a second at 1,000 B/s"
    );
    assert!(world.elapsed >= ms(6_800), "{:?}", world.elapsed);
    assert_eq!(body.bytes(), content(2_000));
}

#[test]
fn a_stall_stops_the_dribble_before_it() {
    let mut world = World::new(&[
        json!({ "dribble": { "chunk_size": "10B", "gap": "10ms" } }),
        json!({ "stall": { "after_bytes": "20B", "for": "1s" } }),
    ]);
    let mut body = world.body(Some(40));

    body.run(&mut world, [&content(40)[..]], Duration::ZERO);

    let times: Vec<Duration> = body.out.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 10, 1_010, 1_020].map(ms));
}

#[test]
fn of_a_cut_and_a_stall_at_one_place_the_cut_comes_and_the_stall_does_nothing() {
    let mut world = World::new(&[
        json!({ "id": "s", "stall": { "after_bytes": "40B", "for": "1s" } }),
        json!({ "id": "c", "truncate": { "after_bytes": "40B" } }),
    ]);
    for length in [Some(100), None] {
        let mut body = world.body(length);
        let began = world.elapsed;

        body.run(&mut world, content(100).chunks(7), Duration::ZERO);

        assert_eq!(body.ended, Body::cut(1, Break::Fin));
        assert_eq!(body.acted(), ["c"]);
        let passed = BodyNote::Passed {
            by: 1,
            bytes: 40,
            took: Duration::ZERO,
        };
        assert_eq!(body.notes, [BodyNote::Acts { by: 1 }, passed]);
        assert_eq!(world.elapsed, began);
    }
}

#[test]
fn stalls_come_one_after_the_other_whatever_their_order() {
    for (first, second) in [("10B", "30B"), ("30B", "10B"), ("20B", "20B")] {
        let mut world = World::new(&[
            json!({ "id": "1", "stall": { "after_bytes": first, "for": "100ms" } }),
            json!({ "id": "2", "stall": { "after_bytes": second, "for": "100ms" } }),
        ]);
        let mut body = world.body(Some(40));

        body.run(&mut world, content(40).chunks(15), Duration::ZERO);

        assert_eq!(world.elapsed, ms(200), "{first}, {second}");
        assert_eq!(body.acted().len(), 2);
        let held = body.notes.iter().filter(|note| {
            matches!(note, BodyNote::Held { asked, achieved, .. }
                if *asked == Some(ms(100)) && *achieved == ms(100))
        });
        assert_eq!(held.count(), 2, "{:?}", body.notes);
    }
}

#[test]
fn every_budget_must_allow_a_byte() {
    let rate =
        |id: &str, rate: &str| json!({ "id": id, "bandwidth": { "rate": rate, "burst": "0B" } });
    for faults in [
        [rate("fast", "10KB/s"), rate("slow", "1000B/s")],
        [rate("slow", "1000B/s"), rate("fast", "10KB/s")],
    ] {
        let mut world = World::new(&faults);
        let mut body = world.body(Some(4_000));
        body.push(&world, &content(4_000));

        body.pass(&mut world, ms(1_000));
        let slowly = body.bytes().len();
        world.remove("slow");
        let before = body.bytes().len();
        body.pass(&mut world, ms(125));
        let faster = body.bytes().len() - before;

        assert!((937..=1_000).contains(&slowly), "{slowly} bytes in 1 s");
        assert!(
            (1_250..=1_250 + 2 * 625).contains(&faster),
            "{faster} bytes in 125 ms, in slots of 625"
        );
    }
}

#[test]
fn budgets_of_one_body_run_side_by_side() {
    for (rates, length, took) in [
        (["1000B/s", "1000B/s"], 500, 500..=500),
        (["1000B/s", "1000B/s"], 10, 10..=10),
        (["1000B/s", "10KB/s"], 500, 500..=500),
        (["10KB/s", "1000B/s"], 500, 500..=500),
        (["10KB/s", "1000B/s"], 3_000, 3_000..=3_063),
    ] {
        let faults = rates.map(|rate| json!({ "bandwidth": { "rate": rate, "burst": "0B" } }));
        let mut world = World::new(&faults);
        let mut body = world.body(Some(length as u64));

        body.run(&mut world, [&content(length)[..]], Duration::ZERO);

        let ended = world.elapsed;
        assert!(
            ms(*took.start()) <= ended && ended <= ms(*took.end()),
            "{rates:?}: {length} bytes took {ended:?}"
        );
    }
}

#[test]
fn what_comes_after_a_rest_takes_its_time() {
    let bandwidth = json!({ "rate": "1000B/s", "burst": "0B" });
    for faults in [
        vec![json!({ "bandwidth": bandwidth })],
        vec![json!({ "bandwidth": bandwidth }); 2],
    ] {
        let mut world = World::new(&faults);
        let mut body = world.body(None);

        for _ in 0..3 {
            let before = body.bytes().len();
            body.push(&world, &content(50));
            body.pass(&mut world, ms(49));
            assert_eq!(body.bytes().len(), before);
            body.pass(&mut world, ms(1));
            assert_eq!(body.bytes().len(), before + 50);
            body.pass(&mut world, ms(1_000));
        }
    }
}

#[test]
fn bodies_share_the_budget_of_a_fault() {
    let bandwidth = json!({ "rate": "1000B/s", "burst": "0B", "share": "fault" });
    let mut world = World::new(&[json!({ "bandwidth": bandwidth })]);
    let mut bodies = [world.body(Some(5_000)), world.body(Some(5_000))];
    for body in &mut bodies {
        body.push(&world, &content(5_000));
    }

    for _ in 0..2_000 {
        world.elapsed += ms(1);
        for body in &mut bodies {
            body.take(&world);
        }
    }

    let sent = bodies.each_ref().map(|body| body.bytes().len());
    let both = sent[0] + sent[1];
    assert!((1_900..=2_000).contains(&both), "{sent:?} bytes in 2 s");
    assert!(sent.iter().all(|sent| *sent > 500), "{sent:?}");
}

#[test]
fn what_passed_is_told_with_its_time() {
    let mut world = World::new(&[json!({ "bandwidth": { "rate": "1000B/s", "burst": "0B" } })]);
    let mut body = world.body(Some(1_000));

    body.run(&mut world, [&content(1_000)[..]], Duration::ZERO);

    let [
        BodyNote::Acts { by: 0 },
        BodyNote::Passed {
            by: 0,
            bytes: 1_000,
            took,
        },
    ] = body.notes[..]
    else {
        panic!("{:?}", body.notes);
    };
    assert_eq!(took, ms(1_000));
}
