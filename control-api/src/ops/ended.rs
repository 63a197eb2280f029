//! The faults that have ended, with what they did to the last.

use std::collections::VecDeque;

use brownout_fault::{EndedFault, Moment};
use brownout_wire::FaultTags;

use super::{Filter, Ops, now};

/// Why a fault ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// It was removed, or a reload of the file left it out.
    Removed,
    /// Another was put in its place.
    Replaced,
    /// Its ttl was over.
    Expired,
    /// Its ttl was over when its limit of injections had been used up.
    Spent,
    /// Everything was halted.
    Halted,
    /// Its lease ended.
    Lease,
    /// No route that it named was left.
    Route,
    /// The process is about to end.
    Shutdown,
}

impl EndReason {
    /// The word for it in answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Spent => "spent",
            Self::Halted => "halted",
            Self::Lease => "lease",
            Self::Route => "route",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A fault that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What is left of it.
    pub fault: EndedFault,
    /// Whose it was.
    pub tags: FaultTags,
    /// When it ended.
    pub ended_at: Moment,
    /// Why.
    pub reason: EndReason,
}

/// Those that ended last.
#[derive(Debug, Default)]
pub(super) struct EndedFaults {
    /// The last one at the end.
    faults: VecDeque<Ended>,
    /// The regular expressions in all of them.
    expressions: usize,
    /// How many at the beginning are settled.
    settled: usize,
}

impl EndedFaults {
    const FAULTS_MAX: usize = 1_000;
    /// They take up to 256 KiB each.
    const EXPRESSIONS_MAX: usize = 32;
    /// So many are not settled yet: what they held may still be on its way out.
    const LIVE_MAX: usize = 64;
    /// So many settle at a time, as it takes some 50 µs each.
    const SETTLED_AT_ONCE: usize = 16;

    pub(super) fn push(&mut self, ended: Ended) {
        self.expressions += ended.fault.expressions();
        self.faults.push_back(ended);
        while self.faults.len() > Self::FAULTS_MAX || self.expressions > Self::EXPRESSIONS_MAX {
            let Some(oldest) = self.faults.pop_front() else {
                break;
            };
            self.expressions -= oldest.fault.expressions();
            self.settled = self.settled.saturating_sub(1);
        }
    }

    /// Makes the counts of some that ended long ago their last ones.
    pub(super) fn settle(&mut self) {
        let due = self.faults.len().saturating_sub(Self::LIVE_MAX);
        let until = due.min(self.settled + Self::SETTLED_AT_ONCE);
        for ended in self.faults.range_mut(self.settled.min(until)..until) {
            ended.fault.settle();
        }
        self.settled = self.settled.max(until);
    }

    fn last_first(&self) -> impl Iterator<Item = &Ended> {
        self.faults.iter().rev()
    }
}

impl Ops {
    /// The faults that have ended and are meant, the last one first: up to 1,000.
    #[must_use]
    pub fn ended_faults(&self, filter: &Filter) -> Vec<Ended> {
        let state = self.state();
        let meant = |ended: &&Ended| filter.fits(&ended.fault.spec, &ended.tags);
        state.ended.last_first().filter(meant).cloned().collect()
    }

    /// The last fault of this id that has ended, if none of it is armed.
    #[must_use]
    pub fn ended_fault(&self, id: &str) -> Option<Ended> {
        let state = self.state();
        if state.writer.status(id, now().instant).is_some() {
            return None;
        }
        let mut ended = state.ended.last_first();
        ended.find(|ended| ended.fault.id == id).cloned()
    }
}
