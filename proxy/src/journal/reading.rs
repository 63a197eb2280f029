//! Reading a journal, while cores write it.

use std::sync::{
    MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Attempt, Connection, CoreJournal, Journal,
    ring::{Entry, Ring},
};

/// Which records to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalQuery {
    /// Of this route alone.
    pub route: Option<String>,
    /// Struck by this fault alone; of connections that is not known, so none is told.
    pub fault: Option<String>,
    /// Whether they ended.
    pub state: RecordState,
    /// Only those whose `seq` is greater, the lowest first; without it the highest.
    pub after: Option<u64>,
    /// So many of those that ended, and so many in progress.
    pub limit: usize,
}

/// Whether what is recorded has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordState {
    /// Either.
    #[default]
    Any,
    /// It has not.
    Open,
    /// It has.
    Ended,
}

/// Records of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalPage<R> {
    /// The journal's clock when it was read, in µs.
    pub now: u64,
    /// In progress, the newest first.
    pub open: Vec<R>,
    /// Ended, the last one first.
    pub ended: Vec<R>,
    /// What to give as `after` to read on.
    pub next: u64,
    /// Whether there is more behind `next` already.
    pub has_more: bool,
    /// Records behind `after`, or of all, that made room for others before they could be read, on whatever route.
    pub lost: u64,
}

/// So many records are looked at before a core may have its lock back: some 20 µs.
const CHUNK: usize = 64;

type Locked<'c, R> = MutexGuard<'c, Ring<R>>;

impl Journal {
    /// Requests, as `query` says.
    #[must_use]
    pub fn attempts(&self, query: &JournalQuery) -> JournalPage<Attempt> {
        self.read(query, &self.shared.seq, CoreJournal::attempts)
    }

    /// Connections, as `query` says.
    #[must_use]
    pub fn connections(&self, query: &JournalQuery) -> JournalPage<Connection> {
        self.read(query, &self.shared.close, CoreJournal::connections)
    }

    fn read<R: Entry + Clone>(
        &self,
        query: &JournalQuery,
        seq: &AtomicU64,
        ring: impl Fn(&CoreJournal) -> Locked<'_, R>,
    ) -> JournalPage<R> {
        // Every end below this number is in a ring as soon as that ring's lock can be had.
        let end = seq.load(Ordering::Acquire);
        let begin = query.after.map_or(1, |after| after.saturating_add(1));
        let (mut open, mut ended) = (Vec::new(), Vec::new());
        let mut kept = 0;
        for core in self.cores.iter() {
            kept += ring(core).count(begin, end) as u64;
            if query.state != RecordState::Open {
                ended.extend(read_ended(|| ring(core), query, begin, end));
            }
            if query.state != RecordState::Ended {
                let ring = ring(core);
                open.extend(ring.open().filter(|record| query.takes(*record)).cloned());
            }
        }
        ended.sort_unstable_by_key(Entry::seq);
        let mut next = end - 1;
        let mut has_more = false;
        if query.after.is_none() {
            let older = ended.len().saturating_sub(query.limit);
            ended.drain(..older);
        } else if ended.len() > query.limit {
            ended.truncate(query.limit);
            next = ended.last().map_or(begin - 1, Entry::seq);
            has_more = true;
        }
        ended.reverse();
        open.sort_unstable_by_key(|record: &R| std::cmp::Reverse(record.number()));
        open.truncate(query.limit);
        JournalPage {
            now: self.now(),
            open,
            ended,
            next,
            has_more,
            lost: end.saturating_sub(begin).saturating_sub(kept),
        }
    }
}

impl JournalQuery {
    fn takes(&self, record: &impl Entry) -> bool {
        (self.route.as_ref()).is_none_or(|route| *route == record.route())
            && (self.fault.as_ref()).is_none_or(|fault| record.faults().contains(fault))
    }
}

/// One more than the limit, if there are, so that it can be told. The ring is given back after each [`CHUNK`].
fn read_ended<'c, R: Entry + Clone + 'c>(
    ring: impl Fn() -> Locked<'c, R>,
    query: &JournalQuery,
    mut begin: u64,
    mut end: u64,
) -> Vec<R> {
    let mut taken = Vec::new();
    let wanted = query.limit.saturating_add(1);
    while begin < end && taken.len() < wanted {
        let mut looked_at = 0;
        let ring = ring();
        let mut look = |record: &R| {
            looked_at += 1;
            if taken.len() < wanted && query.takes(record) {
                taken.push(record.clone());
            }
            record.seq()
        };
        if query.after.is_some() {
            let last = ring.ended(begin, end).take(CHUNK).map(&mut look).last();
            begin = last.map_or(end, |last| last + 1);
        } else {
            let newest = ring.ended(begin, end).rev().take(CHUNK);
            end = newest.map(&mut look).last().unwrap_or(begin);
        }
        if looked_at < CHUNK {
            break;
        }
    }
    taken
}
