//! Items that have passed a stage and were not taken yet.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Item, Report};

/// In order, each with the time at which it passed.
#[derive(Debug, Default)]
pub(super) struct PassedQueue(VecDeque<(Instant, Item)>);

impl PassedQueue {
    pub(super) fn push(&mut self, at: Instant, item: Item) {
        self.0.push_back((at, item));
    }

    /// The next one. Its bytes are reported as passed.
    pub(super) fn pop(&mut self, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let popped = self.0.pop_front();
        if let Some((_, Item::Bytes(bytes))) = &popped {
            report.passed(bytes.len(), Duration::ZERO);
        }
        popped
    }

    /// The next one, without a report.
    pub(super) fn pop_silently(&mut self) -> Option<(Instant, Item)> {
        self.0.pop_front()
    }

    /// When the next one passed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all of them, without a report.
    pub(super) fn take(&mut self) -> VecDeque<Item> {
        self.0.drain(..).map(|(_, item)| item).collect()
    }
}
