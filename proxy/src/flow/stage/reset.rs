//! A reset after so many bytes.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::Stage;

use super::{Item, Machine, Meter};

#[derive(Debug)]
pub(super) struct Reset {
    after: u64,
    passed: u64,
    is_over: bool,
    through: VecDeque<(Instant, Item)>,
}

impl Reset {
    pub(super) fn new(after: u64, now: Instant) -> Self {
        let mut reset = Self {
            after,
            passed: 0,
            is_over: false,
            through: VecDeque::new(),
        };
        reset.fire_when_due(now);
        reset
    }

    fn fire_when_due(&mut self, at: Instant) {
        if !self.is_over && self.passed >= self.after {
            self.is_over = true;
            self.through.push_back((at, Item::Reset));
        }
    }
}

impl Machine for Reset {
    fn push(&mut self, at: Instant, item: Item) {
        if self.is_over {
            return;
        }
        let item = match item {
            Item::Bytes(mut bytes) => {
                let left = usize::try_from(self.after - self.passed).unwrap_or(usize::MAX);
                bytes.truncate(left);
                self.passed += bytes.len() as u64;
                Item::Bytes(bytes)
            }
            Item::End | Item::Reset | Item::Close => {
                self.is_over = true;
                item
            }
        };
        self.through.push_back((at, item));
        self.fire_when_due(at);
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

    fn renew(&mut self, stage: Stage, now: Instant) {
        if let Stage::Reset { after } = stage {
            self.after = after;
            self.fire_when_due(now);
        }
    }

    fn flush(&mut self, _now: Instant, _meter: &Meter) -> VecDeque<Item> {
        self.through.drain(..).map(|(_, item)| item).collect()
    }
}
