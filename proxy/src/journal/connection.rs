//! One connection of a client.

use std::{
    cell::Cell,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    CoreJournal, JournalQuery, OnConnection,
    packed::{Maybe, Packed, Texts},
};
use crate::route::Route;

/// One connection of a client to a route. Times are µs on the journal's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Its number among all of the process, from 1.
    pub number: u64,
    /// Its number among those that ended, in the order of their ends, from 1; 0 while it is open.
    pub seq: u64,
    /// The route.
    pub route: String,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// When it was accepted.
    pub t_open: u64,
    /// When it ended.
    pub t_close: Option<u64>,
    /// Content that went to the upstream, in bytes: of requests, or all of a `tcp` route.
    pub bytes_in: u64,
    /// Content that went to the client.
    pub bytes_out: u64,
    /// Requests that it carried; none on a `tcp` route.
    pub requests: u64,
    /// Whether a request is in progress on it.
    pub is_busy: bool,
    /// When it was accepted, or its last request ended.
    pub idle_since: u64,
    /// The longest time without a request in progress, up to its end, in µs.
    pub longest_idle: u64,
    /// Who ended it, and how.
    pub end: ConnectionEnd,
}

/// What one connection has carried. The core that serves it counts, and whoever reads the journal may look.
#[derive(Debug, Default)]
pub(crate) struct ConnectionBytes {
    /// To the upstream.
    pub(crate) bytes_in: ByteCount,
    /// To the client.
    pub(crate) bytes_out: ByteCount,
}

/// A count of bytes.
#[derive(Debug, Default)]
pub(crate) struct ByteCount(AtomicU64);

impl ByteCount {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Who ended a connection, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It has not ended.
    #[default]
    StillOpen,
    /// The client closed it, or its sending side, first.
    ClientFin,
    /// The client reset it.
    ClientRst,
    /// The proxy closed it first: for a timer, a fault, an answer that asks for it, or because its route closed.
    ProxyFin,
    /// The proxy reset it.
    ProxyRst,
    /// It carried another protocol than HTTP, and both sides may have ended it.
    Unknown,
}

/// A [`Connection`] without its route, which is the text beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedConnection {
    pub(super) number: u64,
    seq: u64,
    peer: SocketAddr,
    t_open: u64,
    t_close: Maybe,
    bytes_in: u64,
    bytes_out: u64,
    requests: u32,
    idle_since: u64,
    longest_idle: u64,
    is_busy: bool,
    /// It is a stream of another, whose number it has.
    pub(super) is_stream: bool,
    end: ConnectionEnd,
}

impl Packed for PackedConnection {
    type Record = Connection;

    fn seq(&self) -> u64 {
        self.seq
    }

    fn is_asked_for(&self, texts: &[u8], query: &JournalQuery) -> bool {
        let is_of_route = |route: &String| route.as_bytes() == texts;
        query.fault.is_none() && query.route.as_ref().is_none_or(is_of_route)
    }

    fn unpack(&self, texts: &[u8]) -> Connection {
        Connection {
            number: self.number,
            seq: self.seq,
            route: Texts(texts).take(texts.len()).to_owned(),
            peer: Some(self.peer),
            t_open: self.t_open,
            t_close: self.t_close.get(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            requests: self.requests.into(),
            is_busy: self.is_busy,
            idle_since: self.idle_since,
            longest_idle: self.longest_idle,
            end: self.end,
        }
    }
}

impl PackedConnection {
    pub(super) fn new(number: u64, peer: SocketAddr, opened: u64) -> Self {
        Self {
            number,
            seq: 0,
            peer,
            t_open: opened,
            t_close: Maybe::NONE,
            bytes_in: 0,
            bytes_out: 0,
            requests: 0,
            idle_since: opened,
            longest_idle: 0,
            is_busy: false,
            is_stream: false,
            end: ConnectionEnd::StillOpen,
        }
    }

    pub(super) fn request_begins(&mut self, now: u64) {
        self.requests = self.requests.saturating_add(1);
        if !self.is_busy {
            self.was_idle_until(now);
        }
        self.is_busy = true;
    }

    pub(super) fn request_ends(&mut self, now: u64) {
        self.is_busy = false;
        self.idle_since = now;
    }

    fn ends(&mut self, now: u64) {
        self.t_close = Maybe::of(now);
        if !self.is_busy {
            self.was_idle_until(now);
        }
        self.is_busy = false;
    }

    fn was_idle_until(&mut self, now: u64) {
        let idle = now.saturating_sub(self.idle_since);
        self.longest_idle = self.longest_idle.max(idle);
    }
}

/// A record in progress.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    journal: Arc<CoreJournal>,
    place: usize,
    number: u64,
    opened: u64,
    bytes: Arc<ConnectionBytes>,
    /// Its streams that are open.
    streams: Cell<u32>,
}

/// A stream of an open connection, at a place of its own: it carries one request.
#[derive(Debug)]
pub(crate) struct OpenStream {
    place: usize,
    connection: u64,
    opened: u64,
}

impl OpenStream {
    /// As [`OpenConnection::of_request`].
    pub(crate) fn of_request(&self, seq: u64, peer: SocketAddr) -> OnConnection {
        OnConnection {
            place: self.place,
            connection: self.connection,
            opened: self.opened,
            head_began: None,
            is_stream: true,
            peer,
            seq,
        }
    }
}

impl OpenConnection {
    /// Begins it. What it carries is counted in `bytes`.
    pub(crate) fn begin(
        journal: &Arc<CoreJournal>,
        route: &Route,
        peer: SocketAddr,
        accepted: Instant,
        bytes: &Arc<ConnectionBytes>,
    ) -> Self {
        let number = journal.numbers().connection.fetch_add(1, Ordering::Relaxed);
        let opened = journal.micros(accepted);
        let packed = PackedConnection::new(number, peer, opened);
        let mut records = journal.records();
        let place = records.open.add(packed, route.shared_name());
        if let Some(open) = records.open.at(place) {
            open.bytes = Some(Arc::clone(bytes));
        }
        drop(records);
        Self {
            bytes: Arc::clone(bytes),
            journal: Arc::clone(journal),
            place,
            number,
            opened,
            streams: Cell::new(0),
        }
    }

    /// Begins a stream: a request of this connection, beside others.
    pub(crate) fn begin_stream(&self) -> OpenStream {
        let now = self.journal.micros(Instant::now());
        let mut records = self.journal.records();
        self.streams.set(self.streams.get() + 1);
        let connection = records.open.at(self.place).map(|open| {
            open.connection.request_begins(now);
            (open.connection.peer, Arc::clone(&open.route))
        });
        let (peer, route) = connection.unwrap_or_else(|| (([0; 4], 0).into(), Arc::from("")));
        let mut packed = PackedConnection::new(self.number, peer, self.opened);
        packed.is_stream = true;
        OpenStream {
            place: records.open.add(packed, &route),
            connection: self.number,
            opened: self.opened,
        }
    }

    /// Ends a stream of it. Without a call it stays open for ever.
    pub(crate) fn end_stream(&self, stream: &OpenStream) {
        let now = self.journal.micros(Instant::now());
        let mut records = self.journal.records();
        drop(records.open.remove(stream.place));
        self.streams.set(self.streams.get() - 1);
        if self.streams.get() == 0
            && let Some(open) = records.open.at(self.place)
        {
            open.connection.request_ends(now);
        }
    }

    /// What it is for the record of its request with this place on it, whose head began to come at `head_began` if it did
    /// not come whole.
    pub(crate) fn of_request(
        &self,
        seq: u64,
        peer: SocketAddr,
        head_began: Option<Instant>,
    ) -> OnConnection {
        OnConnection {
            place: self.place,
            connection: self.number,
            opened: self.opened,
            head_began,
            is_stream: false,
            peer,
            seq,
        }
    }

    /// Ends it. Without a call it stays open for ever.
    pub(crate) fn end(&self, end: ConnectionEnd) {
        let now = self.journal.micros(Instant::now());
        let mut records = self.journal.records();
        if let Some(open) = records.open.remove(self.place) {
            let mut packed = open.connection;
            let numbers = self.journal.numbers();
            packed.seq = numbers.connection_end.fetch_add(1, Ordering::AcqRel);
            packed.end = end;
            packed.bytes_in = self.bytes.bytes_in.get();
            packed.bytes_out = self.bytes.bytes_out.get();
            packed.ends(now);
            records.connections.push(&packed, open.route.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_the_memory_that_the_docs_tell() {
        let size = size_of::<PackedConnection>();
        assert!(size <= 104, "{size}");
    }
}
