//! Connections that wait for a request.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};

use super::Upstream;
use crate::{
    http1::UpstreamConnection,
    limits::{POOL_CONNECTIONS_MAX, POOL_IDLE_MAX},
};

/// One core's unused connections for one route. No other core touches them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<UpstreamConnection>,
    since: Instant,
}

impl Pool {
    /// The most recently used connection to `upstream` that is still open.
    pub(crate) fn take(&self, upstream: &Arc<Upstream>) -> Option<Box<UpstreamConnection>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            // The route may have got another upstream since.
            if Arc::ptr_eq(&connection.upstream, upstream) && connection.is_idle() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is over, unless there are plenty or something came behind the answer.
    pub(crate) fn give_back(&self, connection: Box<UpstreamConnection>, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if connection.input.is_empty() && idle.len() < POOL_CONNECTIONS_MAX {
            idle.push(Idle {
                connection,
                since: now,
            });
        }
    }

    /// Closes the connections that were not used for a while, or whose upstream has closed them.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| idle.connection.is_idle() && idle.since.elapsed() < POOL_IDLE_MAX);
    }
}

/// A pool shared by the connections of one route on one core.
pub(crate) type SharedPool = Rc<Pool>;
