//! A body without sockets and without waiting.

mod combined;
mod property;
mod released;
mod table;

use std::{sync::Arc, time::SystemTime};

use brownout_fault::{FaultSpec, FaultWriter, Fired, Moment, ResetScope, Subject, store};
use serde_json::{Value, json};

use super::*;

/// Faults that are armed, and a clock that is stepped.
struct World {
    start: Instant,
    elapsed: Duration,
    writer: FaultWriter,
    reader: brownout_fault::FaultReader,
}

impl World {
    fn new(faults: &[Value]) -> Self {
        let (mut writer, reader) = store(7);
        let start = Instant::now();
        let now = Moment {
            instant: start,
            wall: SystemTime::UNIX_EPOCH,
        };
        for fault in faults {
            let mut fault = fault.clone();
            fault["route"] = "web".into();
            let spec = FaultSpec::read(&fault).unwrap();
            writer.arm(vec![spec], now).unwrap();
        }
        Self {
            start,
            elapsed: Duration::ZERO,
            writer,
            reader,
        }
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    fn remove(&mut self, id: &str) {
        let now = self.now();
        assert!(self.writer.remove(id, now), "{id} is armed");
    }

    /// Begins a body on which all faults act.
    fn body(&self, length: Option<u64>) -> Body {
        let subject = Subject {
            route: "web",
            method: "GET",
            path: "/",
            query: None,
            host: None,
            fields: &http::HeaderMap::new(),
            peer: ([127, 0, 0, 1], 40_000).into(),
            connection: 0,
            request: 0,
            is_http2: false,
        };
        let injection = self.reader.plan().decide(&subject, self.now());
        let fired: Vec<Fired> = injection.fired.into_iter().collect();
        let after = injection.after.unwrap_or_default();
        let shapes = after.shapes.into_iter();
        let shapes = shapes.map(|(by, shape)| (by, shape, fired[by].released()));
        Body {
            shaper: BodyShaper::new(shapes, length, self.now()),
            fired,
            out: Vec::new(),
            ended: None,
            notes: Vec::new(),
        }
    }
}

/// A body and all that came of it.
struct Body {
    shaper: BodyShaper,
    fired: Vec<Fired>,
    /// With the time since the beginning.
    out: Vec<(Duration, Vec<u8>)>,
    ended: Option<BodyNext>,
    notes: Vec<BodyNote>,
}

impl Body {
    /// Takes all that may be written. When there is more to do.
    fn take(&mut self, world: &World) -> Option<Instant> {
        let due = loop {
            match self.shaper.next(world.now()) {
                BodyNext::Write(bytes) => {
                    assert!(!bytes.is_empty());
                    assert_eq!(self.ended, None, "nothing comes behind the end");
                    self.out.push((world.elapsed, bytes.to_vec()));
                }
                BodyNext::WaitUntil(at) => {
                    assert!(at > world.now(), "what is due is given");
                    break Some(at);
                }
                BodyNext::Idle => break None,
                ended => {
                    self.ended = Some(ended);
                    break None;
                }
            }
        };
        self.notes.extend(self.shaper.take_notes());
        due
    }

    fn push(&mut self, world: &World, bytes: &[u8]) {
        self.shaper.push(world.now(), Bytes::copy_from_slice(bytes));
        self.take(world);
    }

    fn end(&mut self, world: &World) {
        self.shaper.end(world.now());
        self.take(world);
    }

    /// Lets time pass, stopping wherever something is due.
    fn pass(&mut self, world: &mut World, span: Duration) {
        let end = world.now() + span;
        while let Some(at) = self.take(world).filter(|at| *at <= end) {
            world.elapsed = at - world.start;
        }
        world.elapsed = end - world.start;
        self.take(world);
    }

    /// Carries the body from a source that has all of it, read as there is room, to its end. Timers are `late`.
    fn run<'a>(
        &mut self,
        world: &mut World,
        chunks: impl IntoIterator<Item = &'a [u8]>,
        late: Duration,
    ) {
        let mut chunks = chunks.into_iter();
        let mut is_source_open = true;
        loop {
            let due = self.take(world);
            if self.ended.is_some() {
                return;
            }
            if is_source_open && self.shaper.has_room() {
                match chunks.next() {
                    Some(chunk) => self.shaper.push(world.now(), Bytes::copy_from_slice(chunk)),
                    None => {
                        is_source_open = false;
                        self.shaper.end(world.now());
                    }
                }
                continue;
            }
            let due = due.expect("a fault holds the body");
            world.elapsed = due + late - world.start;
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let pieces = self.out.iter().map(|(_, bytes)| bytes.as_slice());
        pieces.collect::<Vec<_>>().concat()
    }

    /// The ids of the faults that had an effect.
    fn acted(&self) -> Vec<&str> {
        let acted = self.notes.iter().filter_map(|note| match note {
            BodyNote::Acts { by } => Some(self.fired[*by].id()),
            BodyNote::Held { .. } | BodyNote::Passed { .. } => None,
        });
        acted.collect()
    }

    fn cut(by: usize, how: Break) -> Option<BodyNext> {
        Some(BodyNext::Cut { by, how })
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Bytes of which no two neighbours are the same.
fn content(len: usize) -> Vec<u8> {
    (b'0'..=b'z').cycle().take(len).collect()
}
