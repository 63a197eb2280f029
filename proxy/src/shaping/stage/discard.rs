//! Everything is discarded, then the connection ends.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::{DiscardFrom, Stage, Then};

use super::{EarlyEnd, Item, Machine, Report};

/// Discards everything, from its start on. Once it has started it always ends the connection, also when its fault is removed,
/// as bytes were lost.
#[derive(Debug)]
pub(super) struct Discard {
    /// `None` until the first data, where that starts it.
    since: Option<Instant>,
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
        from: DiscardFrom,
        then: Then,
        now: Instant,
    ) -> Self {
        Self {
            since: (from == DiscardFrom::Start).then_some(now),
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
        self.since.get_or_insert(at);
        match item {
            Item::Bytes(_) => self.last = self.last.max(at),
            Item::End => self.has_ended = true,
            Item::Cut(_) => {}
        }
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let at = self.due().filter(|at| *at <= now)?;
        self.is_over = true;
        let since = self.since.unwrap_or(at);
        let asked = (self.finished != Some(at)).then(|| at.saturating_duration_since(since));
        report.held(asked, since, now);
        Some((at, Item::Cut(self.ending)))
    }

    fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let over = self.hold.map(|hold| since + hold);
        let quiet = self.idle.map(|idle| self.last + idle);
        let ends = [over, quiet, self.finished].into_iter().flatten().min();
        ends.filter(|_| !self.is_over)
    }

    fn is_holding(&self) -> bool {
        false
    }

    fn is_blocking(&self) -> bool {
        self.since.is_some()
    }

    fn both_ended(&mut self, now: Instant) {
        if self.has_ended {
            self.finished.get_or_insert(now);
        }
    }

    fn update(&mut self, stage: Stage, _now: Instant) {
        // It starts but once.
        if let Stage::Discard {
            hold, idle, then, ..
        } = stage
        {
            (self.hold, self.idle) = (hold, idle);
            self.ending = EarlyEnd::of(self.ending.by, then);
        }
    }

    fn release(&mut self, now: Instant, report: &mut dyn Report) -> VecDeque<Item> {
        let Some(since) = self.since.filter(|_| !self.is_over) else {
            return VecDeque::new();
        };
        report.held(None, since, now);
        VecDeque::from([Item::Cut(self.ending)])
    }
}
