//! Everything stops for a while once a number of bytes has passed.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::{self as fault, Break, Stage};

use super::{EarlyEnd, Intake, Item, Machine, Report, passed_queue::PassedQueue};

/// Bytes that are kept during the stall before no more is read: 64 KiB.
const KEPT_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Stall {
    by: u64,
    /// Bytes that pass before it.
    after: u64,
    /// For how long; `None` until the fault is removed.
    hold: Option<Duration>,
    /// How everything ends then; `None` to go on.
    then: Option<Break>,
    passed_bytes: u64,
    state: State,
    passed: PassedQueue,
    held: VecDeque<Item>,
    held_bytes: usize,
    /// Whether the stage before it is stopped as well, so that the time it measures stands still.
    stops_earlier_stages: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes pass.
    Before,
    /// Nothing passes since then.
    Stalled {
        since: Instant,
        /// Whether something was asked for in vain. An early end at the same place comes first; then nothing was.
        is_noticed: bool,
    },
    /// Everything passes again since then, or, if the stall ends the connection, nothing ever.
    Over { since: Instant },
}

impl Stall {
    pub(super) fn of_stream(
        by: u64,
        after: u64,
        hold: Option<Duration>,
        then: Option<Break>,
        now: Instant,
    ) -> Self {
        let stall = fault::Stall {
            after_bytes: after,
            hold,
            then,
        };
        Self::new(by, stall, now, false)
    }

    pub(super) fn of_body(by: u64, stall: fault::Stall, now: Instant) -> Self {
        Self::new(by, stall, now, true)
    }

    fn new(by: u64, stall: fault::Stall, now: Instant, stops_earlier_stages: bool) -> Self {
        let fault::Stall {
            after_bytes: after,
            hold,
            then,
        } = stall;
        let mut made = Self {
            by,
            after,
            hold,
            then,
            passed_bytes: 0,
            state: State::Before,
            passed: PassedQueue::default(),
            held: VecDeque::new(),
            held_bytes: 0,
            stops_earlier_stages,
        };
        made.begin_if_reached(now);
        made
    }

    fn begin_if_reached(&mut self, at: Instant) {
        if self.state == State::Before && self.passed_bytes >= self.after {
            self.state = State::Stalled {
                since: at,
                is_noticed: false,
            };
        }
    }

    fn hold(&mut self, item: Item) {
        if let Item::Bytes(bytes) = &item {
            self.held_bytes += bytes.len();
        }
        self.held.push_back(item);
    }

    fn ends_at(&self) -> Option<Instant> {
        match self.state {
            State::Stalled { since, .. } => Some(since + self.hold?),
            State::Before | State::Over { .. } => None,
        }
    }

    /// Lets everything go on at the time `at`, or ends it.
    fn end(&mut self, at: Instant) {
        self.state = State::Over { since: at };
        self.held_bytes = 0;
        let held = std::mem::take(&mut self.held);
        match self.then {
            Some(how) => {
                let ending = EarlyEnd { by: self.by, how };
                self.passed.push(at, Item::Cut(ending));
            }
            None => held.into_iter().for_each(|item| self.passed.push(at, item)),
        }
    }
}

impl Machine for Stall {
    fn push(&mut self, at: Instant, item: Item) {
        match self.state {
            State::Over { .. } if self.then.is_some() => return,
            State::Over { .. } => return self.passed.push(at, item),
            State::Stalled { .. } => return self.hold(item),
            State::Before => {}
        }
        let Item::Bytes(mut bytes) = item else {
            return self.passed.push(at, item);
        };
        let left = usize::try_from(self.after - self.passed_bytes).unwrap_or(usize::MAX);
        let rest = bytes.split_off(left.min(bytes.len()));
        self.passed_bytes += bytes.len() as u64;
        self.passed.push(at, Item::Bytes(bytes));
        self.begin_if_reached(at);
        if !rest.is_empty() {
            self.hold(Item::Bytes(rest));
        }
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        if let Some(passed) = self.passed.pop_silently() {
            return Some(passed);
        }
        let State::Stalled { since, is_noticed } = &mut self.state else {
            return None;
        };
        *is_noticed = true;
        let since = *since;
        report.acted();
        let at = self.ends_at().filter(|at| *at <= now)?;
        report.held(self.hold, since, now);
        self.end(at);
        self.passed.pop_silently()
    }

    fn due(&self) -> Option<Instant> {
        self.passed.due().or_else(|| self.ends_at())
    }

    fn is_holding(&self) -> bool {
        !self.passed.is_empty() || !self.held.is_empty()
    }

    fn is_blocking(&self) -> bool {
        matches!(self.state, State::Stalled { .. })
    }

    fn has_room(&self) -> bool {
        self.held_bytes < KEPT_MAX
    }

    fn intake(&self) -> Intake {
        match self.state {
            _ if !self.stops_earlier_stages => Intake::Open,
            State::Before => Intake::Open,
            State::Stalled { .. } => Intake::Closed,
            State::Over { since } => Intake::OpenSince(since),
        }
    }

    /// If the next stage is a stall at the same place, this one begins after it.
    fn resume(&mut self, at: Instant) {
        if let State::Stalled {
            since,
            is_noticed: false,
        } = &mut self.state
        {
            *since = at.max(*since);
        }
    }

    fn update(&mut self, stage: Stage, now: Instant) {
        if let Stage::Stall { after, hold, then } = stage {
            (self.after, self.hold, self.then) = (after, hold, then);
            self.begin_if_reached(now);
        }
    }

    fn release(&mut self, now: Instant, report: &mut dyn Report) -> VecDeque<Item> {
        if let State::Stalled {
            since,
            is_noticed: true,
        } = self.state
        {
            report.held(None, since, now);
        }
        let mut all = self.passed.take();
        all.append(&mut self.held);
        all
    }
}
