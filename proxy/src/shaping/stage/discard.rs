//! Everything is discarded, then the connection ends.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::{Stage, Then};

use super::{EarlyEnd, Item, Machine, Report};

/// Discards everything. It always ends the connection, also when its fault is removed, as bytes were lost.
#[derive(Debug)]
pub(super) struct Discard {
    since: Instant,
    /// When bytes came last.
    last: Instant,
    hold: Option<Duration>,
    idle: Option<Duration>,
    ending: EarlyEnd,
    /// The end of the stream was discarded as well.
    has_ended: bool,
    /// When both sides of the connection had ended: there is nothing more to discard.
    finished: Option<Instant>,
    is_over: bool,
}

impl Discard {
    pub(super) fn new(
        by: u64,
        hold: Option<Duration>,
        idle: Option<Duration>,
        then: Then,
        now: Instant,
    ) -> Self {
        Self {
            since: now,
            last: now,
            hold,
            idle,
            ending: EarlyEnd::of(by, then),
            has_ended: false,
            finished: None,
            is_over: false,
        }
    }
}

impl Machine for Discard {
    fn push(&mut self, at: Instant, item: Item) {
        match item {
            Item::Bytes(_) => self.last = self.last.max(at),
            Item::End => self.has_ended = true,
            Item::Cut(_) => {}
        }
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let at = self.due().filter(|at| *at <= now)?;
        self.is_over = true;
        let asked = (self.finished != Some(at)).then(|| at - self.since);
        report.held(asked, self.since, now);
        Some((at, Item::Cut(self.ending)))
    }

    fn due(&self) -> Option<Instant> {
        let over = self.hold.map(|hold| self.since + hold);
        let quiet = self.idle.map(|idle| self.last + idle);
        let ends = [over, quiet, self.finished].into_iter().flatten().min();
        ends.filter(|_| !self.is_over)
    }

    fn is_holding(&self) -> bool {
        false
    }

    fn is_blocking(&self) -> bool {
        true
    }

    fn both_ended(&mut self, now: Instant) {
        if self.has_ended {
            self.finished.get_or_insert(now);
        }
    }

    fn update(&mut self, stage: Stage, _now: Instant) {
        if let Stage::Discard { hold, idle, then } = stage {
            (self.hold, self.idle) = (hold, idle);
            self.ending = EarlyEnd::of(self.ending.by, then);
        }
    }

    fn release(&mut self, now: Instant, report: &mut dyn Report) -> VecDeque<Item> {
        if !self.is_over {
            report.held(None, self.since, now);
        }
        let ending = (!self.is_over).then_some(Item::Cut(self.ending));
        ending.into_iter().collect()
    }
}
