//! The end of the stream waits, and nothing else.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::Stage;

use super::{Item, Machine, Report, arrival_queue::ArrivalQueue};

#[derive(Debug)]
pub(super) struct SlowEnd {
    delay: Duration,
    queue: ArrivalQueue,
}

impl SlowEnd {
    pub(super) fn new(delay: Duration) -> Self {
        let queue = ArrivalQueue::default();
        Self { delay, queue }
    }
}

impl Machine for SlowEnd {
    fn push(&mut self, at: Instant, item: Item) {
        self.queue.push(at, item);
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let due = self.due().filter(|due| *due <= now)?;
        let (since, _) = self.queue.first()?;
        let item = self.queue.pop(u64::MAX)?;
        if item == Item::End {
            report.held(Some(self.delay), since, now);
        }
        Some((due, item))
    }

    fn due(&self) -> Option<Instant> {
        let (at, item) = self.queue.first()?;
        Some(match item {
            Item::End => at + self.delay,
            Item::Bytes(_) | Item::Cut(_) => at,
        })
    }

    fn is_holding(&self) -> bool {
        !self.queue.is_empty()
    }

    fn update(&mut self, stage: Stage, _now: Instant) {
        if let Stage::SlowEnd { delay } = stage {
            self.delay = delay;
        }
    }

    fn release(&mut self, now: Instant, report: &mut dyn Report) -> VecDeque<Item> {
        if let Some((since, Item::End)) = self.queue.last() {
            report.held(None, since, now);
        }
        self.queue.take()
    }
}
