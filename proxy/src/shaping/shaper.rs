//! The engine: a row of stages that bytes pass, and what has passed all of them.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::Stage;
use bytes::Bytes;

use super::stage::{self, EarlyEnd, Intake, Item, Machine, Report};

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Write(Bytes),
    /// Nothing before this time, unless more comes.
    WaitUntil(Instant),
    /// Nothing, unless more comes.
    Idle,
    /// The source has ended and everything is written.
    End,
    /// A fault ends it here.
    Cut(EarlyEnd),
}

/// A fault that is to act on a connection from now on.
#[derive(Debug)]
pub(super) struct Wanted<R> {
    /// The same for the same fault and connection.
    pub(super) number: u64,
    pub(super) stage: Stage,
    pub(super) report: R,
}

/// Stages at work, in the order in which bytes pass them. Without a stage bytes come out as they go in.
///
/// It reads no clock. Each call is given the time, which must not go backwards.
#[derive(Debug)]
pub(super) struct Shaper<R> {
    stages: Vec<Active<R>>,
    /// Has passed all stages and was not taken yet.
    ready: VecDeque<Item>,
    /// Whether an early end comes from a fault that was removed.
    is_ended_by_release: bool,
}

#[derive(Debug)]
struct Active<R> {
    number: u64,
    /// On a connection: what the machine was made or updated with last.
    stage: Option<Stage>,
    machine: Box<dyn Machine>,
    report: R,
    /// Whether the next stage was found closed.
    is_stopped: bool,
}

impl<R> Default for Shaper<R> {
    fn default() -> Self {
        Self {
            stages: Vec::new(),
            ready: VecDeque::new(),
            is_ended_by_release: false,
        }
    }
}

impl<R: Report> Shaper<R> {
    /// Whether bytes pass as if it were not there.
    pub(super) fn is_passthrough(&self) -> bool {
        self.stages.is_empty() && self.ready.is_empty()
    }

    /// Whether it holds anything that is still to come out.
    pub(super) fn is_holding(&self) -> bool {
        !self.ready.is_empty() || self.stages.iter().any(|active| active.machine.is_holding())
    }

    /// Whether a fault is what the other side waits for: it holds something, or lets nothing pass.
    pub(super) fn is_pausing(&self) -> bool {
        !self.ready.is_empty() || self.pausing().is_some()
    }

    /// The report of the stage that nothing passes now: the last one that holds something or lets nothing pass.
    pub(super) fn pausing(&self) -> Option<&R> {
        let pauses =
            |active: &&Active<R>| active.machine.is_holding() || active.machine.is_blocking();
        let last = self.stages.iter().rev().find(pauses);
        last.map(|active| &active.report)
    }

    /// Whether something is to be taken with [`next`](Self::next) before more comes.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether an early end has passed: nothing behind it comes out.
    fn is_cut(&self) -> bool {
        matches!(self.ready.back(), Some(Item::Cut(_)))
    }

    /// Whether more may be read from the source.
    pub(super) fn has_room(&self) -> bool {
        /// Chunks that have passed and that nobody takes.
        const READY_MAX: usize = 16;
        let is_open = !self.is_cut() && self.ready.len() < READY_MAX;
        is_open && self.stages.iter().all(|active| active.machine.has_room())
    }

    /// Adds a stage behind all others.
    pub(super) fn add(&mut self, number: u64, machine: Box<dyn Machine>, report: R) {
        self.stages.push(Active {
            number,
            stage: None,
            machine,
            report,
            is_stopped: false,
        });
    }

    /// Puts the `wanted` faults in the place of those before, in this order. A fault that was there goes on with what it
    /// holds and has counted, and with its earlier report. What the others hold passes on at once, in order.
    pub(super) fn set_stages(&mut self, wanted: Vec<Wanted<R>>, now: Instant) {
        self.advance(now);
        let place = |number: u64| wanted.iter().position(|wanted| wanted.number == number);
        let places = self.stages.iter().filter_map(|active| place(active.number));
        // If the order changes, no stage can keep what it holds: bytes would pass one twice or never.
        let is_in_order = places.is_sorted();
        for at in (0..self.stages.len()).rev() {
            if !is_in_order || place(self.stages[at].number).is_none() {
                self.remove_at(at, now);
            }
        }
        let mut before = std::mem::take(&mut self.stages).into_iter().peekable();
        for Wanted {
            number,
            stage,
            report,
        } in wanted
        {
            let known = before.next_if(|active| active.number == number);
            let mut active = known.unwrap_or_else(|| Active {
                number,
                stage: Some(stage.clone()),
                machine: stage::of_stream(number, stage.clone(), now),
                report,
                is_stopped: false,
            });
            if active.stage.as_ref() != Some(&stage) {
                active.machine.update(stage.clone(), now);
                active.stage = Some(stage);
            }
            self.stages.push(active);
        }
    }

    /// Removes a stage. What it holds passes on at once, in order. Gives its report; `None` if there is no such stage.
    pub(super) fn remove(&mut self, number: u64, now: Instant) -> Option<R> {
        self.advance(now);
        let at = (self.stages.iter()).position(|active| active.number == number)?;
        Some(self.remove_at(at, now))
    }

    fn remove_at(&mut self, at: usize, now: Instant) -> R {
        let mut removed = self.stages.remove(at);
        if let Some(before) = at.checked_sub(1).map(|before| &mut self.stages[before])
            && std::mem::take(&mut before.is_stopped)
        {
            before.machine.resume(now);
        }
        for item in removed.machine.release(now, &mut removed.report) {
            self.is_ended_by_release |= matches!(item, Item::Cut(_));
            self.pass(at, now, item);
        }
        removed.report
    }

    /// Takes bytes that arrive.
    pub(super) fn push(&mut self, now: Instant, bytes: Bytes) {
        self.take(now, Item::Bytes(bytes));
    }

    /// Takes the end of the source.
    pub(super) fn end(&mut self, now: Instant) {
        self.take(now, Item::End);
    }

    fn take(&mut self, now: Instant, item: Item) {
        self.advance(now); // What is due comes first.
        self.pass(0, now, item);
        self.advance(now);
    }

    /// Both sides of the connection have ended.
    pub(super) fn both_ended(&mut self, now: Instant) {
        for active in &mut self.stages {
            active.machine.both_ended(now);
        }
    }

    /// Whether an early end comes from a fault that was removed. Then whoever removed it must not wait for a client
    /// that does not read.
    pub(super) fn is_ended_by_release(&self) -> bool {
        self.is_ended_by_release
    }

    /// What is to be done now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.advance(now);
        match self.ready.pop_front() {
            Some(Item::Bytes(bytes)) => Next::Write(bytes),
            Some(Item::End) => Next::End,
            Some(Item::Cut(ending)) => Next::Cut(ending),
            None => self.next_due().map_or(Next::Idle, Next::WaitUntil),
        }
    }

    /// When [`next`](Self::next) has something to do at the latest, without taking it.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.is_cut() {
            return None;
        }
        let due = |(at, active): (usize, &Active<R>)| match self.intake(at + 1) {
            Intake::Closed => None,
            Intake::Open | Intake::OpenSince(_) => active.machine.due(),
        };
        self.stages.iter().enumerate().filter_map(due).min()
    }

    /// Whether the next thing to do is an early end.
    pub(super) fn is_at_early_end(&mut self, now: Instant) -> bool {
        self.advance(now);
        matches!(self.ready.front(), Some(Item::Cut(_)))
    }

    /// The reports of all stages.
    pub(super) fn reports(&mut self) -> impl Iterator<Item = &mut R> {
        self.stages.iter_mut().map(|active| &mut active.report)
    }

    /// The report of the stage with this number.
    pub(super) fn report(&self, number: u64) -> Option<&R> {
        let mut stages = self.stages.iter();
        let found = stages.find(|active| active.number == number);
        found.map(|active| &active.report)
    }

    /// Gives up what all stages hold and empties them. Holds that were in progress are reported.
    pub(super) fn abandon(&mut self, now: Instant) {
        for active in &mut self.stages {
            active.machine.release(now, &mut active.report);
        }
    }

    fn pass(&mut self, stage: usize, at: Instant, item: Item) {
        match self.stages.get_mut(stage) {
            Some(active) => active.machine.push(at, item),
            None => self.ready.push_back(item),
        }
    }

    fn intake(&self, stage: usize) -> Intake {
        let stage = self.stages.get(stage);
        stage.map_or(Intake::Open, |active| active.machine.intake())
    }

    /// Moves everything as far as it may go by `now`, but nothing behind an early end.
    ///
    /// From the last stage to the first: a stage gets something only after what it had has moved on.
    fn advance(&mut self, now: Instant) {
        let mut stage = self.stages.len();
        while stage > 0 && !self.is_cut() {
            stage -= 1;
            if let Some((at, item)) = self.pop(stage, now) {
                if let Some(since) = self.stages[stage].machine.paced_since()
                    && let Some(next) = self.stages.get_mut(stage + 1)
                {
                    next.machine.pace_since(since);
                }
                self.pass(stage + 1, at, item);
                stage = self.stages.len();
            }
        }
    }

    fn pop(&mut self, stage: usize, now: Instant) -> Option<(Instant, Item)> {
        let intake = self.intake(stage + 1);
        let active = &mut self.stages[stage];
        let open_since = match intake {
            Intake::Closed => {
                active.is_stopped = true;
                return None;
            }
            Intake::Open => now,
            Intake::OpenSince(since) => since,
        };
        if std::mem::take(&mut active.is_stopped) {
            active.machine.resume(open_since);
        }
        active.machine.pop(now, &mut active.report)
    }
}

#[cfg(test)]
mod tests;
