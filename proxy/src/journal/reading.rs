//! Reading a journal, while cores write it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Attempt, Connection, CoreJournal, CoreRecords, Journal, Numbers, attempt::PackedAttempt,
    connection::PackedConnection, ended::Ended, open::Open, packed::Packed,
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

/// A sort of records, and where a core has them.
trait Sort: Packed {
    fn next_end(numbers: &Numbers) -> &AtomicU64;

    fn ended(records: &CoreRecords) -> &Ended<Self>;

    /// That of an open connection, with its texts.
    fn open(open: &Open) -> Option<(&Self, &[u8])>;

    /// Adds what is counted elsewhere as long as it is open.
    fn complete(_record: &mut Self::Record, _open: &Open) {}
}

impl Sort for PackedAttempt {
    fn next_end(numbers: &Numbers) -> &AtomicU64 {
        &numbers.attempt_end
    }

    fn ended(records: &CoreRecords) -> &Ended<Self> {
        &records.attempts
    }

    fn open(open: &Open) -> Option<(&Self, &[u8])> {
        let attempt = open.attempt.as_ref()?;
        Some((&attempt.packed, attempt.texts.bytes()))
    }
}

impl Sort for PackedConnection {
    fn next_end(numbers: &Numbers) -> &AtomicU64 {
        &numbers.connection_end
    }

    fn ended(records: &CoreRecords) -> &Ended<Self> {
        &records.connections
    }

    fn open(open: &Open) -> Option<(&Self, &[u8])> {
        (!open.connection.is_stream).then_some((&open.connection, open.route.as_bytes()))
    }

    fn complete(record: &mut Connection, open: &Open) {
        if let Some(bytes) = &open.bytes {
            record.bytes_in = bytes.bytes_in.get();
            record.bytes_out = bytes.bytes_out.get();
        }
    }
}

impl Journal {
    /// Requests, as `query` says.
    #[must_use]
    pub fn attempts(&self, query: &JournalQuery) -> JournalPage<Attempt> {
        self.read::<PackedAttempt>(query, |it| it.number, |it| it.seq)
    }

    /// Connections, as `query` says.
    #[must_use]
    pub fn connections(&self, query: &JournalQuery) -> JournalPage<Connection> {
        self.read::<PackedConnection>(query, |it| it.number, |it| it.seq)
    }

    fn read<P: Sort>(
        &self,
        query: &JournalQuery,
        number: impl Fn(&P::Record) -> u64,
        seq: impl Fn(&P::Record) -> u64,
    ) -> JournalPage<P::Record> {
        // Every end below this number is in a core's records as soon as their lock can be had.
        let end = P::next_end(&self.shared.numbers).load(Ordering::Acquire);
        let begin = query.after.map_or(1, |after| after.saturating_add(1));
        let (mut open, mut ended) = (Vec::new(), Vec::new());
        let mut kept = 0;
        for core in self.cores.iter() {
            kept += P::ended(&core.records()).count(begin, end) as u64;
            if query.state != RecordState::Open {
                read_ended::<P>(core, query, begin, end, &mut ended);
            }
            if query.state != RecordState::Ended {
                read_open::<P>(core, query, &mut open);
            }
        }
        ended.sort_unstable_by_key(&seq);
        let mut next = end - 1;
        let mut has_more = false;
        if query.after.is_none() {
            let older = ended.len().saturating_sub(query.limit);
            ended.drain(..older);
        } else if ended.len() > query.limit {
            ended.truncate(query.limit);
            next = ended.last().map_or(begin - 1, &seq);
            has_more = true;
        }
        ended.reverse();
        open.sort_unstable_by_key(|record| std::cmp::Reverse(number(record)));
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

/// Adds those in progress. The core may have its lock after each [`CHUNK`] of places: what begins or ends meanwhile may be there
/// or not.
fn read_open<P: Sort>(core: &CoreJournal, query: &JournalQuery, found: &mut Vec<P::Record>) {
    for first in (0..).step_by(CHUNK) {
        let records = core.records();
        let Some(some) = records.open.some(first, CHUNK) else {
            return;
        };
        found.extend(some.filter_map(|open| {
            let (packed, texts) = P::open(open)?;
            let mut record = (packed.is_asked_for(texts, query)).then(|| packed.unpack(texts))?;
            P::complete(&mut record, open);
            Some(record)
        }));
    }
}

/// Adds those that ended with a number from `begin` to before `end`: one more than the limit, if there are, so that it can be
/// told. The core may have its lock after each [`CHUNK`].
fn read_ended<P: Sort>(
    core: &CoreJournal,
    query: &JournalQuery,
    mut begin: u64,
    mut end: u64,
    found: &mut Vec<P::Record>,
) {
    let wanted = found.len() + query.limit.saturating_add(1);
    while begin < end && found.len() < wanted {
        let mut looked_at = 0;
        let records = core.records();
        let mut look = |(packed, texts): (&P, &[u8])| {
            looked_at += 1;
            if found.len() < wanted && packed.is_asked_for(texts, query) {
                found.push(packed.unpack(texts));
            }
            packed.seq()
        };
        let range = P::ended(&records).range(begin, end);
        if query.after.is_some() {
            let last = range.take(CHUNK).map(&mut look).last();
            begin = last.map_or(end, |last| last + 1);
        } else {
            let first = range.rev().take(CHUNK).map(&mut look).last();
            end = first.unwrap_or(begin);
        }
        if looked_at < CHUNK {
            break;
        }
    }
}
