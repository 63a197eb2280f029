//! Bytes that go nowhere.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::{Stage, Then};

use super::{Item, Machine, Meter};

/// Swallows everything, and ends the connection when that is over: bytes were lost.
#[derive(Debug)]
pub(super) struct Discard {
    since: Instant,
    /// When bytes came last.
    last: Instant,
    hold: Option<Duration>,
    idle: Option<Duration>,
    then: Then,
    /// The end of the stream was swallowed as well.
    has_ended: bool,
    /// From when on there was nothing more to swallow on either side.
    finished: Option<Instant>,
    is_over: bool,
}

impl Discard {
    pub(super) fn new(
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
            then,
            has_ended: false,
            finished: None,
            is_over: false,
        }
    }

    fn ending(&self) -> Item {
        match self.then {
            Then::Reset => Item::Reset,
            Then::Close => Item::Close,
        }
    }
}

impl Machine for Discard {
    fn push(&mut self, at: Instant, item: Item) {
        match item {
            Item::Bytes(_) => self.last = self.last.max(at),
            Item::End => self.has_ended = true,
            Item::Reset | Item::Close => {}
        }
    }

    fn pop(&mut self, now: Instant, meter: &Meter) -> Option<(Instant, Item)> {
        let at = self.wake().filter(|at| *at <= now)?;
        self.is_over = true;
        let asked = (self.finished != Some(at)).then(|| at - self.since);
        meter.held(asked, self.since, now);
        Some((at, self.ending()))
    }

    fn wake(&self) -> Option<Instant> {
        let over = self.hold.map(|hold| self.since + hold);
        let quiet = self.idle.map(|idle| self.last + idle);
        let ends = [over, quiet, self.finished].into_iter().flatten().min();
        ends.filter(|_| !self.is_over)
    }

    fn holds(&self) -> bool {
        false
    }

    fn stops(&self) -> bool {
        true
    }

    fn finish(&mut self, now: Instant) {
        if self.has_ended {
            self.finished.get_or_insert(now);
        }
    }

    fn renew(&mut self, stage: Stage, _now: Instant) {
        if let Stage::Discard { hold, idle, then } = stage {
            (self.hold, self.idle, self.then) = (hold, idle, then);
        }
    }

    fn flush(&mut self, now: Instant, meter: &Meter) -> VecDeque<Item> {
        if !self.is_over {
            meter.held(None, self.since, now);
        }
        let ending = (!self.is_over).then(|| self.ending());
        ending.into_iter().collect()
    }
}
