//! Bytes pass no faster than a budget allows.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use brownout_fault::{Bucket, Budget, Reservation, Stage};

use super::{Intake, Item, Machine, Report, arrival_queue::ArrivalQueue};

#[derive(Debug)]
pub(super) struct Pace {
    bucket: Arc<Bucket>,
    queue: ArrivalQueue,
    /// Bytes that are kept before no more is read.
    kept_max: usize,
    /// The next bytes to go. There is none only while the queue is empty or its first item was not asked for.
    reserved: Option<Reservation>,
    /// Nothing leaves earlier, as the next stage took nothing before.
    resumed: Option<Instant>,
    /// When bytes went last. The next ones take their time from then on, or from their arrival if that is later.
    went: Option<Instant>,
    /// From when on the next item that is pushed takes its time, if a budget before this one held it.
    next_since: Option<Instant>,
    /// The same for the first item.
    first_since: Option<Instant>,
    /// From when on the bytes that went last took their time.
    went_since: Option<Instant>,
    feeding: Feeding,
}

/// When the stage before may pass bytes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feeding {
    /// Always: on a connection each stage holds what it holds by itself.
    Always,
    /// When all bytes have gone. So no other budget of a body gives bytes that have to wait here, and a budget that is
    /// removed leaves no burst that the others would not have allowed.
    WhenEmpty,
}

/// What is kept at least and at most: enough that a late read starves no fast rate.
const KEPT: std::ops::RangeInclusive<u64> = 16 * 1024..=4 * 1024 * 1024;

/// The bytes of a sixteenth of a second, within [`KEPT`].
fn kept_max(rate: u64) -> usize {
    const PARTS_OF_A_SECOND: u64 = 16;
    let kept = (rate / PARTS_OF_A_SECOND).clamp(*KEPT.start(), *KEPT.end());
    usize::try_from(kept).unwrap_or(usize::MAX)
}

impl Pace {
    pub(super) fn of_stream(budget: &Budget) -> Self {
        Self::new(budget.bucket(), Feeding::Always)
    }

    pub(super) fn of_body(bucket: Arc<Bucket>) -> Self {
        Self::new(bucket, Feeding::WhenEmpty)
    }

    fn new(bucket: Arc<Bucket>, feeding: Feeding) -> Self {
        Self {
            kept_max: kept_max(bucket.rate()),
            bucket,
            queue: ArrivalQueue::default(),
            reserved: None,
            resumed: None,
            went: None,
            next_since: None,
            first_since: None,
            went_since: None,
            feeding,
        }
    }

    /// When the first item could leave if there were budget enough.
    fn earliest(&self) -> Option<Instant> {
        let (arrived, _) = self.queue.first()?;
        [Some(arrived), self.went, self.resumed]
            .into_iter()
            .flatten()
            .max()
    }

    /// From when on the first item takes its time.
    ///
    /// These are the exact times at which bytes came and went, so a late timer does not lower the rate. While the next
    /// stage takes nothing the time goes on, and that of bytes that another budget held began there: budgets run side
    /// by side, and the narrowest decides.
    fn since(&self) -> Option<Instant> {
        let (arrived, _) = self.queue.first()?;
        let since = self.first_since.unwrap_or(arrived);
        Some(self.went.map_or(since, |went| went.max(since)))
    }

    fn give_back(&mut self) {
        if let Some(reserved) = self.reserved.take() {
            self.bucket.give_back(reserved.bytes);
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Machine for Pace {
    fn push(&mut self, at: Instant, item: Item) {
        let since = self.next_since.take();
        if self.queue.is_empty() {
            self.first_since = since;
        }
        self.queue.push(at, item);
    }

    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)> {
        let earliest = self.earliest().filter(|at| *at <= now)?;
        let since = self.since()?;
        let (_, item) = self.queue.first()?;
        let Item::Bytes(bytes) = item else {
            self.first_since = None;
            self.went_since = None;
            return Some((earliest, self.queue.pop(u64::MAX)?));
        };
        let wanted = bytes.len().max(1) as u64;
        let reserved = match self.reserved {
            Some(reserved) => reserved,
            None => self.bucket.reserve(wanted, since),
        };
        if reserved.at > earliest {
            report.acted();
        }
        let at = reserved.at.max(earliest);
        if at > now {
            self.reserved = Some(reserved);
            return None;
        }
        self.reserved = None;
        if reserved.bytes >= wanted {
            self.first_since = None;
        }
        let passed = self.queue.pop(reserved.bytes)?;
        if let Item::Bytes(bytes) = &passed {
            report.passed(bytes.len(), at.saturating_duration_since(earliest));
        }
        self.went = Some(at);
        self.went_since = Some(since);
        Some((at, passed))
    }

    fn paced_since(&self) -> Option<Instant> {
        self.went_since
    }

    fn pace_since(&mut self, since: Instant) {
        self.next_since = Some(since);
    }

    fn due(&self) -> Option<Instant> {
        let earliest = self.earliest()?;
        Some(
            self.reserved
                .map_or(earliest, |reserved| reserved.at.max(earliest)),
        )
    }

    fn has_room(&self) -> bool {
        self.queue.bytes() < self.kept_max
    }

    fn is_holding(&self) -> bool {
        !self.queue.is_empty()
    }

    fn intake(&self) -> Intake {
        match self.feeding {
            Feeding::WhenEmpty if self.is_holding() => Intake::Closed,
            Feeding::WhenEmpty => self.went.map_or(Intake::Open, Intake::OpenSince),
            Feeding::Always => Intake::Open,
        }
    }

    fn resume(&mut self, at: Instant) {
        self.resumed = self.resumed.max(Some(at));
    }

    fn update(&mut self, stage: Stage, now: Instant) {
        if let Stage::Pace(budget) = stage {
            self.give_back();
            self.bucket = budget.bucket();
            self.kept_max = kept_max(budget.rate());
            self.resumed = self.resumed.max(Some(now));
        }
    }

    fn release(&mut self, _now: Instant, _report: &mut dyn Report) -> VecDeque<Item> {
        self.give_back();
        self.queue.take()
    }
}
