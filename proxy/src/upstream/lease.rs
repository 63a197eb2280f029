//! A connection in use.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, Version, header::CONNECTION};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::{
        TrySendError,
        http1::{Builder, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::task::coop::unconstrained;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{Upstream, counted::UpstreamIo};
use crate::{body::RequestBody, error::UpstreamError, headers::lists};

/// A connection to an upstream, lent to one exchange at a time. Dropping it closes it, unless it goes
/// [back](super::Pool::give_back).
///
/// It has no task of its own: it moves on when the exchange that has it is polled, which saves two switches of
/// tasks for each message. Nothing else that the exchange waits for of it, be it the answer's head or a part of the
/// body, can come about otherwise, so those waits need no waker.
pub(crate) struct Lease {
    sender: SendRequest<RequestBody>,
    /// `None` once it is over.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
    /// Bytes that ever came from the upstream on this connection.
    pub(super) received: Arc<AtomicU64>,
    /// Whether the upstream had read all that was sent when it closed the connection.
    pub(super) taken: Arc<AtomicBool>,
    /// Whether it speaks another protocol by now.
    switched: Arc<AtomicBool>,
    /// Drives the connection where the exchange alone would not do.
    driver: Option<AbortOnDropHandle<()>>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) can_be_used_again: bool,
}

impl Lease {
    pub(super) async fn open(upstream: &Arc<Upstream>) -> Result<Self, UpstreamError> {
        let received = Arc::new(AtomicU64::new(0));
        let switched = Arc::<AtomicBool>::default();
        let taken = Arc::<AtomicBool>::default();
        let io = UpstreamIo {
            tcp: upstream.connect().await?,
            received: Arc::clone(&received),
            switched: Arc::clone(&switched),
            taken: Arc::clone(&taken),
        };
        let (sender, connection) = Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(UpstreamError::from_hyper)?;
        Ok(Self {
            sender,
            connection: Some(Box::pin(connection.with_upgrades())),
            received,
            taken,
            switched,
            driver: None,
            upstream: Arc::clone(upstream),
            can_be_used_again: true,
        })
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        // Unconstrained: giving way to other tasks would ask the waker that this does not have.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let connection = &mut self.connection;
        let response = poll_fn(|cx| {
            advance(connection, cx);
            answer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        })
        .await?;
        self.can_be_used_again = keeps_alive(&response);
        Ok(response)
    }

    /// The next frame of the answer's body.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if self.driver.is_some() {
            return Pin::new(body).poll_frame(cx);
        }
        let nobody = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(nobody) {
            return Poll::Ready(frame);
        }
        advance(&mut self.connection, cx);
        Pin::new(body).poll_frame(nobody)
    }

    /// Lets the connection move on by itself from now on: an answer came before the request was sent whole, and
    /// the rest shall not have to wait until the client reads. It is of no further use then.
    pub(crate) fn drive(&mut self, tasks: &TaskTracker) {
        self.can_be_used_again = false;
        if let Some(connection) = self.connection.take() {
            let driving = async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "an upstream connection ended");
                }
            };
            self.driver = Some(AbortOnDropHandle::new(tasks.spawn_local(driving)));
        }
    }

    /// Lets the connection end by itself, as one does that has switched protocols.
    pub(crate) async fn finish(mut self) {
        self.switched.store(true, Ordering::Relaxed);
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.await
        {
            tracing::debug!(%error, "an upstream connection ended");
        }
    }

    /// Whether it waits for a request. Looks whether the upstream has closed it.
    pub(super) fn is_idle(&mut self) -> bool {
        advance(
            &mut self.connection,
            &mut Context::from_waker(Waker::noop()),
        );
        self.connection.is_some() && self.sender.is_ready()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

/// Lets a connection do what it can.
fn advance(
    connection: &mut Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
    cx: &mut Context<'_>,
) {
    if let Some(running) = connection
        && let Poll::Ready(ended) = running.as_mut().poll(cx)
    {
        if let Err(error) = ended {
            tracing::debug!(%error, "an upstream connection ended");
        }
        *connection = None;
    }
}

/// Whether the connection of an answer outlives it (RFC 9112 §9.3).
fn keeps_alive<B>(response: &Response<B>) -> bool {
    match response.version() {
        Version::HTTP_11 => !lists(response.headers(), &CONNECTION, "close"),
        _ => lists(response.headers(), &CONNECTION, "keep-alive"),
    }
}
