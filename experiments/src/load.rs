//! Load: requests sent, and what became of each.
//!
//! [`closed_loop`] is what the original used (wrk): a connection sends its next request when it has the whole answer
//! to the last one. It slows down with the system, so it shows how much a system serves, not how long users wait when
//! they keep coming.

mod connection;
mod open;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{
    Stream,
    stream::{self, select_all},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header::HOST};
use tokio::time::Instant;

use self::connection::Asker;
pub(crate) use self::{
    connection::{Answer, Connection, pause},
    open::open_loop,
};
use crate::sample::Sample;

/// The field of an answer that lacks something.
pub const DEGRADED: HeaderName = HeaderName::from_static("x-degraded");

/// What is asked for, and of whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whom to ask.
    pub address: SocketAddr,
    /// What to ask for: path and query.
    pub uri: Uri,
    /// The fields of each request, `Host` included.
    pub headers: HeaderMap,
    /// How long to wait for a whole answer, connecting included; `None` for ever.
    pub timeout: Option<Duration>,
}

impl Target {
    /// `GET /` at `address`, waiting for as long as it takes.
    ///
    /// # Panics
    /// Never: an address is always a field's value.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        let host = HeaderValue::from_str(&address.to_string());
        let host = host.expect("an address is digits and punctuation");
        Self {
            address,
            uri: Uri::from_static("/"),
            headers: HeaderMap::from_iter([(HOST, host)]),
            timeout: None,
        }
    }
}

/// Asks `target` over so many connections, again and again, for as long as the stream is polled.
///
/// Each connection sends its next request when it has the whole answer to the last one. One that broke is opened anew,
/// after a pause that grows up to 0.3 s while it goes on breaking. `began` is the moment that samples are counted from.
///
/// Connections have no tasks of their own: dropping the stream closes them all, whatever they wait for.
pub fn closed_loop(
    target: Target,
    connections: usize,
    began: Instant,
) -> impl Stream<Item = Sample> + Send + Unpin {
    let target = Arc::new(target);
    let samples = |connection| {
        stream::unfold(connection, move |mut connection: Asker| async move {
            let sample = connection.exchange(began).await;
            Some((sample, connection))
        })
    };
    let connections = (0..connections).map(|_| Asker::of(Arc::clone(&target)));
    select_all(connections.map(|connection| Box::pin(samples(connection))))
}
