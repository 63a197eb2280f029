//! What is left of a fault that has ended.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{Entry, FaultWriter};
use crate::{
    counters::{Counters, FaultCounters, Magnitude, RouteCounters},
    schedule::Moment,
    spec::FaultSpec,
    strikes::Strikes,
};

/// A fault that has ended. Requests that it held may end a little later, and are counted here too.
#[derive(Debug, Clone)]
pub struct EndedFault {
    /// Its id.
    pub id: String,
    /// The spec as understood.
    pub spec: FaultSpec,
    /// When it was armed.
    pub created_at: Moment,
    /// When its ttl was to be over; `None` for ever.
    pub expires_at: Option<Moment>,
    /// The number of the change that gave it its last form.
    pub revision: u64,
    /// Whether its `limit` of injections was used up.
    pub was_spent: bool,
    counts: Counts,
}

#[derive(Debug, Clone)]
enum Counts {
    /// They may change still.
    Live(Arc<FaultCounters>),
    Last(Box<Last>),
}

/// What they were when nothing could change them any more.
#[derive(Debug, Clone)]
struct Last {
    counters: Counters,
    by_route: BTreeMap<String, RouteCounters>,
    magnitude: Magnitude,
    strikes: Strikes,
}

impl EndedFault {
    fn of(entry: &Entry) -> Self {
        let fault = &entry.fault;
        Self {
            id: fault.id().to_owned(),
            spec: fault.spec().clone(),
            created_at: entry.created_at,
            expires_at: fault.lifetime().expires_at,
            revision: fault.revision(),
            was_spent: fault.counters().is_spent(fault.spec().limit),
            counts: Counts::Live(Arc::clone(fault.counters())),
        }
    }

    /// What it did, what it was to do and achieved, and when it struck.
    #[must_use]
    pub fn counts(&self) -> (Counters, Magnitude, Strikes) {
        match &self.counts {
            Counts::Live(counters) => {
                let magnitude = counters.magnitude(self.spec.fault.rate());
                (counters.counters(), magnitude, counters.strikes())
            }
            Counts::Last(last) => (last.counters, last.magnitude, last.strikes),
        }
    }

    /// What it did.
    #[must_use]
    pub fn counters(&self) -> Counters {
        match &self.counts {
            Counts::Live(counters) => counters.counters(),
            Counts::Last(last) => last.counters,
        }
    }

    /// What it did on each route since it named several.
    #[must_use]
    pub fn by_route(&self) -> BTreeMap<String, RouteCounters> {
        match &self.counts {
            Counts::Live(counters) => counters.by_route(),
            Counts::Last(last) => last.by_route.clone(),
        }
    }

    /// Makes the counts of now the last ones, which takes less memory. Does nothing if they are.
    pub fn settle(&mut self) {
        if matches!(self.counts, Counts::Live(_)) {
            let (counters, magnitude, strikes) = self.counts();
            self.counts = Counts::Last(Box::new(Last {
                counters,
                by_route: self.by_route(),
                magnitude,
                strikes,
            }));
        }
    }

    /// Whether its counts are the last ones.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.counts, Counts::Last(_))
    }

    /// When it struck first, if that has not been told.
    #[must_use]
    pub fn take_first_strike(&self) -> Option<Instant> {
        match &self.counts {
            Counts::Live(counters) => counters.take_first_strike(),
            Counts::Last(_) => None,
        }
    }

    /// The regular expressions in its spec.
    #[must_use]
    pub fn expressions(&self) -> usize {
        self.spec.matching.expressions()
    }
}

/// What a fault did that is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It struck for the first time.
    Struck(Instant),
    /// Its limit of injections is used up.
    Spent,
}

impl FaultWriter {
    /// What is left of the fault `id` if it ends now; `None` if there is none.
    #[must_use]
    pub fn last_of(&self, id: &str) -> Option<EndedFault> {
        let at = self.find(id)?;
        Some(EndedFault::of(&self.entries[at]))
    }

    /// Removes the faults of which `doomed` says so, given their ids and specs, and gives what is left of them.
    pub fn end_where(&mut self, doomed: impl Fn(&str, &FaultSpec) -> bool) -> Vec<EndedFault> {
        let gone = self.take_where(doomed);
        gone.iter().map(EndedFault::of).collect()
    }

    /// Removes the faults whose ttl is over, and lets listeners follow the schedules of the others. Gives what is left of
    /// them, and when to call again.
    pub fn end_expired(&mut self, now: Instant) -> (Vec<EndedFault>, Option<Instant>) {
        let over = |entry: &Entry| entry.fault.lifetime().is_over(now);
        let ids: Vec<String> = (self.entries.iter().filter(|entry| over(entry)))
            .map(|entry| entry.fault.id().to_owned())
            .collect();
        let gone = match ids.is_empty() {
            true => Vec::new(),
            false => self.end_where(|id, _| ids.iter().any(|over| over == id)),
        };
        (gone, self.follow_schedules(now))
    }

    /// The kind of the fault `id`, the number of the change that gave it its form, and when it was armed.
    #[must_use]
    pub fn form_of(&self, id: &str) -> Option<(&'static str, u64, Moment)> {
        let entry = &self.entries[self.find(id)?];
        Some((entry.fault.kind(), entry.fault.revision(), entry.created_at))
    }

    /// What armed faults did since the last call that is told once.
    pub fn take_news(&mut self) -> Vec<(String, News)> {
        let mut news = Vec::new();
        for entry in &self.entries {
            let (fault, counters) = (&entry.fault, entry.fault.counters());
            if let Some(first) = counters.take_first_strike() {
                news.push((fault.id().to_owned(), News::Struck(first)));
            }
            if counters.is_spent(fault.spec().limit) && counters.take_spent() {
                news.push((fault.id().to_owned(), News::Spent));
            }
        }
        news
    }

    /// Is notified when there may be [news](Self::take_news).
    #[must_use]
    pub fn news(&self) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.news)
    }
}
