//! Whatever holds a direction, its bytes come out as they came in.

use proptest::prelude::*;

use super::*;

fn holding() -> impl Strategy<Value = Value> {
    prop_oneof![
        (1_u64..50).prop_map(|wait| json!({ "latency": format!("{wait}ms") })),
        (1_u64..50).prop_map(|mean| json!({ "latency": { "mean": format!("{mean}ms") } })),
        Just(json!({ "latency": { "min": "1ms", "max": "90ms" }, "percent": 50 })),
        Just(json!({ "latency": "20ms", "wave": { "period": "40ms" } })),
        Just(json!({ "reset": { "after_bytes": "1MiB" } })),
        Just(json!({ "slow_close": "50ms" })),
        Just(json!({ "slicer": { "size": "40B", "variation": "39B", "gap": "3ms" } })),
        Just(json!({ "bandwidth": { "rate": "4KiB/s", "burst": "100B" } })),
        (0_u64..500, 1_u64..90).prop_map(|(after, millis)| {
            json!({ "stall": { "after_bytes": format!("{after}B"), "for": format!("{millis}ms") } })
        }),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Pass(u64),
    Arm(Value),
    /// The oldest.
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_usize..300).prop_map(Step::Send),
        3 => (0_u64..60).prop_map(Step::Pass),
        1 => holding().prop_map(Step::Arm),
        1 => Just(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_no_byte_is_lost_or_overtaken(
        armed in prop::collection::vec(holding(), 0..4),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(&armed);
        let mut sent: Vec<u8> = Vec::new();
        for step in steps {
            match step {
                Step::Send(count) => {
                    let from = sent.len();
                    sent.extend((b'0'..=b'z').cycle().skip(from % 75).take(count));
                    world.send(&sent[from..]);
                }
                Step::Pass(millis) => world.pass(ms(millis)),
                Step::Arm(fault) => world.arm(&fault),
                Step::Remove => {
                    let now = world.now();
                    let oldest = world.writer.statuses(now).next().map(|status| status.id);
                    if let Some(id) = oldest {
                        world.writer.remove(&id, now);
                        world.look();
                    }
                }
            }
            prop_assert!(sent.starts_with(&world.bytes()));
        }
        world.end();
        world.writer.clear();
        world.look();

        prop_assert_eq!(world.bytes(), sent);
        prop_assert_eq!(world.last, Some(StreamNext::Shutdown));
    }
}
