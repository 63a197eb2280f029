//! A record in progress, and what writes it.

use std::{
    net::SocketAddr,
    num::NonZeroU16,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    AttemptEnd,
    packed::{PackedAttempt, TextLengths, Version},
};
use crate::{
    http1::RequestHead,
    journal::{
        BodyWatch, CoreJournal, CoreRecords, evidence,
        open::{InProgress, TextBuffer},
        packed::Maybe,
    },
    route::Route,
};

/// What a connection is, for the records of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnConnection {
    /// Where the core's journal has it.
    pub(crate) place: usize,
    /// Its number in the process, from 1.
    pub(crate) connection: u64,
    /// When it was accepted, on the journal's clock.
    pub(crate) opened: u64,
    /// When the first byte of the request's head was read, if it did not come whole.
    pub(crate) head_began: Option<Instant>,
    pub(crate) peer: SocketAddr,
    /// The request's place on it.
    pub(crate) seq: u64,
    /// It is a stream of HTTP/2.
    pub(crate) is_stream: bool,
}

/// A record in progress.
#[derive(Debug)]
pub(crate) struct OpenAttempt {
    pub(in crate::journal) journal: Arc<CoreJournal>,
    /// That of its connection.
    pub(in crate::journal) place: usize,
}

/// What is told of an answer that begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerBegins {
    pub(crate) status: Option<u16>,
    /// How long its `Retry-After` tells to wait.
    pub(crate) told: Option<Duration>,
    /// Bytes of content in its first piece.
    pub(crate) content: u64,
}

impl OpenAttempt {
    /// Begins a record of this request, whose head came whole at `read`. `has_content` tells whether more of it is to come.
    /// Its connection is busy from then on.
    pub(crate) fn begin<'f>(
        journal: &Arc<CoreJournal>,
        route: &Route,
        on: OnConnection,
        read: Instant,
        request: &RequestHead,
        has_content: bool,
        faults: impl Iterator<Item = &'f str>,
    ) -> Self {
        let t_read = journal.micros(read);
        let packed = PackedAttempt {
            number: journal.numbers().attempt.fetch_add(1, Ordering::Relaxed),
            seq: 0,
            connection: on.connection,
            connection_seq: on.seq,
            peer: on.peer,
            t_open: on.opened,
            t_head: on.head_began.map_or(t_read, |began| journal.micros(began)),
            t_req_end: match has_content {
                true => Maybe::NONE,
                false => Maybe::of(t_read),
            },
            t_first_out: Maybe::NONE,
            t_last_out: Maybe::NONE,
            t_end: Maybe::NONE,
            bytes: 0,
            fingerprint: journal.hashes.fingerprint(request),
            idempotency_key: Maybe::NONE,
            retry_after: Maybe::NONE,
            trace: None,
            retry_count: None,
            in_flight: u32::try_from(route.in_flight.value()).unwrap_or(0),
            content_hashed: (!has_content).then_some(0),
            status: None,
            end: AttemptEnd::StillOpen,
            is_in_head: false,
            is_whole: false,
            version: match (on.is_stream, request.is_http10()) {
                (true, _) => Version::Http2,
                (false, true) => Version::Http10,
                (false, false) => Version::Http11,
            },
            lengths: TextLengths::default(),
        };
        if let Some(open) = journal.records().open.at(on.place) {
            open.connection.request_begins(t_read);
            let attempt = open.attempt.insert(InProgress {
                packed,
                texts: TextBuffer::new(),
            });
            evidence::read(request, route.name(), &journal.hashes, attempt);
            attempt.strike(faults);
        }
        Self {
            journal: Arc::clone(journal),
            place: on.place,
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

    /// Notes that the answer begins.
    pub(crate) fn answers(&self, answer: AnswerBegins, now: Instant) {
        let now = Maybe::of(self.journal.micros(now));
        let told = (answer.told).map(|it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX));
        self.change(|InProgress { packed, .. }| {
            packed.status = answer.status.and_then(NonZeroU16::new);
            packed.retry_after = told.into();
            packed.t_first_out = now;
            packed.t_last_out = now;
            packed.bytes = answer.content;
        });
    }

    /// Notes that the head of the answer goes out by pieces, or that all of it has gone out.
    pub(crate) fn head_goes_out(&self, by_pieces: bool) {
        self.change(|attempt| attempt.packed.is_in_head = by_pieces);
    }

    /// Notes that more content was handed on, `bytes` in all.
    pub(crate) fn sent(&self, bytes: u64, now: Instant) {
        let now = Maybe::of(self.journal.micros(now));
        self.change(|InProgress { packed, .. }| {
            if packed.t_first_out == Maybe::NONE {
                packed.t_first_out = now;
            }
            packed.t_last_out = now;
            packed.bytes = bytes;
        });
    }

    /// Ends it. Without a call it stays open for ever. Its connection is idle from then on.
    pub(crate) fn end(&self, end: AttemptEnd, by: Option<&str>, is_whole: bool, now: Instant) {
        let now = self.journal.micros(now);
        let mut records = self.journal.records();
        let CoreRecords { open, attempts, .. } = &mut *records;
        let Some(open) = open.at(self.place) else {
            return;
        };
        open.connection.request_ends(now);
        if let Some(InProgress { packed, texts }) = &mut open.attempt {
            // Drawn under the lock: whoever has read a higher number, and then takes the lock, finds the record.
            packed.seq = (self.journal.numbers().attempt_end).fetch_add(1, Ordering::AcqRel);
            packed.end = end;
            packed.is_whole = is_whole;
            packed.t_end = Maybe::of(now);
            texts.push(by.unwrap_or_default().as_bytes());
            attempts.push(packed, texts.bytes());
        }
        open.attempt = None;
    }

    pub(in crate::journal) fn change(&self, change: impl FnOnce(&mut InProgress)) {
        self.journal.change_attempt(self.place, change);
    }
}
