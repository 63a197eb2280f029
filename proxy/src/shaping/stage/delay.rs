//! Each chunk waits for a time that is counted from its arrival.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::{Stage, Waits};

use super::{Item, Machine, Report};

#[derive(Debug)]
pub(super) struct Delay {
    waits: Waits,
    queue: VecDeque<Waiting>,
    kept: usize,
}

#[derive(Debug)]
struct Waiting {
    arrived: Instant,
    /// When it may go; never earlier than the one before.
    due: Instant,
    item: Item,
}

impl Waiting {
    /// Whether it waits. The end of a stream does not; it only must not overtake bytes.
    fn is_held(&self) -> bool {
        matches!(self.item, Item::Bytes(_))
    }
}

/// Bytes that are kept before no more is read: 4 MiB, as much as a fast peer sends in some milliseconds.
const KEPT_MAX: usize = 4 * 1024 * 1024;

/// The memory that an item takes, in bytes. An empty chunk takes some, too.
fn weight(item: &Item) -> usize {
    const EMPTY: usize = 64;
    match item {
        Item::Bytes(bytes) => bytes.len() + EMPTY,
        Item::End | Item::Cut(_) => EMPTY,
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
            Item::End | Item::Cut(_) => at,
        };
        self.kept += weight(&item);
        let before = self.queue.back().map(|last| last.due);
        self.queue.push_back(Waiting {
            arrived: at,
            due: before.map_or(wanted, |due| due.max(wanted)),
            item,
        });
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        self.queue.front().filter(|first| first.due <= now)?;
        let first = self.queue.pop_front()?;
        self.kept -= weight(&first.item);
        if first.is_held() {
            report.held(Some(first.due - first.arrived), first.arrived, now);
        }
        Some((first.due, first.item))
    }

    fn due(&self) -> Option<Instant> {
        self.queue.front().map(|first| first.due)
    }

    fn is_holding(&self) -> bool {
        !self.queue.is_empty()
    }

    fn has_room(&self) -> bool {
        self.kept < KEPT_MAX
    }

    /// With other waits the chunk that is next goes at once, and those behind it get their time anew, from their arrival; so
    /// does Toxiproxy. Under a ramp, which changes the waits all the time, chunks that wait keep their time.
    fn update(&mut self, stage: Stage, now: Instant) {
        let Stage::Delay(waits) = stage else {
            return;
        };
        let is_another = !waits.are_of(&self.waits);
        self.waits = waits;
        if !is_another {
            return;
        }
        let mut before = None;
        for waiting in &mut self.queue {
            let wanted = match (before, &waiting.item) {
                (None, _) => now,
                (Some(_), Item::Bytes(_)) => waiting.arrived + self.waits.draw(),
                (Some(_), Item::End | Item::Cut(_)) => waiting.arrived,
            };
            waiting.due = before.map_or(wanted, |due: Instant| due.max(wanted));
            before = Some(waiting.due);
        }
    }

    fn release(&mut self, now: Instant, report: &mut dyn Report) -> VecDeque<Item> {
        self.kept = 0;
        for held in self.queue.iter().filter(|waiting| waiting.is_held()) {
            report.held(None, held.arrived, now);
        }
        self.queue.drain(..).map(|waiting| waiting.item).collect()
    }
}
