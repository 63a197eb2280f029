//! One direction of a connection with the faults on it: a pure state machine between two sockets.

use std::{collections::VecDeque, time::Instant};

use brownout_fault::{Acting, Stage};
use brownout_telemetry::Histogram;
use bytes::Bytes;

use super::{
    meter::Meter,
    stage::{Item, Machine, machine},
};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Write(Bytes),
    /// Nothing before this time, unless more comes.
    WaitUntil(Instant),
    /// Nothing unless more comes.
    Idle,
    /// All is written, and there will be no more.
    Shutdown,
    /// The connection is to be reset, once what was written has arrived.
    Reset,
    /// The connection is to be closed in good order.
    Close,
}

/// Faults at work, in the order in which bytes pass them, and what is through all of them.
#[derive(Debug, Default)]
pub(super) struct Shaper {
    stages: Vec<Live>,
    through: VecDeque<Item>,
    /// The connection is over because a fault is gone.
    is_let_go: bool,
}

#[derive(Debug)]
struct Live {
    number: u64,
    stage: Stage,
    machine: Box<dyn Machine>,
    meter: Meter,
}

impl Live {
    fn begin(
        acting: Acting,
        delays: impl Fn(&'static str) -> Option<Histogram>,
        now: Instant,
    ) -> Self {
        Self {
            number: acting.number,
            machine: machine(acting.stage.clone(), now),
            stage: acting.stage,
            meter: Meter::new(acting.effects, delays(acting.kind)),
        }
    }
}

impl Shaper {
    /// Whether bytes pass as if it were not there.
    pub(super) fn is_bare(&self) -> bool {
        self.stages.is_empty() && self.through.is_empty()
    }

    /// Whether it holds anything that is still to come out.
    pub(super) fn holds(&self) -> bool {
        !self.through.is_empty() || self.stages.iter().any(|live| live.machine.holds())
    }

    /// Whether it is what the connection waits for: it holds something, or lets nothing pass.
    pub(super) fn holds_up(&self) -> bool {
        self.holds() || self.stages.iter().any(|live| live.machine.stops())
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        /// Chunks that nobody takes.
        const WAITING_MAX: usize = 16;
        self.through.len() < WAITING_MAX && self.stages.iter().all(|live| live.machine.has_room())
    }

    /// Puts the faults that act now in the place of those before. What a fault holds that acts no longer passes on at
    /// once, in order; one that goes on keeps what it holds and has counted. `delays` gives the metric of a kind.
    pub(super) fn shape(
        &mut self,
        acting: impl Iterator<Item = Acting>,
        delays: impl Fn(&'static str) -> Option<Histogram>,
        now: Instant,
    ) {
        let wanted: Vec<Acting> = acting.collect();
        self.advance(now);
        let stays = |live: &Live| wanted.iter().any(|acting| acting.number == live.number);
        let in_order = self
            .stages
            .iter()
            .filter(|live| stays(live))
            .is_sorted_by_key(|live| {
                wanted
                    .iter()
                    .position(|acting| acting.number == live.number)
            });
        for at in 0..self.stages.len() {
            if in_order && stays(&self.stages[at]) {
                continue;
            }
            let Live { machine, meter, .. } = &mut self.stages[at];
            for item in machine.flush(now, meter) {
                self.is_let_go |= matches!(item, Item::Reset | Item::Close);
                self.hand_on(at + 1, now, item);
            }
        }
        let mut before = std::mem::take(&mut self.stages);
        for acting in wanted {
            let known = before
                .iter()
                .position(|live| in_order && live.number == acting.number);
            let live = if let Some(at) = known {
                let mut live = before.remove(at);
                if live.stage != acting.stage {
                    live.machine.renew(acting.stage.clone(), now);
                    live.stage = acting.stage;
                }
                live
            } else {
                Live::begin(acting, &delays, now)
            };
            self.stages.push(live);
        }
    }

    /// Takes bytes that arrive.
    pub(super) fn push(&mut self, now: Instant, bytes: Bytes) {
        self.take(now, Item::Bytes(bytes));
    }

    /// Takes the end of the stream.
    pub(super) fn end(&mut self, now: Instant) {
        self.take(now, Item::End);
    }

    /// Both sides of the connection have said all.
    pub(super) fn finish(&mut self, now: Instant) {
        for live in &mut self.stages {
            live.machine.finish(now);
        }
    }

    fn take(&mut self, now: Instant, item: Item) {
        self.advance(now); // What is due comes first.
        self.hand_on(0, now, item);
        self.advance(now);
    }

    /// Whether the end of the connection comes from a fault that is gone: then nobody is to wait for it.
    pub(super) fn is_let_go(&self) -> bool {
        self.is_let_go
    }

    /// What is to be done now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.advance(now);
        match self.through.pop_front() {
            Some(Item::Bytes(bytes)) => Next::Write(bytes),
            Some(Item::End) => Next::Shutdown,
            Some(Item::Reset) => Next::Reset,
            Some(Item::Close) => Next::Close,
            None => self.wake().map_or(Next::Idle, Next::WaitUntil),
        }
    }

    /// When [`next`](Self::next) has something to do at the latest, without taking it.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.stages
            .iter()
            .filter_map(|live| live.machine.wake())
            .min()
    }

    /// Whether nothing but the connection's end is left to do.
    pub(super) fn is_doomed(&mut self, now: Instant) -> bool {
        self.advance(now);
        matches!(self.through.front(), Some(Item::Reset | Item::Close))
    }

    fn hand_on(&mut self, stage: usize, at: Instant, item: Item) {
        match self.stages.get_mut(stage) {
            Some(live) => live.machine.push(at, item),
            None => self.through.push_back(item),
        }
    }

    fn advance(&mut self, now: Instant) {
        for stage in 0..self.stages.len() {
            loop {
                let Live { machine, meter, .. } = &mut self.stages[stage];
                let Some((at, item)) = machine.pop(now, meter) else {
                    break;
                };
                self.hand_on(stage + 1, at, item);
            }
        }
    }
}

#[cfg(test)]
mod tests;
