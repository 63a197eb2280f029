//! One request on a route: an attempt of a client.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{BodyWatch, CoreJournal, evidence, ring::Entry};
use crate::{http1::RequestHead, route::Route};

/// One request that a route carried, or carries. Times are µs on the journal's clock.
///
/// Neither its query nor a field that may hold a secret is kept as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Its number among all, in the order in which they began.
    pub number: u64,
    /// Its number among those that ended, in the order of their ends, from 1; 0 while it is in progress.
    pub seq: u64,
    /// The route.
    pub route: String,
    /// The number of its connection, unique in the process, from 1.
    pub connection: u64,
    /// Its place on that connection, 0 for the first.
    pub connection_seq: u64,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// When its connection was accepted.
    pub t_open: u64,
    /// When the first byte of its head was read.
    pub t_head: u64,
    /// When the end of its content was read; without content, when its head had come whole. `None` while that was not.
    pub t_req_end: Option<u64>,
    /// When the first byte of its answer was handed on.
    pub t_first_out: Option<u64>,
    /// When the last bytes so far of its answer were handed on.
    pub t_last_out: Option<u64>,
    /// When it ended.
    pub t_end: Option<u64>,
    /// Who ended it, and how.
    pub end: AttemptEnd,
    /// The id of the fault that ended it; empty if none did, or one of the layer `stream`.
    pub ended_by: String,
    /// Whether the head of its answer was handed on in part.
    pub is_in_head: bool,
    /// Whether its answer was handed on to its end.
    pub is_whole: bool,
    /// Content of the answer that was handed on, in bytes.
    pub bytes: u64,
    /// The status that the client was sent.
    pub status: Option<u16>,
    /// The ids of the faults that struck it, up to 8.
    pub faults: Vec<String>,
    /// How long its answer's `Retry-After` told the client to wait.
    pub retry_after: Option<Duration>,
    /// Its method, up to 32 bytes.
    pub method: String,
    /// Its path without the query, up to 256 bytes.
    pub path: String,
    /// A hash of method, target, content length and the beginning of the content: the same for a request that is sent again.
    /// It can be compared with those of the same process alone.
    pub fingerprint: u64,
    /// How many bytes of content it covers, up to 16 KiB: all there are or the first 16 KiB. `None` where it covers none, as
    /// content was announced and not read so far.
    pub content_hashed: Option<u64>,
    /// The trace that its `traceparent` names, and the span.
    pub trace: Option<(u128, u64)>,
    /// Its `x-request-id`, up to 128 printable ASCII characters; empty if it has none or another.
    pub request_id: String,
    /// A hash of its `idempotency-key`, comparable as [`fingerprint`](Self::fingerprint) is.
    pub idempotency_key: Option<u64>,
    /// How many attempts came before it, as one of its fields counts them.
    pub retry_count: Option<u32>,
    /// Requests in flight on its route when it began, itself included.
    pub in_flight: u32,
}

/// Who ended an attempt, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttemptEnd {
    /// It has not ended.
    #[default]
    StillOpen,
    /// A whole answer, the upstream's or a fault's.
    Answered,
    /// The upstream gave no whole answer.
    UpstreamError,
    /// The client's content was not framed as its head says.
    BadRequest,
    /// A fault ended it without a whole answer.
    Fault,
    /// The client closed its connection or its sending side: both are a FIN.
    ClientFin,
    /// The client reset its connection.
    ClientRst,
    /// It ended before its answer did, and nothing on the socket tells why.
    ClientLeft,
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptPhase {
    /// No byte of its answer was handed on.
    BeforeHead,
    /// A part of its head was.
    InHead,
    /// Its head and some bytes of its content were.
    InBody,
    /// All of it was.
    IdleAfter,
}

impl Entry for Attempt {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn route(&self) -> &str {
        &self.route
    }

    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl Attempt {
    const FAULTS_MAX: usize = 8;

    /// How far it came.
    #[must_use]
    pub fn phase(&self) -> AttemptPhase {
        match (self.t_first_out, self.is_whole) {
            (None, _) => AttemptPhase::BeforeHead,
            (Some(_), false) if self.is_in_head => AttemptPhase::InHead,
            (Some(_), false) => AttemptPhase::InBody,
            (Some(_), true) => AttemptPhase::IdleAfter,
        }
    }

    /// Makes it the record of another request, and keeps the memory of its texts.
    fn begin_anew(&mut self, number: u64, route: &str, on: OnConnection, t_head: u64) {
        // In place, as it is large. The rest is read from the request's head.
        let Self {
            number: own_number,
            seq,
            route: own_route,
            connection,
            connection_seq,
            peer,
            t_open,
            t_head: own_t_head,
            t_req_end,
            t_first_out,
            t_last_out,
            t_end,
            end,
            ended_by,
            is_in_head,
            is_whole,
            bytes,
            status,
            faults,
            retry_after,
            method,
            path,
            fingerprint,
            content_hashed,
            trace,
            request_id,
            idempotency_key,
            retry_count,
            in_flight,
        } = self;
        for text in [&mut *own_route, ended_by, method, path, request_id] {
            text.clear();
        }
        faults.clear();
        own_route.push_str(route);
        *own_number = number;
        *connection = on.connection;
        *connection_seq = on.seq;
        *peer = Some(on.peer);
        *t_open = on.opened;
        *own_t_head = t_head;
        (*seq, *bytes, *fingerprint, *in_flight) = (0, 0, 0, 0);
        (*t_req_end, *content_hashed) = (None, None);
        (*t_first_out, *t_last_out, *t_end) = (None, None, None);
        (*is_in_head, *is_whole) = (false, false);
        (*end, *status, *retry_after) = (AttemptEnd::StillOpen, None, None);
        (*trace, *idempotency_key, *retry_count) = (None, None, None);
    }

    fn strike<'f>(&mut self, ids: impl Iterator<Item = &'f str>) {
        for id in ids {
            if self.faults.len() < Self::FAULTS_MAX {
                self.faults.push(id.to_owned());
            }
        }
    }
}

/// What a connection is, for the records of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnConnection {
    pub(crate) connection: u64,
    /// When it was accepted, on the journal's clock.
    pub(crate) opened: u64,
    /// When the first byte of the request's head was read, if it did not come whole.
    pub(crate) head_began: Option<Instant>,
    pub(crate) peer: SocketAddr,
    /// The request's place on it.
    pub(crate) seq: u64,
}

/// A record in progress.
#[derive(Debug)]
pub(crate) struct OpenAttempt {
    pub(super) journal: Arc<CoreJournal>,
    pub(super) at: usize,
}

impl OpenAttempt {
    /// Begins a record of this request, whose head came whole at `read`. `has_content` tells whether more of it is to come.
    pub(crate) fn begin<'f>(
        journal: &Arc<CoreJournal>,
        route: &Route,
        on: OnConnection,
        read: Instant,
        request: &RequestHead,
        has_content: bool,
        faults: impl Iterator<Item = &'f str>,
    ) -> Self {
        let shared = &journal.shared;
        let number = shared.number.fetch_add(1, Ordering::Relaxed);
        let at = journal.attempts().begin(|attempt| {
            let t_read = shared.micros(read);
            let t_head = on.head_began.map_or(t_read, |began| shared.micros(began));
            attempt.begin_anew(number, route.name(), on, t_head);
            if !has_content {
                attempt.t_req_end = Some(t_read);
                attempt.content_hashed = Some(0);
            }
            attempt.in_flight = u32::try_from(route.in_flight.value()).unwrap_or(0);
            attempt.strike(faults);
            evidence::read(request, &shared.hasher, attempt);
        });
        Self {
            journal: Arc::clone(journal),
            at,
        }
    }

    /// What follows its content. To be dropped before the record ends.
    pub(crate) fn watch_body(&self) -> Box<BodyWatch> {
        Box::new(BodyWatch::new(self))
    }

    /// Notes that a fault struck it that had not been certain to.
    pub(crate) fn struck(&self, id: &str) {
        self.change(|attempt| attempt.strike([id].into_iter()));
    }

    /// Notes that the answer begins, with so many bytes of content in its first piece.
    pub(crate) fn answers(
        &self,
        status: Option<u16>,
        told: Option<Duration>,
        content: u64,
        now: Instant,
    ) {
        let now = self.journal.shared.micros(now);
        self.change(|attempt| {
            attempt.status = status;
            attempt.retry_after = told;
            attempt.t_first_out = Some(now);
            attempt.t_last_out = Some(now);
            attempt.bytes = content;
        });
    }

    /// Notes that the head of the answer goes out by pieces, or that all of it has gone out.
    pub(crate) fn head_goes_out(&self, by_pieces: bool) {
        self.change(|attempt| attempt.is_in_head = by_pieces);
    }

    /// Notes that more content was handed on, `bytes` in all.
    pub(crate) fn sent(&self, bytes: u64) {
        let now = self.journal.shared.micros(Instant::now());
        self.change(|attempt| {
            attempt.t_first_out.get_or_insert(now);
            attempt.t_last_out = Some(now);
            attempt.bytes = bytes;
        });
    }

    /// Ends it. Without a call it stays open for ever.
    pub(crate) fn end(&self, end: AttemptEnd, by: Option<&str>, is_whole: bool, now: Instant) {
        let shared = &self.journal.shared;
        // The number is drawn under the lock: whoever has read it, and then takes the lock, finds the record.
        self.journal.attempts().end(self.at, |attempt| {
            attempt.seq = shared.seq.fetch_add(1, Ordering::AcqRel);
            attempt.end = end;
            attempt.ended_by.push_str(by.unwrap_or_default());
            attempt.is_whole = is_whole;
            attempt.t_end = Some(shared.micros(now));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.journal.attempts().open_at(self.at) {
            change(attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_the_memory_that_the_docs_tell() {
        assert!(size_of::<Attempt>() <= 448, "{}", size_of::<Attempt>());
    }
}
