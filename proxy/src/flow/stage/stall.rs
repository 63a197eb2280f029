//! Bytes that stop.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::{Break, Stage};

use super::{Item, Machine, Meter};

/// What is kept of a stream that has stopped before no more is read.
const KEPT_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Stall {
    after: u64,
    hold: Option<Duration>,
    then: Option<Break>,
    passed: u64,
    /// From when on nothing passes.
    since: Option<Instant>,
    is_over: bool,
    /// With the time of arrival.
    through: VecDeque<(Instant, Item)>,
    held: VecDeque<Item>,
    kept: usize,
}

impl Stall {
    pub(super) fn new(
        after: u64,
        hold: Option<Duration>,
        then: Option<Break>,
        now: Instant,
    ) -> Self {
        Self {
            after,
            hold,
            then,
            passed: 0,
            since: (after == 0).then_some(now),
            is_over: false,
            through: VecDeque::new(),
            held: VecDeque::new(),
            kept: 0,
        }
    }

    fn ends_at(&self) -> Option<Instant> {
        let since = self.since.filter(|_| !self.is_over)?;
        Some(since + self.hold?)
    }

    fn pass(&mut self, at: Instant, item: Item) {
        self.through.push_back((at, item));
    }
}

impl Machine for Stall {
    fn push(&mut self, at: Instant, item: Item) {
        if self.is_over {
            if self.then.is_none() {
                self.pass(at, item);
            }
            return;
        }
        if self.since.is_some() {
            if let Item::Bytes(bytes) = &item {
                self.kept += bytes.len();
            }
            self.held.push_back(item);
            return;
        }
        let Item::Bytes(mut bytes) = item else {
            self.pass(at, item);
            return;
        };
        let left = usize::try_from(self.after - self.passed).unwrap_or(usize::MAX);
        let held = bytes.split_off(left.min(bytes.len()));
        self.passed += bytes.len() as u64;
        self.pass(at, Item::Bytes(bytes));
        if self.passed >= self.after {
            self.since = Some(at);
        }
        if !held.is_empty() {
            self.kept += held.len();
            self.held.push_back(Item::Bytes(held));
        }
    }

    fn pop(&mut self, now: Instant, meter: &Meter) -> Option<(Instant, Item)> {
        if let Some(at) = self.ends_at().filter(|at| *at <= now) {
            if let Some(since) = self.since {
                meter.held(self.hold, since, now);
            }
            self.is_over = true;
            self.kept = 0;
            match self.then {
                Some(Break::Reset) => self.pass(at, Item::Reset),
                Some(_) => self.pass(at, Item::Close),
                None => {
                    let held = std::mem::take(&mut self.held);
                    self.through.extend(held.into_iter().map(|item| (at, item)));
                }
            }
        }
        self.through.pop_front()
    }

    fn wake(&self) -> Option<Instant> {
        let first = self.through.front().map(|(at, _)| *at);
        first.or_else(|| self.ends_at())
    }

    fn holds(&self) -> bool {
        !self.through.is_empty() || !self.held.is_empty()
    }

    fn stops(&self) -> bool {
        self.since.is_some() && !self.is_over
    }

    fn has_room(&self) -> bool {
        self.kept < KEPT_MAX
    }

    fn renew(&mut self, stage: Stage, now: Instant) {
        if let Stage::Stall { after, hold, then } = stage {
            (self.after, self.hold, self.then) = (after, hold, then);
            if self.since.is_none() && self.passed >= after {
                self.since = Some(now);
            }
        }
    }

    fn flush(&mut self, now: Instant, meter: &Meter) -> VecDeque<Item> {
        if let Some(since) = self.since.filter(|_| !self.is_over) {
            meter.held(None, since, now);
        }
        let through = self.through.drain(..).map(|(_, item)| item);
        through.chain(self.held.drain(..)).collect()
    }
}
