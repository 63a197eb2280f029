//! Chunks that wait.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::{Stage, Waits};

use super::{Item, Machine};

#[derive(Debug)]
pub(super) struct Delay {
    waits: Waits,
    /// With the time at which each may go; never earlier than the one before.
    queue: VecDeque<(Instant, Item)>,
    kept: usize,
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
        let before = self.queue.back().map(|(due, _)| *due);
        self.queue
            .push_back((before.map_or(wanted, |due| due.max(wanted)), item));
    }

    fn pop(&mut self, now: Instant) -> Option<(Instant, Item)> {
        self.queue.front().filter(|(due, _)| *due <= now)?;
        let popped = self.queue.pop_front();
        if let Some((_, item)) = &popped {
            self.kept -= weight(item);
        }
        popped
    }

    fn wake(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
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

    fn flush(&mut self) -> VecDeque<Item> {
        self.kept = 0;
        self.queue.drain(..).map(|(_, item)| item).collect()
    }
}
