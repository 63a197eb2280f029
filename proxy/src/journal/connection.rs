//! One connection of a client.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{CoreJournal, ring::Entry};

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

impl Entry for Connection {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn route(&self) -> &str {
        &self.route
    }
}

impl Connection {
    fn was_idle_until(&mut self, now: u64) {
        let idle = now.saturating_sub(self.idle_since);
        self.longest_idle = self.longest_idle.max(idle);
    }
}

/// A record in progress.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    journal: Arc<CoreJournal>,
    at: usize,
    number: u64,
    opened: u64,
}

impl OpenConnection {
    pub(crate) fn begin(
        journal: &Arc<CoreJournal>,
        route: &str,
        peer: SocketAddr,
        accepted: Instant,
    ) -> Self {
        let shared = &journal.shared;
        let number = shared.connection.fetch_add(1, Ordering::Relaxed);
        let opened = shared.micros(accepted);
        let at = journal.connections().begin(|connection: &mut Connection| {
            let mut name = std::mem::take(&mut connection.route);
            name.clear();
            name.push_str(route);
            *connection = Connection {
                number,
                route: name,
                peer: Some(peer),
                t_open: opened,
                idle_since: opened,
                ..Connection::default()
            };
        });
        Self {
            journal: Arc::clone(journal),
            at,
            number,
            opened,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// When it was accepted, on the journal's clock.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    pub(crate) fn request_begins(&self, now: Instant) {
        let now = self.journal.shared.micros(now);
        if let Some(connection) = self.journal.connections().open_at(self.at) {
            connection.requests += 1;
            connection.is_busy = true;
            connection.was_idle_until(now);
        }
    }

    pub(crate) fn request_ends(&self, now: Instant) {
        let now = self.journal.shared.micros(now);
        if let Some(connection) = self.journal.connections().open_at(self.at) {
            connection.is_busy = false;
            connection.idle_since = now;
        }
    }

    /// Ends it. Without a call it stays open for ever.
    pub(crate) fn end(&self, end: ConnectionEnd) {
        let shared = &self.journal.shared;
        let now = shared.micros(Instant::now());
        self.journal.connections().end(self.at, |connection| {
            connection.seq = shared.close.fetch_add(1, Ordering::AcqRel);
            connection.end = end;
            connection.t_close = Some(now);
            if !connection.is_busy {
                connection.was_idle_until(now);
            }
            connection.is_busy = false;
        });
    }
}
