//! Connections that wait for a request.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use http::{Request, Response};
use hyper::body::Incoming;

use super::{Lease, Upstream};
use crate::{
    body::RequestBody,
    error::UpstreamError,
    limits::{POOL_CONNECTIONS_MAX, POOL_IDLE_MAX},
};

/// One core's unused connections for one route. No other core touches them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    lease: Lease,
    since: Instant,
}

/// An answer's head, and the connection it came on.
pub(crate) struct Sent {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

impl Sent {
    /// Reads the rest of the answer and gives the connection back.
    pub(crate) async fn forget(self, pool: &Pool) {
        let Self {
            response,
            mut lease,
        } = self;
        let mut body = response.into_body();
        loop {
            match poll_fn(|cx| lease.poll_frame(&mut body, cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return,
                None => break,
            }
        }
        pool.give_back(lease);
    }
}

impl Pool {
    /// Sends `request` on an unused connection, or on a new one.
    ///
    /// An unused connection may have been closed by the upstream just now. The request is then sent once more
    /// on a new one if nothing of it was sent, or if it can be repeated: its method is idempotent, it has no
    /// body, no byte came back (RFC 9110 §9.2.2, RFC 9112 §9.3.1), and it was not read: what an upstream has read
    /// and then dropped is a failure of the upstream, for the client to see. `again` is called before that second
    /// sending.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        upstream: &Arc<Upstream>,
        again: impl FnOnce(&mut Request<RequestBody>),
    ) -> Result<Sent, UpstreamError> {
        if let Some(mut lease) = self.take(upstream) {
            let spare = repeatable(&request);
            let before = lease.received.load(Ordering::Relaxed);
            match lease.send(request).await {
                Ok(response) => {
                    return Ok(Sent { response, lease });
                }
                Err(mut failed) => {
                    let silent = lease.received.load(Ordering::Relaxed) == before;
                    let taken = lease.taken.load(Ordering::Relaxed);
                    request = match (failed.take_message(), spare) {
                        (Some(unsent), _) => unsent,
                        (None, Some(spare)) if silent && !taken => spare,
                        (None, _) => return Err(UpstreamError::from_hyper(failed.into_error())),
                    };
                    again(&mut request);
                }
            }
        }
        let mut lease = Lease::open(upstream).await?;
        let response = lease.send(request).await;
        Ok(Sent {
            response: response.map_err(|failed| UpstreamError::from_hyper(failed.into_error()))?,
            lease,
        })
    }

    /// Keeps a connection whose exchange is over, unless there are plenty.
    pub(crate) fn give_back(&self, lease: Lease) {
        let mut idle = self.idle.borrow_mut();
        if lease.can_be_used_again && idle.len() < POOL_CONNECTIONS_MAX {
            idle.push(Idle {
                lease,
                since: Instant::now(),
            });
        }
    }

    /// Closes the connections that were not used for a while, or whose upstream has closed them.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| idle.lease.is_idle() && idle.since.elapsed() < POOL_IDLE_MAX);
    }

    /// The most recently used connection to `upstream` that is still open.
    fn take(&self, upstream: &Arc<Upstream>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut lease, .. }) = idle.pop() {
            // The route may have got another upstream since.
            if Arc::ptr_eq(&lease.upstream, upstream) && lease.is_idle() {
                return Some(lease);
            }
        }
        None
    }
}

/// A copy of the request's head, if sending it twice does no harm. It lacks what hyper keeps of the case of
/// names, which would cost each request more than the rare second sending is worth.
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.body().is_absent() || !request.method().is_idempotent() {
        return None;
    }
    let mut copy = Request::new(RequestBody::absent());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// A pool shared by the connections of one route on one core.
pub(crate) type SharedPool = Rc<Pool>;
