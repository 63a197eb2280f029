//! So many bytes, then the end.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::Stage;

use super::{Item, Machine, Meter};

#[derive(Debug)]
pub(super) struct Limit {
    bytes: u64,
    passed: u64,
    is_over: bool,
    through: VecDeque<(Instant, Item)>,
}

impl Limit {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            passed: 0,
            is_over: false,
            through: VecDeque::new(),
        }
    }
}

impl Machine for Limit {
    fn push(&mut self, at: Instant, item: Item) {
        if self.is_over {
            return;
        }
        let Item::Bytes(mut bytes) = item else {
            self.is_over = true;
            self.through.push_back((at, item));
            return;
        };
        // A patch may have put the limit below what has passed.
        let left = self.bytes.saturating_sub(self.passed);
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.passed += bytes.len() as u64;
        if !bytes.is_empty() {
            self.through.push_back((at, Item::Bytes(bytes)));
        }
        if self.passed >= self.bytes {
            self.is_over = true;
            self.through.push_back((at, Item::Close));
        }
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
        if let Stage::Limit { bytes } = stage {
            self.bytes = bytes;
        }
    }

    fn flush(&mut self, _now: Instant, _meter: &Meter) -> VecDeque<Item> {
        self.through.drain(..).map(|(_, item)| item).collect()
    }
}
