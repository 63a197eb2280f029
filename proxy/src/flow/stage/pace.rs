//! Bytes at a rate.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use brownout_fault::{Bucket, Budget, Stage, Taken};

use super::{Item, Machine, Meter};

#[derive(Debug)]
pub(super) struct Pace {
    bucket: Arc<Bucket>,
    /// With the time of arrival.
    queue: VecDeque<(Instant, Item)>,
    kept: usize,
    room: usize,
    /// When the next bytes may go. What went is counted as gone then, so a late timer takes nothing from the rate.
    due: Option<Instant>,
    /// When bytes went last: from then, or from the arrival of what came later, the next ones take their time.
    went: Option<Instant>,
}

/// What is kept at least and at most: enough that a late read starves no fast rate.
const ROOM: std::ops::RangeInclusive<u64> = 16 * 1024..=4 * 1024 * 1024;

fn room(rate: u64) -> usize {
    /// The part of a second that is kept.
    const PART: u64 = 16;
    let room = (rate / PART).clamp(*ROOM.start(), *ROOM.end());
    usize::try_from(room).unwrap_or(usize::MAX)
}

impl Pace {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            bucket: budget.bucket(),
            queue: VecDeque::new(),
            kept: 0,
            room: room(budget.rate()),
            due: None,
            went: None,
        }
    }
}

impl Machine for Pace {
    fn push(&mut self, at: Instant, item: Item) {
        if let Item::Bytes(bytes) = &item {
            self.kept += bytes.len();
        }
        self.queue.push_back((at, item));
    }

    fn pop(&mut self, now: Instant, meter: &Meter) -> Option<(Instant, Item)> {
        let (arrived, item) = self.queue.front_mut()?;
        let mut at = self.due.map_or(*arrived, |due| due.max(*arrived));
        let since = self.went.map_or(*arrived, |went| went.max(*arrived));
        let Item::Bytes(bytes) = item else {
            let (_, item) = self.queue.pop_front()?;
            return Some((at, item));
        };
        while at <= now {
            match self.bucket.take(bytes.len().max(1) as u64, at) {
                Taken::Wait(wait) => at += wait,
                Taken::Bytes(taken) => {
                    self.due = Some(at);
                    let taken = usize::try_from(taken)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    let through = bytes.split_to(taken);
                    if bytes.is_empty() {
                        self.queue.pop_front();
                    }
                    self.kept -= taken;
                    self.went = Some(at);
                    meter.paced(taken, at.saturating_duration_since(since));
                    return Some((at, Item::Bytes(through)));
                }
            }
        }
        self.due = Some(at);
        None
    }

    fn wake(&self) -> Option<Instant> {
        let (arrived, _) = self.queue.front()?;
        Some(self.due.map_or(*arrived, |due| due.max(*arrived)))
    }

    fn has_room(&self) -> bool {
        self.kept < self.room
    }

    fn holds(&self) -> bool {
        !self.queue.is_empty()
    }

    fn renew(&mut self, stage: Stage, now: Instant) {
        if let Stage::Pace(budget) = stage {
            self.bucket = budget.bucket();
            self.room = room(budget.rate());
            self.due = Some(now);
        }
    }

    fn flush(&mut self, _now: Instant, _meter: &Meter) -> VecDeque<Item> {
        self.kept = 0;
        self.queue.drain(..).map(|(_, item)| item).collect()
    }
}
