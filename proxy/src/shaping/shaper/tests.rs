//! A direction of a connection without sockets and without waiting.

mod measured;
mod property;

use std::time::{Duration, SystemTime};

use brownout_fault::{
    Direction, FaultReader, FaultSpec, FaultWriter, Link, Moment, StreamFaults, store,
};
use serde_json::{Value, json};

use super::*;
use crate::shaping::stream::{StreamNext, report::StreamReport};

/// A direction, its faults, and all that came out of it, with the time of each chunk.
struct World {
    start: Instant,
    elapsed: Duration,
    writer: FaultWriter,
    reader: FaultReader,
    faults: StreamFaults,
    shaper: Shaper<StreamReport>,
    out: Vec<(Duration, Vec<u8>)>,
    last: Option<StreamNext>,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    fn new(faults: &[Value]) -> Self {
        let (writer, reader) = store(7);
        let mut world = Self {
            start: Instant::now(),
            elapsed: Duration::ZERO,
            writer,
            reader,
            faults: StreamFaults::new(Direction::Downstream),
            shaper: Shaper::default(),
            out: Vec::new(),
            last: None,
        };
        for fault in faults {
            world.arm(fault);
        }
        world.look();
        world
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    fn moment(&self) -> Moment {
        Moment {
            instant: self.now(),
            wall: SystemTime::UNIX_EPOCH + self.elapsed,
        }
    }

    fn arm(&mut self, fault: &Value) {
        let mut fault = fault.clone();
        fault["route"] = "db".into();
        let spec = FaultSpec::read(&fault).unwrap();
        let at = self.moment();
        self.writer.arm(vec![spec], at).unwrap();
        self.look();
    }

    fn look(&mut self) {
        let link = Link {
            route: "db",
            peer: ([127, 0, 0, 1], 40_000).into(),
            connection: 3,
            has_requests: false,
        };
        let now = self.now();
        self.faults.look(&self.reader.plan(), &link, now);
        let acting = self.faults.acting("db");
        let wanted = acting.map(|acting| Wanted {
            number: acting.number,
            stage: acting.stage,
            report: StreamReport::new(acting.effects, None),
        });
        self.shaper.set_stages(wanted.collect(), now);
        self.take();
    }

    fn send(&mut self, bytes: &[u8]) {
        self.shaper.push(self.now(), Bytes::copy_from_slice(bytes));
        self.take();
    }

    fn end(&mut self) {
        self.shaper.end(self.now());
        self.take();
    }

    /// Lets all come out that is due.
    fn take(&mut self) {
        while self.last.is_none() {
            match StreamNext::from(self.shaper.next(self.now())) {
                StreamNext::Write(bytes) => self.out.push((self.elapsed, bytes.to_vec())),
                StreamNext::WaitUntil(_) | StreamNext::Idle => return,
                last => self.last = Some(last),
            }
        }
    }

    /// Lets time pass, stopping wherever something is due.
    fn pass(&mut self, span: Duration) {
        let end = self.elapsed + span;
        loop {
            self.take();
            let due = self.shaper.next_due().filter(|_| self.last.is_none());
            let due = due.map(|due| due.saturating_duration_since(self.start));
            match due.filter(|due| *due <= end) {
                Some(due) => self.elapsed = self.elapsed.max(due),
                None => break,
            }
        }
        self.elapsed = end;
        self.take();
    }

    fn bytes(&self) -> Vec<u8> {
        self.out
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect()
    }
}

#[test]
fn each_chunk_waits_from_its_arrival_so_waits_do_not_pile_up() {
    let mut world = World::new(&[json!({ "latency": "100ms" })]);

    for byte in b"abc" {
        world.send(&[*byte]);
        world.pass(ms(10));
    }
    world.end();
    world.pass(ms(1_000));

    let expected = [(100, b"a"), (110, b"b"), (120, b"c")];
    assert_eq!(
        world.out,
        expected.map(|(at, byte)| (ms(at), byte.to_vec()))
    );
    assert_eq!(world.last, Some(StreamNext::Shutdown));
}

#[test]
fn several_latencies_add_up() {
    let mut world = World::new(&[json!({ "latency": "100ms" }), json!({ "latency": "30ms" })]);

    world.send(b"a");
    world.pass(ms(1_000));

    assert_eq!(world.out, [(ms(130), b"a".to_vec())]);
}

#[test]
fn a_reset_comes_behind_exactly_so_many_bytes() {
    let reset = json!({ "reset": { "after_bytes": "5B" } });
    let mut world = World::new(&[reset, json!({ "latency": "50ms" })]);

    world.send(b"abc");
    world.send(b"defg");
    world.pass(ms(1_000));

    assert_eq!(
        (world.bytes(), &world.last),
        (b"abcde".to_vec(), &Some(StreamNext::Reset))
    );
    assert_eq!(
        world.out[0].0,
        ms(50),
        "what is before the reset still waits"
    );
}

#[test]
fn what_a_removed_fault_holds_passes_on_at_once_and_in_order() {
    let faults = ["30ms", "10s"].map(|value| json!({ "latency": value }));
    let mut world = World::new(&faults);
    world.send(b"in the second ");
    world.pass(ms(40));
    world.send(b"in the first ");

    world.writer.clear();
    world.look();
    world.send(b"after");

    assert_eq!(world.bytes(), b"in the second in the first after");
    assert_eq!(world.elapsed, ms(40));
}

#[test]
fn bytes_at_a_rate_take_their_time_and_a_change_of_the_rate_holds_from_then_on() {
    let pace = json!({ "id": "p", "bandwidth": { "rate": "1000B/s", "burst": "0B" } });
    let mut world = World::new(&[pace]);

    world.send(&[7; 3_000]);
    world.pass(ms(2_000));
    let slowly = world.bytes().len();
    let patch = json!({ "bandwidth": { "rate": "10KB/s", "burst": "0B" } });
    world.writer.patch("p", &patch, world.moment()).unwrap();
    world.look();
    world.pass(ms(100));

    assert!(
        (1_937..=2_000).contains(&slowly),
        "{slowly} bytes in 2 s, in slots of 62"
    );
    assert_eq!(world.bytes().len(), 3_000);
}

#[test]
fn a_rate_is_kept_whatever_the_size_of_chunks() {
    for rate in [10_000_u64, 1_000_000, 100_000_000] {
        let pace = json!({ "bandwidth": { "rate": format!("{rate}B/s"), "burst": "0B" } });
        let mut world = World::new(&[pace]);
        let chunk = vec![1; 10_000];
        for _ in 0..rate / 10_000 {
            world.send(&chunk);
        }
        let before = world.bytes().len();
        world.pass(ms(500));

        let sent = (world.bytes().len() - before) as u64;
        let (least, most) = (rate / 200 * 97, rate / 200 * 103 + rate / 16);
        assert!(
            (least..=most).contains(&sent),
            "{sent} bytes in half a second at {rate} B/s"
        );
    }
}

#[test]
fn a_blackhole_swallows_even_the_end_and_then_ends_the_connection() {
    for (then, last) in [("reset", StreamNext::Reset), ("close", StreamNext::Close)] {
        let mut world = World::new(&[json!({ "blackhole": { "hold": "1s", "then": then } })]);
        world.send(b"lost");
        world.end();
        world.pass(ms(999));
        assert_eq!((world.bytes().len(), &world.last), (0, &None));

        world.pass(ms(1));

        assert_eq!(world.last, Some(last));
    }
}

#[test]
fn a_blackhole_with_idle_ends_once_nothing_has_come_for_so_long() {
    let blackhole = json!({ "blackhole": { "idle": "100ms", "then": "close" } });
    let mut world = World::new(&[blackhole]);

    for _ in 0..5 {
        world.pass(ms(90));
        world.send(b"a");
    }
    assert_eq!(world.last, None, "each chunk starts it anew");
    world.pass(ms(100));

    assert_eq!(
        (world.bytes(), &world.last),
        (vec![], &Some(StreamNext::Close))
    );
}

#[test]
fn a_removed_blackhole_ends_the_connection_as_bytes_were_lost() {
    let mut world = World::new(&[json!({ "blackhole": {} }), json!({ "latency": "1h" })]);
    world.send(b"lost");

    world.writer.clear();
    world.look();

    assert_eq!(
        (world.bytes().len(), world.last),
        (0, Some(StreamNext::Reset))
    );
}

#[test]
fn a_stall_stops_where_it_says_and_goes_on_closes_or_resets() {
    for (then, rest, last) in [
        ("continue", &b"cdefgh"[..], StreamNext::Shutdown),
        ("fin", b"", StreamNext::Close),
        ("rst", b"", StreamNext::Reset),
    ] {
        let stall = json!({ "stall": { "after_bytes": "2B", "for": "5s", "then": then } });
        let mut world = World::new(&[stall]);
        world.send(b"abcd");
        world.pass(ms(4_999));
        world.send(b"efgh");
        world.end();
        assert_eq!(world.bytes(), b"ab");

        world.pass(ms(1));

        assert_eq!(world.bytes(), [b"ab", rest].concat());
        assert_eq!(world.last, Some(last), "{then}");
    }
}

#[test]
fn a_limit_lets_exactly_so_many_bytes_through_and_counts_on_when_it_is_changed() {
    let mut world = World::new(&[json!({ "id": "l", "limit_data": "10B" })]);
    world.send(b"abcd");
    let patch = json!({ "limit_data": { "bytes": "6B" } });
    world.writer.patch("l", &patch, world.moment()).unwrap();
    world.look();

    world.send(b"efgh");

    assert_eq!(
        (world.bytes(), world.last),
        (b"abcdef".to_vec(), Some(StreamNext::Close))
    );
    let mut nothing = World::new(&[json!({ "limit_data": "0B" })]);
    assert_eq!(nothing.last, None, "nothing has come yet");
    nothing.send(b"a");
    assert_eq!(
        (nothing.bytes(), nothing.last),
        (Vec::new(), Some(StreamNext::Close))
    );
}

#[test]
fn a_slow_close_holds_the_end_alone() {
    let mut world = World::new(&[json!({ "slow_close": "1s" })]);

    world.send(b"a");
    world.end();
    world.pass(ms(999));
    assert_eq!((world.bytes(), &world.last), (b"a".to_vec(), &None));

    world.pass(ms(1));
    assert_eq!(world.last, Some(StreamNext::Shutdown));
}

#[test]
fn pieces_have_the_sizes_and_the_pauses_that_are_asked_for() {
    let slicer = json!({ "slicer": { "size": "10B", "variation": "3B", "gap": "5ms" } });
    let mut world = World::new(&[slicer]);

    world.send(&[7; 1_000]);
    world.pass(ms(10_000));

    let (last, pieces) = world.out.split_last().unwrap();
    let sizes: std::collections::BTreeSet<usize> =
        pieces.iter().map(|(_, piece)| piece.len()).collect();
    assert_eq!(sizes, (7..=13).collect());
    assert!(last.1.len() <= 13);
    for (at, (time, _)) in world.out.iter().enumerate() {
        assert_eq!(*time, ms(5) * u32::try_from(at).unwrap());
    }
    assert_eq!(world.bytes().len(), 1_000);
}

#[test]
fn damage_spares_the_offset_and_keeps_the_length_whatever_the_chunks() {
    let damage = json!({ "corrupt": { "how": "random", "rate": 1.0, "offset": "3B" } });
    let mut whole = World::new(std::slice::from_ref(&damage));
    let mut pieces = World::new(&[damage]);

    whole.send(b"abcdefgh");
    for byte in b"abcdefgh" {
        pieces.send(&[*byte]);
    }

    let bytes = whole.bytes();
    assert_eq!(bytes, pieces.bytes(), "chance is the connection's");
    assert_eq!((&bytes[..3], bytes.len()), (&b"abc"[..], 8));
    assert!(bytes[3..].iter().zip(b"defgh").all(|(is, was)| is != was));
}

#[test]
fn a_reset_that_is_changed_goes_on_counting() {
    let mut world = World::new(&[json!({ "id": "r", "reset": { "after_bytes": "10B" } })]);
    world.send(b"abcd");

    let patch = json!({ "reset": { "after_bytes": "6B" } });
    world.writer.patch("r", &patch, world.moment()).unwrap();
    world.look();
    world.send(b"efgh");

    assert_eq!(
        (world.bytes(), world.last),
        (b"abcdef".to_vec(), Some(StreamNext::Reset))
    );
}

#[test]
fn a_connection_keeps_its_draw_while_the_percent_changes() {
    let fault = json!({ "id": "l", "latency": "1s", "percent": 50 });
    let mut world = World::new(&[fault]);
    let acts = |world: &World| world.faults.acting("db").count();
    let first = acts(&world);

    for percent in [100, 50, 0, 50] {
        let patch = json!({ "percent": percent });
        world.writer.patch("l", &patch, world.moment()).unwrap();
        world.look();
        let expected = match percent {
            100 => 1,
            0 => 0,
            _ => first,
        };
        assert_eq!(acts(&world), expected, "{percent} %");
    }

    let counters = world.writer.status("l", world.now()).unwrap().counters;
    assert_eq!(counters.matched, 1, "it is one connection");
    assert_eq!(
        (counters.injected, counters.skipped, counters.overflow),
        (1, 0, 0)
    );
}

#[test]
fn no_draw_and_no_count_goes_to_the_other_direction() {
    let mut world = World::new(&[json!({ "id": "l", "latency": "1s", "direction": "upstream" })]);

    world.send(b"a");

    assert_eq!(world.bytes(), b"a");
    let counters = world.writer.status("l", world.now()).unwrap().counters;
    assert_eq!(counters.matched, 0);
}
