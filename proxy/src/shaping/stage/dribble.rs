//! A body goes out in pieces with gaps between.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Item, Machine, Report, arrival_queue::ArrivalQueue};

/// Bytes that are kept before no more is read: 64 KiB.
const KEPT_MAX: usize = 64 * 1024;

/// The first piece goes at once. A piece runs on across chunks until it is full.
///
/// The gap is counted from the beginning of a piece to the beginning of the next, so that late timers do not add up. The
/// end of the body waits for no gap.
#[derive(Debug)]
pub(super) struct Dribble {
    piece_bytes: u64,
    gap: Duration,
    queue: ArrivalQueue,
    /// When the present piece began.
    began: Option<Instant>,
    /// Bytes that the present piece still takes.
    left: u64,
    /// Nothing leaves earlier, as the next stage took nothing before.
    resumed: Option<Instant>,
}

impl Dribble {
    /// `piece_bytes` is at least 1.
    pub(super) fn new(piece_bytes: u64, gap: Duration) -> Self {
        Self {
            piece_bytes,
            gap,
            queue: ArrivalQueue::default(),
            began: None,
            left: 0,
            resumed: None,
        }
    }

    /// When the first item may leave, and when it could without the gap.
    fn times(&self) -> Option<(Instant, Instant)> {
        let (arrived, item) = self.queue.first()?;
        let times = [Some(arrived), self.began, self.resumed];
        let earliest = times.into_iter().flatten().max()?;
        let waits = self.left == 0 && matches!(item, Item::Bytes(_));
        let gap_ends = self.began.filter(|_| waits).map(|began| began + self.gap);
        Some((gap_ends.map_or(earliest, |end| end.max(earliest)), earliest))
    }
}

impl Machine for Dribble {
    fn push(&mut self, at: Instant, item: Item) {
        self.queue.push(at, item);
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let (at, earliest) = self.times()?;
        if at > earliest {
            report.acted();
        }
        if at > now {
            return None;
        }
        let (_, Item::Bytes(_)) = self.queue.first()? else {
            return Some((at, self.queue.pop(u64::MAX)?));
        };
        if self.left == 0 {
            self.began = Some(at);
            self.left = self.piece_bytes;
        }
        let piece = self.queue.pop(self.left)?;
        if let Item::Bytes(bytes) = &piece {
            self.left -= bytes.len() as u64;
            report.passed(bytes.len(), Duration::ZERO);
        }
        Some((at, piece))
    }

    fn due(&self) -> Option<Instant> {
        self.times().map(|(at, _)| at)
    }

    fn has_room(&self) -> bool {
        self.queue.bytes() < KEPT_MAX
    }

    fn is_holding(&self) -> bool {
        !self.queue.is_empty()
    }

    fn resume(&mut self, at: Instant) {
        self.resumed = self.resumed.max(Some(at));
    }

    fn release(&mut self, _now: Instant, _report: &mut dyn Report) -> VecDeque<Item> {
        self.queue.take()
    }
}
