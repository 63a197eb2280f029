//! Whatever holds a body, its bytes come out as they came in.

use proptest::prelude::*;

use super::*;

fn holding() -> impl Strategy<Value = Value> {
    prop_oneof![
        (1_u64..2_000, 0_u64..300).prop_map(|(rate, burst)| {
            json!({ "bandwidth": { "rate": format!("{rate}B/s"), "burst": format!("{burst}B") } })
        }),
        (1_u64..200, 1_u64..30).prop_map(|(size, gap)| {
            json!({ "dribble": { "chunk_size": format!("{size}B"), "gap": format!("{gap}ms") } })
        }),
        (2_u64..9, 1_u64..90).prop_map(|(pieces, millis)| {
            json!({ "dribble": { "chunks": pieces, "duration": format!("{millis}ms") } })
        }),
        (0_u64..900, 1_u64..90).prop_map(|(after, millis)| {
            json!({ "stall": { "after_bytes": format!("{after}B"), "for": format!("{millis}ms") } })
        }),
        (0_u64..900).prop_map(|after| {
            json!({ "stall": {
                "after_bytes": format!("{after}B"), "for": "until_removed", "then": "rst",
            } })
        }),
        Just(json!({ "corrupt": { "how": "json", "depth": 9 } })),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Pass(u64),
    /// The oldest.
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..300).prop_map(Step::Send),
        3 => (0_u64..60).prop_map(Step::Pass),
        1 => Just(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn no_byte_is_lost_added_or_overtaken(
        faults in prop::collection::vec(holding(), 0..5),
        steps in prop::collection::vec(step(), 0..40),
        is_known in any::<bool>(),
        late in 0_u64..5,
    ) {
        let mut world = World::new(&faults);
        let length = steps.iter().map(|step| match step {
            Step::Send(count) => *count,
            Step::Pass(_) | Step::Remove => 0,
        }).sum();
        let sent = content(length);
        let mut body = world.body(is_known.then_some(length as u64));
        prop_assert_eq!(body.shaper.new_length(), None);
        let mut left = &sent[..];
        for step in steps {
            match step {
                Step::Send(count) => {
                    let (chunk, rest) = left.split_at(count);
                    body.push(&world, chunk);
                    left = rest;
                }
                Step::Pass(millis) => {
                    body.pass(&mut world, ms(millis));
                    world.elapsed += ms(late);
                }
                Step::Remove => {
                    let now = world.now();
                    let oldest = world.writer.statuses(now).next().map(|status| status.id);
                    if let Some(id) = oldest {
                        world.remove(&id);
                        body.take(&world);
                    }
                }
            }
            prop_assert!(sent.starts_with(&body.bytes()));
        }
        body.end(&world);
        body.pass(&mut world, ms(40));
        world.writer.clear();
        body.take(&world);

        prop_assert_eq!(body.bytes(), sent);
        prop_assert_eq!(body.ended, Some(BodyNext::End));
        let mut acted = body.notes.iter().filter(|note| matches!(note, BodyNote::Acts { .. }));
        let mut before = Vec::new();
        prop_assert!(acted.all(|note| !std::mem::replace(&mut before, vec![*note]).contains(note)));
    }

    #[test]
    fn a_cut_gives_exactly_its_bytes_through_everything_that_holds_them(
        faults in prop::collection::vec(holding(), 0..4),
        at in 0_usize..600,
        length in 1_usize..900,
        chunk in 1_usize..400,
        is_known in any::<bool>(),
    ) {
        let mut faults: Vec<Value> = faults.into_iter()
            .filter(|fault| !fault.to_string().contains("until_removed"))
            .collect();
        faults.push(json!({ "truncate": { "after_bytes": format!("{at}B"), "ending": "rst" } }));
        let by = faults.len() - 1;
        let mut world = World::new(&faults);
        let sent = content(length);
        let mut body = world.body(is_known.then_some(length as u64));

        body.run(&mut world, sent.chunks(chunk), Duration::ZERO);

        let is_cut = at < length || at == length && !is_known;
        let (bytes, ended) = match is_cut {
            true => (at, Body::cut(by, Break::Reset(ResetScope::AUTO))),
            false => (length, Some(BodyNext::End)),
        };
        prop_assert_eq!(body.bytes(), &sent[..bytes]);
        prop_assert_eq!(body.ended, ended);
    }
}
