//! An end that comes late.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::Stage;

use super::{Item, Machine, Meter};

#[derive(Debug)]
pub(super) struct SlowEnd {
    delay: Duration,
    /// With the time at which each came.
    queue: VecDeque<(Instant, Item)>,
}

impl SlowEnd {
    pub(super) fn new(delay: Duration) -> Self {
        let queue = VecDeque::new();
        Self { delay, queue }
    }
}

impl Machine for SlowEnd {
    fn push(&mut self, at: Instant, item: Item) {
        self.queue.push_back((at, item));
    }

    fn pop(&mut self, now: Instant, meter: &Meter) -> Option<(Instant, Item)> {
        let due = self.wake().filter(|due| *due <= now)?;
        let (since, item) = self.queue.pop_front()?;
        if item == Item::End {
            meter.held(Some(self.delay), since, now);
        }
        Some((due, item))
    }

    fn wake(&self) -> Option<Instant> {
        let (at, item) = self.queue.front()?;
        Some(match item {
            Item::End => *at + self.delay,
            Item::Bytes(_) | Item::Reset | Item::Close => *at,
        })
    }

    fn holds(&self) -> bool {
        !self.queue.is_empty()
    }

    fn renew(&mut self, stage: Stage, _now: Instant) {
        if let Stage::SlowEnd { delay } = stage {
            self.delay = delay;
        }
    }

    fn flush(&mut self, now: Instant, meter: &Meter) -> VecDeque<Item> {
        if let Some((since, Item::End)) = self.queue.back() {
            meter.held(None, *since, now);
        }
        self.queue.drain(..).map(|(_, item)| item).collect()
    }
}
