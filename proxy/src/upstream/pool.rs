//! Connections that wait for a request, and how many there may be.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Names, Resolver, Upstream};
use crate::{http1::UpstreamConnection, http2::Connections, limits::POOL_IDLE_MAX};

/// One core's unused connections for one route. No other core touches them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// With HTTP/2.
    pub(crate) http2: Connections,
    pub(crate) names: Names,
    /// Of upstreams with a limit; more than one only while connections to an earlier one are in use.
    places: RefCell<Vec<Places>>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<UpstreamConnection>,
    since: Instant,
}

/// How many connections to one upstream may be used at once.
///
/// A connection has a place while it is used, not while it waits. A new one is opened only when none waits, so there are
/// never more connections than places.
#[derive(Debug)]
struct Places {
    upstream: Arc<Upstream>,
    free: Arc<Semaphore>,
}

/// The right to use a connection, given back when it is dropped. Who has waited longest gets it.
pub(crate) type Place = OwnedSemaphorePermit;

impl Pool {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self {
            names: Names::new(resolver),
            ..Self::default()
        }
    }

    /// The most recently used connection to this server of `upstream` that is still open.
    pub(crate) fn take(
        &self,
        upstream: &Arc<Upstream>,
        server: u8,
    ) -> Option<Box<UpstreamConnection>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let Idle {
                mut connection,
                since,
            } = match upstream.has_others() {
                false => idle.pop()?,
                true => {
                    let is_one = |it: &Idle| {
                        it.connection.server == server
                            && Arc::ptr_eq(&it.connection.upstream, upstream)
                    };
                    let at = idle.iter().rposition(is_one)?;
                    idle.remove(at)
                }
            };
            // The route may have got another upstream since.
            if Arc::ptr_eq(&connection.upstream, upstream)
                && is_fresh(upstream, since)
                && connection.is_idle()
            {
                return Some(connection);
            }
        }
    }

    /// Waits for a place of `upstream`; `None` if it has no limit.
    pub(crate) async fn place(&self, upstream: &Arc<Upstream>) -> Option<Place> {
        let max = upstream.options().pool.max_connections?;
        let free = self.places_of(upstream, max);
        // It is never closed.
        free.acquire_owned().await.ok()
    }

    fn places_of(&self, upstream: &Arc<Upstream>, max: usize) -> Arc<Semaphore> {
        let mut places = self.places.borrow_mut();
        if let Some(known) = places.iter().find(|it| Arc::ptr_eq(&it.upstream, upstream)) {
            return Arc::clone(&known.free);
        }
        // Those of earlier upstreams that nobody uses or waits for.
        places.retain(|it| Arc::strong_count(&it.free) > 1);
        let free = Arc::new(Semaphore::new(max));
        places.push(Places {
            upstream: Arc::clone(upstream),
            free: Arc::clone(&free),
        });
        free
    }

    /// Closes unused connections, the oldest first, as far as they have the place that a new one is to have.
    pub(crate) fn make_room(&self, upstream: &Arc<Upstream>) {
        let Some(max) = upstream.options().pool.max_connections else {
            return;
        };
        let free = self.places_of(upstream, max).available_permits();
        let mut idle = self.idle.borrow_mut();
        let surplus = idle.len().saturating_sub(free);
        idle.drain(..surplus);
    }

    /// Keeps a connection whose exchange is over, unless there are plenty or something came behind the answer.
    pub(crate) fn give_back(&self, mut connection: Box<UpstreamConnection>, now: Instant) {
        // Whoever waits for it finds the connection.
        let place = connection.place.take();
        if connection.transport.is_stream() {
            return; // Its connection stays.
        }
        let mut idle = self.idle.borrow_mut();
        let options = connection.upstream.options();
        if connection.input.is_empty()
            && !connection.leads_elsewhere()
            // Its header has told of one client.
            && options.send_proxy.is_none()
            && idle.len() < options.pool.max_idle
        {
            connection.was_used = true;
            idle.push(Idle {
                connection,
                since: now,
            });
        }
        drop(place);
    }

    /// Closes the connections that were not used for a while, or whose upstream has closed them.
    pub(crate) fn sweep(&self) {
        self.http2.sweep();
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| {
            let timeout = idle.connection.upstream.options().pool.idle_timeout;
            idle.connection.is_idle() && idle.since.elapsed() < timeout
        });
    }
}

/// Whether a connection that is unused since then may be used. The usual time is left to the sweep.
fn is_fresh(upstream: &Upstream, since: Instant) -> bool {
    let timeout = upstream.options().pool.idle_timeout;
    timeout >= POOL_IDLE_MAX || since.elapsed() < timeout
}

/// A pool shared by the connections of one route on one core.
pub(crate) type SharedPool = Rc<Pool>;
