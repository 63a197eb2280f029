//! An early end once a number of bytes has passed.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::{Break, ResetScope, Stage};

use super::{EarlyEnd, Item, Machine, Report, passed_queue::PassedQueue};

#[derive(Debug)]
pub(super) struct Cut {
    /// Bytes that pass before it.
    at: u64,
    ending: EarlyEnd,
    trigger: Trigger,
    passed_bytes: u64,
    is_over: bool,
    passed: PassedQueue,
}

/// What makes the end happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    /// The bytes have passed, be it none: then it ends at once.
    Reached,
    /// Bytes have come, and as many as may pass have passed.
    Arrival,
    /// A byte has come that may not pass. Until then nothing would be cut off.
    Beyond,
}

impl Cut {
    /// Resets a connection once `after` bytes have passed.
    pub(super) fn reset(by: u64, after: u64, now: Instant) -> Self {
        let how = Break::Reset(ResetScope::AUTO);
        let mut cut = Self::new(after, EarlyEnd { by, how }, Trigger::Reached);
        cut.end_if_reached(now);
        cut
    }

    /// Closes a connection in good order once `bytes` have passed. A limit of 0 waits for the first byte.
    pub(super) fn limit(by: u64, bytes: u64) -> Self {
        let how = Break::Fin;
        Self::new(bytes, EarlyEnd { by, how }, Trigger::Arrival)
    }

    /// Ends a body once `at` bytes have passed. An end that looks like the body's own is made only where more would have
    /// come: if it `is_longer`, as is known, once they have passed, else with the first byte behind them.
    pub(super) fn of_body(by: u64, at: u64, how: Break, is_longer: bool, now: Instant) -> Self {
        let trigger = match how {
            Break::Clean if !is_longer => Trigger::Beyond,
            Break::Clean | Break::Fin | Break::Reset(_) => Trigger::Reached,
        };
        let mut cut = Self::new(at, EarlyEnd { by, how }, trigger);
        match trigger {
            Trigger::Reached => cut.end_if_reached(now),
            Trigger::Arrival | Trigger::Beyond => {}
        }
        cut
    }

    fn new(at: u64, ending: EarlyEnd, trigger: Trigger) -> Self {
        Self {
            at,
            ending,
            trigger,
            passed_bytes: 0,
            is_over: false,
            passed: PassedQueue::default(),
        }
    }

    fn end_if_reached(&mut self, now: Instant) {
        if self.passed_bytes >= self.at && !self.is_over {
            self.is_over = true;
            self.passed.push(now, Item::Cut(self.ending));
        }
    }
}

impl Machine for Cut {
    fn push(&mut self, at: Instant, item: Item) {
        if self.is_over {
            return;
        }
        let Item::Bytes(mut bytes) = item else {
            self.is_over = true;
            self.passed.push(at, item);
            return;
        };
        // An update may have put the end before what has passed.
        let left = self.at.saturating_sub(self.passed_bytes);
        let is_beyond = bytes.len() as u64 > left;
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.passed_bytes += bytes.len() as u64;
        if left > 0 {
            self.passed.push(at, Item::Bytes(bytes));
        }
        if self.trigger != Trigger::Beyond || is_beyond {
            self.end_if_reached(at);
        }
    }

    fn pop(&mut self, _now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let popped = self.passed.pop(report);
        if let Some((_, Item::Cut(ending))) = &popped
            && *ending == self.ending
        {
            report.acted();
        }
        popped
    }

    fn due(&self) -> Option<Instant> {
        self.passed.due()
    }

    fn is_holding(&self) -> bool {
        !self.passed.is_empty()
    }

    fn update(&mut self, stage: Stage, now: Instant) {
        if let Stage::Reset { after: bytes } | Stage::Limit { bytes } = stage {
            self.at = bytes;
        }
        match self.trigger {
            Trigger::Reached => self.end_if_reached(now),
            Trigger::Arrival | Trigger::Beyond => {}
        }
    }

    fn release(&mut self, _now: Instant, _report: &mut dyn Report) -> VecDeque<Item> {
        self.passed.take()
    }
}
