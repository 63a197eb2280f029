//! Both directions of a connection with the faults of the stream layer on them.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use brownout_fault::{Direction, FaultReader};
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use tokio::{io::Interest, net::TcpStream};

use super::{LayerParts, LayeredTcp, StreamEnd};
use crate::{
    limits::DRAIN,
    shaping::{StreamNext, StreamShaper},
    timer::Sleep,
    transport::tcp::{poll_read, poll_write, shutdown},
};

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

/// Both directions of a connection, from when a fault of the stream layer first met it.
///
/// Bytes are read only when the engine asks for some, and taken from the engine as long as there is room. What comes due
/// by itself is moved by [`poll_drive`](Self::poll_drive).
#[derive(Debug)]
pub(super) struct Layer {
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

impl Layer {
    pub(super) fn new(tcp: &LayeredTcp) -> Self {
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

    pub(super) fn refresh(&mut self, reader: &FaultReader) {
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
            && self.client_eof != Eof::Held
            && self.our_eof != Eof::Held
            && self.end.is_none()
    }

    /// Whether the client's end is still held by a fault.
    pub(super) fn holds_eof(&self) -> bool {
        self.client_eof != Eof::Passed && !self.from_client.is_passthrough()
    }

    /// Whether a fault is what the connection waits for, in either direction.
    pub(super) fn holds_up(&self) -> bool {
        self.from_client.is_pausing()
            || self.to_client.is_pausing()
            || !self.arrived.is_empty()
            || !self.unwritten.is_empty()
    }

    /// Whether a fault holds up the connection and nothing that is held comes due by itself.
    fn is_stuck(&self) -> bool {
        self.holds_up()
            && self.from_client.held_until().is_none()
            && self.to_client.held_until().is_none()
            && self.unwritten.is_empty()
            && self.arrived.is_empty()
    }

    /// Whether everything that was written is with the kernel.
    fn is_drained(&self) -> bool {
        self.unwritten.is_empty() && !self.to_client.is_holding()
    }

    /// Moves what comes due by itself, and says so when a fault ends the connection. The task is woken when there is
    /// more to do.
    pub(super) fn poll_drive(&mut self, tcp: &LayeredTcp, cx: &mut Context<'_>) -> Poll<StreamEnd> {
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
        let mut look_again = None;
        if self.is_stuck() {
            if has_closed(&tcp.tcp) {
                return Poll::Ready(StreamEnd::ClientGone);
            }
            /// A close behind bytes that are not read is no event: look now and then.
            const LOOK_AGAIN: Duration = Duration::from_millis(250);
            look_again = Some(Instant::now() + LOOK_AGAIN);
        }
        if let Some(due) = due.into_iter().chain([look_again]).flatten().min() {
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

    pub(super) fn poll_read(
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
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
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

    pub(super) fn poll_write(
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

    pub(super) fn poll_flush(
        &mut self,
        tcp: &LayeredTcp,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let flushed = self.poll_out(tcp, cx);
        self.is_waited_for |= flushed.is_pending();
        flushed
    }

    /// Lets the end follow what is held.
    pub(super) fn poll_shutdown(
        &mut self,
        tcp: &LayeredTcp,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
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
    pub(super) fn poll_out(
        &mut self,
        tcp: &LayeredTcp,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
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

    /// How long what was sent may take to arrive before the end.
    pub(super) fn drain_limit(&self) -> Duration {
        let shapers = [&self.from_client, &self.to_client];
        let limits = shapers.map(StreamShaper::drain_limit);
        limits.into_iter().min().unwrap_or(DRAIN)
    }

    /// What is left of it, for another that carries the connection on.
    pub(super) fn into_parts(self) -> LayerParts {
        LayerParts {
            from_client: self.from_client,
            to_client: self.to_client,
            arrived: self.arrived,
            unwritten: self.unwritten,
            has_ended: self.client_eof != Eof::NotYet,
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

/// Whether the other side has closed its sending side, also behind bytes that were not read.
fn has_closed(tcp: &TcpStream) -> bool {
    let ready = tcp.ready(Interest::READABLE).now_or_never();
    ready.is_some_and(|ready| ready.is_ok_and(tokio::io::Ready::is_read_closed))
}
