//! Bytes in pieces.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::{Pieces, Stage};

use super::{Item, Machine, Meter};

/// What is kept before no more is read.
const KEPT_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Slice {
    pieces: Pieces,
    gap: Duration,
    /// With the time of arrival.
    queue: VecDeque<(Instant, Item)>,
    kept: usize,
    /// When the pause behind the last piece is over.
    due: Option<Instant>,
}

impl Slice {
    pub(super) fn new(pieces: Pieces, gap: Duration) -> Self {
        Self {
            pieces,
            gap,
            queue: VecDeque::new(),
            kept: 0,
            due: None,
        }
    }
}

impl Machine for Slice {
    fn push(&mut self, at: Instant, item: Item) {
        if let Item::Bytes(bytes) = &item {
            self.kept += bytes.len();
        }
        self.queue.push_back((at, item));
    }

    fn pop(&mut self, now: Instant, meter: &Meter) -> Option<(Instant, Item)> {
        let at = self.wake().filter(|at| *at <= now)?;
        let (_, item) = self.queue.front_mut()?;
        let Item::Bytes(bytes) = item else {
            let (_, item) = self.queue.pop_front()?;
            return Some((at, item));
        };
        let piece = usize::try_from(self.pieces.draw()).unwrap_or(usize::MAX);
        let piece = bytes.split_to(piece.min(bytes.len()));
        if bytes.is_empty() {
            self.queue.pop_front();
        }
        self.kept -= piece.len();
        meter.passed(piece.len());
        self.due = Some(at + self.gap);
        Some((at, Item::Bytes(piece)))
    }

    fn wake(&self) -> Option<Instant> {
        let (arrived, _) = self.queue.front()?;
        Some(self.due.map_or(*arrived, |due| due.max(*arrived)))
    }

    fn has_room(&self) -> bool {
        self.kept < KEPT_MAX
    }

    fn holds(&self) -> bool {
        !self.queue.is_empty()
    }

    fn renew(&mut self, stage: Stage, now: Instant) {
        if let Stage::Slice { pieces, gap } = stage {
            (self.pieces, self.gap) = (pieces, gap);
            self.due = self.due.map(|due| due.min(now + gap));
        }
    }

    fn flush(&mut self, _now: Instant, _meter: &Meter) -> VecDeque<Item> {
        self.kept = 0;
        self.queue.drain(..).map(|(_, item)| item).collect()
    }
}
