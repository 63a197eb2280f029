//! Bytes that are damaged.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::{Corruption, Damage, Stage};

use super::{Item, Machine, Meter};

#[derive(Debug)]
pub(super) struct Damaging {
    corruption: Corruption,
    through: VecDeque<(Instant, Item)>,
}

impl Damaging {
    pub(super) fn new(damage: &Damage) -> Self {
        Self {
            corruption: damage.begin(),
            through: VecDeque::new(),
        }
    }
}

impl Machine for Damaging {
    fn push(&mut self, at: Instant, item: Item) {
        let item = match item {
            Item::Bytes(bytes) => Item::Bytes(self.corruption.apply(bytes)),
            end => end,
        };
        self.through.push_back((at, item));
    }

    fn pop(&mut self, _now: Instant, meter: &Meter) -> Option<(Instant, Item)> {
        let popped = self.through.pop_front();
        if let Some((_, Item::Bytes(bytes))) = &popped {
            meter.passed(bytes.len());
        }
        popped
    }

    fn wake(&self) -> Option<Instant> {
        self.through.front().map(|(at, _)| *at)
    }

    fn holds(&self) -> bool {
        !self.through.is_empty()
    }

    fn renew(&mut self, stage: Stage, _now: Instant) {
        if let Stage::Damage(damage) = stage {
            self.corruption = damage.begin();
        }
    }

    fn flush(&mut self, _now: Instant, _meter: &Meter) -> VecDeque<Item> {
        self.through.drain(..).map(|(_, item)| item).collect()
    }
}
