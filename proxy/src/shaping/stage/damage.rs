//! Bytes are damaged; there are as many as before.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::{Corruption, Stage};

use super::{Item, Machine, Report, passed_queue::PassedQueue};

#[derive(Debug)]
pub(super) struct Damage {
    corruption: Corruption,
    passed: PassedQueue,
}

impl Damage {
    pub(super) fn new(corruption: Corruption) -> Self {
        Self {
            corruption,
            passed: PassedQueue::default(),
        }
    }
}

impl Machine for Damage {
    fn push(&mut self, at: Instant, item: Item) {
        let item = match item {
            Item::Bytes(bytes) => Item::Bytes(self.corruption.apply(bytes)),
            Item::End | Item::Cut(_) => item,
        };
        self.passed.push(at, item);
    }

    fn pop(&mut self, _now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        if self.corruption.has_damaged() {
            report.acted();
        }
        self.passed.pop(report)
    }

    fn due(&self) -> Option<Instant> {
        self.passed.due()
    }

    fn is_holding(&self) -> bool {
        !self.passed.is_empty()
    }

    fn update(&mut self, stage: Stage, _now: Instant) {
        if let Stage::Damage(damage) = stage {
            self.corruption = damage.begin();
        }
    }

    fn release(&mut self, _now: Instant, _report: &mut dyn Report) -> VecDeque<Item> {
        self.passed.take()
    }
}
