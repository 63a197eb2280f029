//! Faults of the stream layer on an HTTP connection: they lie between the socket and the HTTP engine.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use brownout_fault::{Direction, FaultReader};
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::tcp::{poll_read, poll_read_again, poll_write, shutdown};
use crate::{
    limits::{DRAIN, GRACE},
    route::Route,
    scope::Scope,
    shaping::{PlanChanges, StreamNext, StreamShaper},
    sys,
    timer::{Sleep, Timer},
};

/// How a fault of the stream layer ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    Reset,
    /// In good order.
    Close,
}

/// The end of what one side sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eof {
    /// It has more to send.
    NotYet,
    /// It has sent all, and faults hold the end.
    Held,
    /// The other side has been told.
    Passed,
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

/// Both directions of a connection, from when a fault of the stream layer first met it.
///
/// Bytes are read only when the engine asks for some, and taken from the engine as long as there is room. What comes due
/// by itself is moved by [`poll_drive`](Self::poll_drive).
#[derive(Debug)]
struct Layer {
    from_client: StreamShaper,
    to_client: StreamShaper,
    /// Through the faults, and not read by the engine yet.
    arrived: Bytes,
    client_eof: Eof,
    /// Through the faults, and not taken by the kernel yet.
    unwritten: Bytes,
    our_eof: Eof,
    /// The engine waits until there is room, or until all is with the kernel.
    is_waited_for: bool,
    end: Option<StreamEnd>,
    /// When bytes that the client does not take no longer hold up the end of the connection.
    give_up_at: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

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

impl Layer {
    fn new(tcp: &LayeredTcp) -> Self {
        let flow = |direction| StreamShaper::new(&tcp.route, tcp.peer, tcp.number, direction);
        Self {
            from_client: flow(Direction::Upstream),
            to_client: flow(Direction::Downstream),
            arrived: Bytes::new(),
            client_eof: Eof::NotYet,
            unwritten: Bytes::new(),
            our_eof: Eof::NotYet,
            is_waited_for: false,
            end: None,
            give_up_at: None,
            alarm: None,
        }
    }

    fn refresh(&mut self, reader: &FaultReader) {
        self.from_client.refresh(reader);
        self.to_client.refresh(reader);
    }

    /// Whether bytes may pass as if it were not there, until something else is armed.
    fn is_bare(&self) -> bool {
        let bare = |flow: &StreamShaper| flow.is_passthrough() && flow.next_due().is_none();
        bare(&self.from_client)
            && bare(&self.to_client)
            && self.arrived.is_empty()
            && self.unwritten.is_empty()
            && self.client_eof != Eof::Held
            && self.our_eof != Eof::Held
            && self.end.is_none()
    }

    /// Whether the client's end is still held by a fault.
    fn holds_eof(&self) -> bool {
        self.client_eof != Eof::Passed && !self.from_client.is_passthrough()
    }

    /// Whether a fault is what the connection waits for, in either direction.
    fn holds_up(&self) -> bool {
        self.from_client.is_pausing()
            || self.to_client.is_pausing()
            || !self.arrived.is_empty()
            || !self.unwritten.is_empty()
    }

    /// Whether everything that was written is with the kernel.
    fn is_drained(&self) -> bool {
        self.unwritten.is_empty() && !self.to_client.is_holding()
    }

    /// Moves what comes due by itself, and says so when a fault ends the connection. The task is woken when there is
    /// more to do.
    fn poll_drive(&mut self, tcp: &LayeredTcp, cx: &mut Context<'_>) -> Poll<StreamEnd> {
        if self.end.is_none() && self.arrived.is_empty() && self.client_eof != Eof::Passed {
            self.pull();
            if !self.arrived.is_empty() || self.client_eof == Eof::Passed {
                cx.waker().wake_by_ref(); // The engine has had its turn already.
            }
        }
        let our_eof = self.our_eof;
        // What is wrong with the socket the engine learns at its next write.
        let written: Poll<io::Result<()>> = self.poll_out(tcp, cx);
        if let Some(end) = self.end {
            return Poll::Ready(end);
        }
        let moved = self.takes_more() || written.is_ready();
        if (self.is_waited_for && moved) || our_eof != self.our_eof {
            self.is_waited_for = false;
            cx.waker().wake_by_ref();
        }
        // What the engine does not take holds up what is due behind it: that time may have passed long ago.
        let is_held_up = !self.arrived.is_empty() || self.client_eof == Eof::Passed;
        let from_client = match is_held_up {
            true => self.from_client.schedule_moves_at(),
            false => self.from_client.next_due(),
        };
        let due = [from_client, self.to_client.next_due(), self.give_up_at];
        if let Some(due) = due.into_iter().flatten().min() {
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(tcp.timer.at(due)));
            alarm.reset(due);
            if alarm.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Takes what is through on the way from the client.
    fn pull(&mut self) {
        loop {
            match self.from_client.next() {
                StreamNext::Write(bytes) if bytes.is_empty() => {}
                StreamNext::Write(bytes) => self.arrived = bytes,
                StreamNext::Shutdown => self.client_eof = Eof::Passed,
                StreamNext::Reset => self.end = Some(StreamEnd::Reset),
                StreamNext::Close => self.end = Some(StreamEnd::Close),
                StreamNext::WaitUntil(_) | StreamNext::Idle => return,
            }
            if !self.arrived.is_empty() || self.client_eof == Eof::Passed || self.end.is_some() {
                return;
            }
        }
    }

    fn poll_read(
        &mut self,
        tcp: &LayeredTcp,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.end.is_some() {
                return Poll::Pending;
            }
            if self.arrived.is_empty() && self.client_eof != Eof::Passed {
                self.pull();
            }
            if !self.arrived.is_empty() {
                let taken = self.arrived.len().min(buf.len());
                buf[..taken].copy_from_slice(&self.arrived[..taken]);
                self.arrived.advance(taken);
                return Poll::Ready(Ok(taken));
            }
            if self.client_eof == Eof::Passed {
                return Poll::Ready(Ok(0));
            }
            if self.client_eof == Eof::Held || !self.from_client.has_room() {
                return Poll::Pending;
            }
            let mut scratch = [0; 16 * 1024];
            let read = ready!(poll_read(&tcp.tcp, cx, &mut scratch))?;
            // Only now: what arrives after a fault was armed must meet it.
            self.refresh(&tcp.faults);
            self.arrive(&scratch[..read]);
        }
    }

    /// Takes what was read from the client; nothing is the end.
    fn arrive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.client_eof = Eof::Held;
            self.from_client.end();
        } else {
            self.from_client.push(Bytes::copy_from_slice(bytes));
        }
    }

    fn takes_more(&self) -> bool {
        let is_stuck = self.to_client.is_passthrough() && !self.unwritten.is_empty();
        self.to_client.has_room() && !is_stuck
    }

    fn poll_write(
        &mut self,
        tcp: &LayeredTcp,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        /// As much as is taken at once.
        const CHUNK: usize = 64 * 1024;
        if let Poll::Ready(Err(error)) = self.poll_out(tcp, cx) {
            return Poll::Ready(Err(error));
        }
        if self.end.is_some() || !self.takes_more() {
            self.is_waited_for = true;
            return Poll::Pending;
        }
        let taken = bytes.len().min(CHUNK);
        self.to_client.push(Bytes::copy_from_slice(&bytes[..taken]));
        match self.poll_out(tcp, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(&mut self, tcp: &LayeredTcp, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_out(tcp, cx);
        self.is_waited_for |= flushed.is_pending();
        flushed
    }

    /// Lets the end follow what is held.
    fn poll_shutdown(&mut self, tcp: &LayeredTcp, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.our_eof == Eof::NotYet {
            self.our_eof = Eof::Held;
            self.to_client.end();
        }
        ready!(self.poll_out(tcp, cx))?;
        if self.our_eof == Eof::Passed {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Writes what is through; ready once nothing is held.
    fn poll_out(&mut self, tcp: &LayeredTcp, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.unwritten.is_empty() {
                match poll_write(&tcp.tcp, cx, &self.unwritten) {
                    Poll::Ready(written) => self.unwritten.advance(written?),
                    Poll::Pending => {
                        self.bound_the_wait();
                        if !self.unwritten.is_empty() {
                            return Poll::Pending;
                        }
                    }
                }
            }
            self.give_up_at = None;
            if self.end.is_some() {
                return Poll::Pending;
            }
            match self.to_client.next() {
                StreamNext::Write(bytes) => self.unwritten = bytes,
                StreamNext::Shutdown => {
                    self.our_eof = Eof::Passed;
                    shutdown(&tcp.tcp, Shutdown::Write)?;
                }
                StreamNext::Reset => self.end = Some(StreamEnd::Reset),
                StreamNext::Close => self.end = Some(StreamEnd::Close),
                StreamNext::WaitUntil(_) | StreamNext::Idle if self.is_drained() => {
                    return Poll::Ready(Ok(()));
                }
                StreamNext::WaitUntil(_) | StreamNext::Idle => return Poll::Pending,
            }
        }
    }

    /// If the client stops reading, later bytes wait. The end of the connection behind them waits for a bounded time only.
    fn bound_the_wait(&mut self) {
        if !self.to_client.is_at_early_end() {
            self.give_up_at = None;
            return;
        }
        let now = Instant::now();
        let limit = now + self.to_client.drain_limit();
        if *self.give_up_at.get_or_insert(limit) <= now {
            self.unwritten.clear();
        }
    }
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
        self.is_cut.set(true);
        end
    }

    /// Waits until everything written is with the kernel, for at most `limit`.
    pub(crate) async fn drained(&self, limit: Duration) {
        let drained = poll_fn(|cx| {
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
        let limit = self.layer.borrow().as_ref().map_or(DRAIN, |layer| {
            let flows = [&layer.from_client, &layer.to_client];
            flows
                .map(StreamShaper::drain_limit)
                .into_iter()
                .min()
                .unwrap_or(DRAIN)
        });
        let mut changes = PlanChanges::of(&self.faults);
        tokio::select! {
            () = sys::acknowledged(&self.tcp) => {}
            () = sleep(limit) => {}
            () = async { changes.changed().await; sleep(GRACE).await } => {}
        }
    }

    /// Hands over what faults of the stream layer hold, for another that carries the connection on.
    pub(crate) fn take_layer(&self) -> LayerParts {
        let layer = self.layer.take();
        self.untouched_at.set(LAYERED);
        let layer = layer.unwrap_or_else(|| Box::new(Layer::new(self)));
        LayerParts {
            from_client: layer.from_client,
            to_client: layer.to_client,
            arrived: layer.arrived,
            unwritten: layer.unwritten,
            has_ended: layer.client_eof != Eof::NotYet,
        }
    }
}
