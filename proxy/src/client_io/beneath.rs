//! Beneath HTTP: the bytes between a client and the proxy, with the faults of the stream layer on them.

use std::{
    io,
    pin::Pin,
    sync::{MutexGuard, PoisonError, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use brownout_fault::{Direction, FaultReader};
use bytes::{Buf, Bytes};
use rustix::net::{Shutdown, shutdown};
use tokio::{
    io::ReadBuf,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};

use super::ClientSocket;
use crate::{
    limits::{DRAIN, GRACE},
    route::Route,
    shaping::{PlanChanges, StreamNext, StreamShaper},
};

/// How a fault ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Reset,
    /// In good order.
    Close,
}

/// The end of what one side says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has more to say.
    Open,
    /// It has said all, and faults hold that.
    Held,
    /// The other side knows.
    Out,
}

/// Both directions of a connection, from when a fault of the stream layer first met it.
///
/// Bytes are read only when hyper asks for some, and taken from hyper as long as there is room. What comes due by
/// itself is moved by [`poll_drive`](Self::poll_drive), in the task of the connection.
#[derive(Debug)]
pub(super) struct Beneath {
    from_client: StreamShaper,
    to_client: StreamShaper,
    /// Through the faults, and not read by hyper yet.
    arrived: Bytes,
    /// The client's.
    their_end: End,
    /// Through the faults, and not taken by the kernel yet.
    unwritten: Bytes,
    /// hyper's.
    our_end: End,
    /// hyper waits until there is room.
    write_waits: bool,
    /// hyper has flushed what is still held here.
    owes_flush: bool,
    over: Option<Over>,
    /// When bytes that nobody takes hold up the end of the connection no longer.
    patience: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Beneath {
    pub(super) fn new(socket: &ClientSocket) -> Self {
        let flow =
            |direction| StreamShaper::new(&socket.route, socket.peer, socket.number, direction);
        Self {
            from_client: flow(Direction::Upstream),
            to_client: flow(Direction::Downstream),
            arrived: Bytes::new(),
            their_end: End::Open,
            unwritten: Bytes::new(),
            our_end: End::Open,
            write_waits: false,
            owes_flush: false,
            over: None,
            patience: None,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    pub(super) fn look(&mut self, reader: &FaultReader) {
        self.from_client.refresh(reader);
        self.to_client.refresh(reader);
    }

    /// Whether bytes may pass as if it were not there, until something else is armed.
    pub(super) fn is_bare(&self) -> bool {
        let bare = |flow: &StreamShaper| flow.is_passthrough() && flow.next_due().is_none();
        bare(&self.from_client)
            && bare(&self.to_client)
            && self.arrived.is_empty()
            && self.unwritten.is_empty()
            && self.over.is_none()
    }

    /// Whether the client's end is still to come out.
    pub(super) fn holds_end(&self) -> bool {
        self.their_end != End::Out && !self.from_client.is_passthrough()
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
    pub(super) fn poll_drive(&mut self, socket: &ClientSocket, cx: &mut Context<'_>) -> Poll<Over> {
        if self.over.is_none() && self.arrived.is_empty() && self.their_end != End::Out {
            self.pull();
            if !self.arrived.is_empty() || self.their_end == End::Out {
                cx.waker().wake_by_ref(); // hyper has had its turn already.
            }
        }
        let our_end = self.our_end;
        // What is wrong with the socket hyper learns at its next write.
        let _broken: Poll<io::Result<()>> = self.poll_out(socket, cx);
        if let Some(over) = self.over {
            return Poll::Ready(over);
        }
        if (self.write_waits && self.takes_more()) || our_end != self.our_end {
            self.write_waits = false;
            cx.waker().wake_by_ref();
        }
        // What hyper does not take holds up what is due behind it: that time may be past for long.
        let is_held_up = !self.arrived.is_empty() || self.their_end == End::Out;
        let from_client = match is_held_up {
            true => self.from_client.schedule_moves_at(),
            false => self.from_client.next_due(),
        };
        let due = [from_client, self.to_client.next_due()]
            .into_iter()
            .flatten();
        let due = due.map(Instant::from_std).chain(self.patience);
        if let Some(due) = due.min() {
            if self.timer.deadline() != due {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(cx).is_ready() {
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
                StreamNext::Shutdown => self.their_end = End::Out,
                StreamNext::Reset => self.over = Some(Over::Reset),
                StreamNext::Close => self.over = Some(Over::Close),
                StreamNext::WaitUntil(_) | StreamNext::Idle => return,
            }
            if !self.arrived.is_empty() || self.their_end == End::Out || self.over.is_some() {
                return;
            }
        }
    }

    pub(super) fn poll_read(
        &mut self,
        socket: &ClientSocket,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.over.is_some() {
                return Poll::Pending;
            }
            if self.arrived.is_empty() && self.their_end != End::Out {
                self.pull();
            }
            if !self.arrived.is_empty() {
                let taken = self.arrived.len().min(buf.remaining());
                buf.put_slice(&self.arrived[..taken]);
                self.arrived.advance(taken);
                return Poll::Ready(Ok(taken));
            }
            if self.their_end == End::Out {
                return Poll::Ready(Ok(0));
            }
            if self.their_end == End::Held || !self.from_client.has_room() {
                return Poll::Pending;
            }
            let mut scratch = [0; 16 * 1024];
            let read = ready!(socket.poll_read_directly(cx, &mut ReadBuf::new(&mut scratch)))?;
            // Only now: what arrives after a fault was armed must meet it.
            self.look(&socket.faults);
            self.arrive(Bytes::copy_from_slice(&scratch[..read]));
        }
    }

    /// Takes what was read from the client; nothing is the end.
    pub(super) fn arrive(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            self.their_end = End::Held;
            self.from_client.end();
        } else {
            self.from_client.push(bytes);
        }
    }

    fn takes_more(&self) -> bool {
        let is_stuck = self.to_client.is_passthrough() && !self.unwritten.is_empty();
        self.to_client.has_room() && !is_stuck
    }

    pub(super) fn poll_write(
        &mut self,
        socket: &ClientSocket,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        /// As much as is taken at once.
        const CHUNK: usize = 64 * 1024;
        if let Poll::Ready(Err(error)) = self.poll_out(socket, cx) {
            return Poll::Ready(Err(error));
        }
        if self.over.is_some() || !self.takes_more() {
            self.write_waits = true;
            return Poll::Pending;
        }
        let taken = bytes.len().min(CHUNK);
        self.to_client.push(Bytes::copy_from_slice(&bytes[..taken]));
        match self.poll_out(socket, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    /// Everything that hyper held is here. It counts as flushed once it is with the kernel.
    pub(super) fn flush(&mut self, socket: &ClientSocket, cx: &mut Context<'_>) -> io::Result<()> {
        self.owes_flush = true;
        match self.poll_out(socket, cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Lets the end follow what is held.
    pub(super) fn poll_shutdown(
        &mut self,
        socket: &ClientSocket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.our_end == End::Open {
            self.our_end = End::Held;
            self.to_client.end();
        }
        ready!(self.poll_out(socket, cx))?;
        if self.our_end == End::Out {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Writes what is through; ready once nothing is held.
    pub(super) fn poll_out(
        &mut self,
        socket: &ClientSocket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.unwritten.is_empty() {
                let unwritten = &self.unwritten;
                match socket.poll_write_directly(cx, |tcp| tcp.try_write(unwritten)) {
                    Poll::Ready(written) => self.unwritten.advance(written?),
                    Poll::Pending => {
                        self.bound_patience();
                        if !self.unwritten.is_empty() {
                            return Poll::Pending;
                        }
                    }
                }
            }
            self.patience = None;
            if self.over.is_some() {
                return Poll::Pending;
            }
            match self.to_client.next() {
                StreamNext::Write(bytes) => self.unwritten = bytes,
                StreamNext::Shutdown => {
                    self.our_end = End::Out;
                    shutdown(&socket.tcp, Shutdown::Write)?;
                }
                StreamNext::Reset => self.over = Some(Over::Reset),
                StreamNext::Close => self.over = Some(Over::Close),
                StreamNext::WaitUntil(_) | StreamNext::Idle if self.is_drained() => {
                    if std::mem::take(&mut self.owes_flush) {
                        socket.count_flush();
                    }
                    return Poll::Ready(Ok(()));
                }
                StreamNext::WaitUntil(_) | StreamNext::Idle => return Poll::Pending,
            }
        }
    }

    /// If the client stops reading, later bytes wait. A reset or close by a fault waits only for the drain limit.
    fn bound_patience(&mut self) {
        if !self.to_client.is_at_early_end() {
            self.patience = None;
            return;
        }
        let now = Instant::now();
        if *self
            .patience
            .get_or_insert(now + self.to_client.drain_limit())
            <= now
        {
            self.unwritten.clear();
        }
    }
}

/// No mark of a route.
const LAYERED: u64 = u64::MAX;

impl ClientSocket {
    /// Whether bytes pass as they are: nothing of the stream layer is armed on the route, or nothing that meets this
    /// connection. All that such a connection pays.
    pub(super) fn is_untouched(&self) -> bool {
        self.route.beneath() == self.untouched_at.load(Ordering::Relaxed)
    }

    /// Whether a fault of the stream layer holds something of it or lets nothing pass: then it is no fault of the
    /// client's that nothing comes.
    pub(crate) fn is_held_up(&self) -> bool {
        self.untouched_at.load(Ordering::Relaxed) == LAYERED
            && self
                .lock()
                .as_ref()
                .is_some_and(|beneath| beneath.holds_up())
    }

    /// Whether a fault of the stream layer ended it.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Lets `act` work on the stream layer as it is armed now.
    #[cold]
    pub(super) fn beneath<T>(&self, act: impl FnOnce(&mut Beneath) -> T) -> T {
        // Before the look: what is armed meanwhile is looked at the next time.
        let mark = self.route.beneath();
        let mut guard = self.lock();
        let beneath = guard.get_or_insert_with(|| Box::new(Beneath::new(self)));
        beneath.look(&self.faults);
        let done = act(beneath);
        let untouched = if beneath.is_bare() { mark } else { LAYERED };
        self.untouched_at.store(untouched, Ordering::Relaxed);
        if untouched == Route::UNTOUCHED {
            *guard = None;
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Beneath>>> {
        self.beneath.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the task of the connection look at what is armed.
    pub(crate) fn wake(&self) {
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }

    /// Moves what faults of the stream layer hold, and ends when one of them ends the connection. To be polled in the
    /// task that reads and writes.
    pub(crate) async fn over(&self) -> Over {
        let mut is_known = false;
        let over = std::future::poll_fn(|cx| {
            if !is_known {
                is_known = true;
                let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
                *task = Some(cx.waker().clone());
            }
            if self.is_untouched() {
                return Poll::Pending;
            }
            self.beneath(|beneath| beneath.poll_drive(self, cx))
        });
        let over = over.await;
        self.cut.store(true, Ordering::Relaxed);
        over
    }

    /// Waits until everything written is with the kernel, for at most `limit`.
    pub(crate) async fn drained(&self, limit: Duration) {
        let drained = std::future::poll_fn(|cx| {
            if self.is_untouched() {
                return Poll::Ready(());
            }
            self.beneath(|beneath| match beneath.poll_drive(self, cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => beneath.poll_out(self, cx).map(drop),
            })
        });
        if timeout(limit, drained).await.is_err() {
            tracing::debug!(peer = %self.peer, "what faults held was not sent in time");
        }
    }

    /// Whether no fault of the stream layer holds the client's end.
    pub(super) fn end_has_come(&self) -> bool {
        self.is_untouched()
            || !self
                .lock()
                .as_ref()
                .is_some_and(|beneath| beneath.holds_end())
    }

    /// Waits until what the kernel was given has reached the client, within bounds; for less long once something
    /// else is armed.
    pub(crate) async fn arrived(&self) {
        let patience = self.lock().as_ref().map_or(DRAIN, |beneath| {
            let flows = [&beneath.from_client, &beneath.to_client];
            flows
                .map(StreamShaper::drain_limit)
                .into_iter()
                .min()
                .unwrap_or(DRAIN)
        });
        let mut changes = PlanChanges::of(&self.faults);
        tokio::select! {
            () = self.acknowledged() => {}
            () = sleep(patience) => {}
            () = async { changes.changed().await; sleep(GRACE).await } => {}
        }
    }
}

#[cfg(test)]
mod tests;
