//! Faults of the stream layer on an HTTP connection: they lie between the socket and the HTTP engine.

mod layer;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::{Shutdown, SocketAddr},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use brownout_fault::FaultReader;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use self::layer::Layer;
use super::tcp::{poll_read_again, poll_write, shutdown};
use crate::{
    limits::{DRAIN, GRACE},
    route::Route,
    scope::Scope,
    shaping::{PlanChanges, StreamShaper},
    sys,
    timer::Timer,
};

/// How a fault of the stream layer ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    Reset,
    /// In good order.
    Close,
    /// The client has closed its side, and what a fault holds of the connection has no time at which it goes on.
    ClientGone,
}

/// A client's socket with the stream layer of an HTTP route on it.
///
/// As long as no fault of that layer is armed on the route, a read or write costs one comparison more than on the bare
/// socket. It is a connection's own: everything happens in the task that serves the connection.
#[derive(Debug)]
pub(crate) struct LayeredTcp {
    tcp: TcpStream,
    peer: SocketAddr,
    number: u64,
    route: Arc<Route>,
    faults: FaultReader,
    timer: Timer,
    /// The mark of the route ([`Route::stream_mark`]) under which bytes pass as they are; [`LAYERED`] while they do not.
    untouched_at: Cell<u64>,
    /// `None` until a fault of the stream layer meets the connection.
    layer: RefCell<Option<Box<Layer>>>,
    /// Woken by the route when other faults are armed.
    waker: Arc<AtomicWaker>,
    /// A fault of the stream layer ended the connection.
    is_cut: Cell<bool>,
}

/// No mark of a route.
const LAYERED: u64 = u64::MAX;

/// What is left of a connection's stream layer when another carries its bytes on.
#[derive(Debug)]
pub(crate) struct LayerParts {
    pub(crate) from_client: StreamShaper,
    pub(crate) to_client: StreamShaper,
    /// Through the faults, and not read yet.
    pub(crate) arrived: Bytes,
    /// Through the faults, and not written yet.
    pub(crate) unwritten: Bytes,
    /// Whether the end of what the client sends was read from the socket.
    pub(crate) has_ended: bool,
}

impl LayeredTcp {
    pub(super) fn new(
        tcp: TcpStream,
        peer: SocketAddr,
        number: u64,
        scope: &Scope,
        waker: Arc<AtomicWaker>,
    ) -> Self {
        Self {
            tcp,
            peer,
            number,
            route: Arc::clone(&scope.route),
            faults: scope.faults.clone(),
            timer: scope.timer.clone(),
            untouched_at: Cell::new(Route::NO_STREAM_FAULT),
            layer: RefCell::default(),
            waker,
            is_cut: Cell::new(false),
        }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Whether bytes pass as they are: no fault of the stream layer is armed on the route, or none that meets this
    /// connection.
    pub(super) fn is_untouched(&self) -> bool {
        self.route.stream_mark() == self.untouched_at.get()
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_untouched() {
            let read = ready!(poll_read_again(&self.tcp, cx, buf))?;
            if self.is_untouched() {
                return Poll::Ready(Ok(read));
            }
            // What arrives after a fault was armed must meet it, and these may have.
            self.with_layer(|layer| layer.arrive(&buf[..read]));
        }
        self.with_layer(|layer| layer.poll_read(self, cx, buf))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_untouched() {
            return poll_write(&self.tcp, cx, bytes);
        }
        self.with_layer(|layer| layer.poll_write(self, cx, bytes))
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_untouched() {
            return Poll::Ready(Ok(()));
        }
        self.with_layer(|layer| layer.poll_flush(self, cx))
    }

    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_untouched() {
            return Poll::Ready(shutdown(&self.tcp, Shutdown::Write));
        }
        self.with_layer(|layer| layer.poll_shutdown(self, cx))
    }

    /// Whether a fault of the stream layer holds something or lets nothing pass: then it is not the client's fault that
    /// nothing comes.
    pub(crate) fn is_held_up(&self) -> bool {
        self.untouched_at.get() == LAYERED
            && (self.layer.borrow().as_ref()).is_some_and(|layer| layer.holds_up())
    }

    /// Whether a fault of the stream layer ended the connection.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    /// Whether no fault of the stream layer holds the end of what the client sends.
    pub(super) fn end_has_come(&self) -> bool {
        self.is_untouched()
            || !(self.layer.borrow().as_ref()).is_some_and(|layer| layer.holds_eof())
    }

    /// Lets `act` work on the layer with the faults that are armed now.
    #[cold]
    fn with_layer<T>(&self, act: impl FnOnce(&mut Layer) -> T) -> T {
        // Before the look: what is armed meanwhile is looked at the next time.
        let mark = self.route.stream_mark();
        let mut slot = self.layer.borrow_mut();
        let layer = slot.get_or_insert_with(|| Box::new(Layer::new(self)));
        layer.refresh(&self.faults);
        let done = act(layer);
        let untouched = if layer.is_bare() { mark } else { LAYERED };
        self.untouched_at.set(untouched);
        if untouched == Route::NO_STREAM_FAULT {
            *slot = None;
        }
        done
    }

    /// Moves what faults of the stream layer hold, and ends when one of them ends the connection. To be polled after
    /// whatever reads and writes in the same task: it waits for what they left.
    pub(crate) async fn ended_by_fault(&self) -> StreamEnd {
        let end = poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.is_untouched() {
                return Poll::Pending;
            }
            self.with_layer(|layer| layer.poll_drive(self, cx))
        });
        let end = end.await;
        self.is_cut.set(end != StreamEnd::ClientGone);
        end
    }

    /// Waits until everything written is with the kernel, for at most `limit`.
    pub(crate) async fn drained(&self, limit: Duration) {
        let drained = poll_fn(|cx| {
            // Each change that is armed meanwhile wakes the task, not the first alone.
            self.waker.register(cx.waker());
            if self.is_untouched() {
                return Poll::Ready(());
            }
            self.with_layer(|layer| match layer.poll_drive(self, cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => layer.poll_out(self, cx).map(drop),
            })
        });
        if timeout(limit, drained).await.is_err() {
            tracing::debug!(peer = %self.peer, "what faults held was not sent in time");
        }
    }

    /// Waits until what the kernel was given has reached the client, within bounds; for less long once something else is
    /// armed.
    pub(crate) async fn arrived(&self) {
        let limit = self.drain_limit();
        let mut changes = PlanChanges::of(&self.faults);
        tokio::select! {
            () = sys::acknowledged(&self.tcp) => {}
            () = sleep(limit) => {}
            () = async { changes.changed().await; sleep(GRACE).await } => {}
        }
    }

    fn drain_limit(&self) -> Duration {
        let layer = self.layer.borrow();
        layer.as_ref().map_or(DRAIN, |layer| layer.drain_limit())
    }

    /// Hands over what faults of the stream layer hold, for another that carries the connection on.
    pub(crate) fn take_layer(&self) -> LayerParts {
        let layer = self.layer.take();
        self.untouched_at.set(LAYERED);
        let layer = layer.unwrap_or_else(|| Box::new(Layer::new(self)));
        layer.into_parts()
    }
}
