//! Chunks are cut into pieces, with a pause behind each.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use brownout_fault::{Pieces, Stage};

use super::{Item, Machine, Report, arrival_queue::ArrivalQueue};

/// Bytes that are kept before no more is read: 64 KiB.
const KEPT_MAX: usize = 64 * 1024;

/// A piece ends where its chunk ends. Compare [`Dribble`](super::dribble::Dribble), whose pieces run on.
#[derive(Debug)]
pub(super) struct Slice {
    pieces: Pieces,
    gap: Duration,
    queue: ArrivalQueue,
    /// When the pause behind the last piece is over.
    pause_ends: Option<Instant>,
}

impl Slice {
    pub(super) fn new(pieces: Pieces, gap: Duration) -> Self {
        Self {
            pieces,
            gap,
            queue: ArrivalQueue::default(),
            pause_ends: None,
        }
    }
}

impl Machine for Slice {
    fn push(&mut self, at: Instant, item: Item) {
        self.queue.push(at, item);
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let at = self.due().filter(|at| *at <= now)?;
        let (_, Item::Bytes(_)) = self.queue.first()? else {
            return Some((at, self.queue.pop(u64::MAX)?));
        };
        let piece = self.queue.pop(self.pieces.draw())?;
        if let Item::Bytes(bytes) = &piece {
            report.passed(bytes.len(), Duration::ZERO);
        }
        self.pause_ends = Some(at + self.gap);
        Some((at, piece))
    }

    fn due(&self) -> Option<Instant> {
        let (arrived, _) = self.queue.first()?;
        Some(self.pause_ends.map_or(arrived, |end| end.max(arrived)))
    }

    fn has_room(&self) -> bool {
        self.queue.bytes() < KEPT_MAX
    }

    fn is_holding(&self) -> bool {
        !self.queue.is_empty()
    }

    fn update(&mut self, stage: Stage, now: Instant) {
        if let Stage::Slice { pieces, gap } = stage {
            (self.pieces, self.gap) = (pieces, gap);
            self.pause_ends = self.pause_ends.map(|end| end.min(now + gap));
        }
    }

    fn release(&mut self, _now: Instant, _report: &mut dyn Report) -> VecDeque<Item> {
        self.queue.take()
    }
}
