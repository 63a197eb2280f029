//! Chunks that wait.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::{Stage, Waits};

use super::{Item, Machine, Meter};

#[derive(Debug)]
pub(super) struct Delay {
    waits: Waits,
    queue: VecDeque<Waiting>,
    kept: usize,
}

/// An item on its way.
#[derive(Debug)]
struct Waiting {
    arrived: Instant,
    /// When it may go; never earlier than the one before.
    due: Instant,
    item: Item,
}

impl Waiting {
    /// The end of a stream is not held, it only does not overtake.
    fn is_held(&self) -> bool {
        matches!(self.item, Item::Bytes(_))
    }
}

/// As much as is kept before no more is read: what a fast peer sends in some milliseconds.
const KEPT_MAX: usize = 4 * 1024 * 1024;

/// What it costs to keep an item, an empty one included.
fn weight(item: &Item) -> usize {
    const EMPTY: usize = 64;
    match item {
        Item::Bytes(bytes) => bytes.len() + EMPTY,
        Item::End | Item::Reset | Item::Close => EMPTY,
    }
}

impl Delay {
    pub(super) fn new(waits: Waits) -> Self {
        Self {
            waits,
            queue: VecDeque::new(),
            kept: 0,
        }
    }
}

impl Machine for Delay {
    fn push(&mut self, at: Instant, item: Item) {
        let wanted = match item {
            Item::Bytes(_) => at + self.waits.draw(),
            Item::End | Item::Reset | Item::Close => at,
        };
        self.kept += weight(&item);
        let before = self.queue.back().map(|last| last.due);
        self.queue.push_back(Waiting {
            arrived: at,
            due: before.map_or(wanted, |due| due.max(wanted)),
            item,
        });
    }

    fn pop(&mut self, now: Instant, meter: &Meter) -> Option<(Instant, Item)> {
        self.queue.front().filter(|first| first.due <= now)?;
        let first = self.queue.pop_front()?;
        self.kept -= weight(&first.item);
        if first.is_held() {
            meter.held(Some(first.due - first.arrived), first.arrived, now);
        }
        Some((first.due, first.item))
    }

    fn wake(&self) -> Option<Instant> {
        self.queue.front().map(|first| first.due)
    }

    fn holds(&self) -> bool {
        !self.queue.is_empty()
    }

    fn has_room(&self) -> bool {
        self.kept < KEPT_MAX
    }

    /// What waits already keeps its time, so that nothing overtakes.
    fn renew(&mut self, stage: Stage, _now: Instant) {
        if let Stage::Delay(waits) = stage {
            self.waits = waits;
        }
    }

    fn flush(&mut self, now: Instant, meter: &Meter) -> VecDeque<Item> {
        self.kept = 0;
        for held in self.queue.iter().filter(|waiting| waiting.is_held()) {
            meter.held(None, held.arrived, now);
        }
        self.queue.drain(..).map(|waiting| waiting.item).collect()
    }
}
