//! A connection's bytes, as the `h2` crate wants to see them.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::frames::Frames;
use crate::{http1::Input, transport::Transport};

/// Whoever owns a transport.
pub(super) trait HasTransport: Unpin {
    fn transport(&self) -> &Transport;
}

/// Reads what was read before, then from the transport, and writes to the transport.
pub(super) struct Io<T> {
    of: T,
    before: Input,
    turns: Rc<Turns>,
    /// Looks at what goes out.
    frames: Option<Rc<Frames>>,
}

impl<T: HasTransport> Io<T> {
    pub(super) fn new(of: T, before: Input, turns: &Rc<Turns>) -> Self {
        Self {
            of,
            before,
            turns: Rc::clone(turns),
            frames: None,
        }
    }

    /// As [`new`](Self::new), with frames of others between those that are written.
    pub(super) fn with_frames(self, frames: &Rc<Frames>) -> Self {
        Self {
            frames: Some(Rc::clone(frames)),
            ..self
        }
    }

    /// Writes `first` and `second`, or a part.
    fn poll_write_both(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let transport = self.of.transport();
        let written = match &self.frames {
            None => transport.poll_write_both(cx, first, second),
            Some(frames) => frames.poll_write(transport, cx, first, second),
        };
        self.turns.is_blocked.set(written.is_pending());
        written
    }
}

impl<T: HasTransport> AsyncRead for Io<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let taken = self.before.len().min(buf.remaining());
            buf.put_slice(&self.before.bytes()[..taken]);
            self.before.consume(taken);
            return Poll::Ready(Ok(()));
        }
        let transport = self.of.transport();
        ready!(transport.poll_readable(cx))?;
        let read = ready!(transport.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<T: HasTransport> AsyncWrite for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_both(cx, buf, &[])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bufs = bufs.iter().filter(|buf| !buf.is_empty());
        let first = bufs.next().map_or(&[][..], |buf| buf);
        let second = bufs.next().map_or(&[][..], |buf| buf);
        self.poll_write_both(cx, first, second)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let transport = self.of.transport();
        let ours = (self.frames.as_ref()).map_or(Poll::Ready(Ok(())), |frames| {
            frames.poll_ours(transport, cx)
        });
        let flushed = match ours {
            Poll::Ready(Ok(())) => transport.poll_flush(cx),
            waits => waits,
        };
        self.turns.is_blocked.set(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.of.transport().poll_shutdown(cx)
    }
}

/// When the task of a connection has written what its streams gave it. `h2` itself does not tell.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The transport did not take all when it was written to last.
    is_blocked: Cell<bool>,
    /// The connection is over: nothing more is written.
    is_over: Cell<bool>,
    /// Wakes the connection's task.
    connection: RefCell<Option<Waker>>,
    written: Notify,
}

impl Turns {
    /// The connection's task begins a turn.
    pub(super) fn begins(&self, cx: &Context<'_>) {
        let mut connection = self.connection.borrow_mut();
        if !(connection.as_ref()).is_some_and(|waker| waker.will_wake(cx.waker())) {
            *connection = Some(cx.waker().clone());
        }
    }

    /// Whether the transport takes nothing now.
    pub(super) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.set(is_blocked);
    }

    /// The connection's task has given all that it could to the transport.
    pub(super) fn ends(&self) {
        if !self.is_blocked.get() {
            self.written.notify_waiters();
        }
    }

    /// The connection is over.
    pub(super) fn are_over(&self) {
        self.is_over.set(true);
        self.written.notify_waiters();
    }

    /// Wakes the connection's task.
    pub(super) fn wake(&self) {
        if let Some(connection) = &*self.connection.borrow() {
            connection.wake_by_ref();
        }
    }

    /// Waits until what streams have given the connection, within its credit, is with the transport.
    pub(super) async fn written(&self) {
        if self.is_over.get() {
            return;
        }
        let mut written = std::pin::pin!(self.written.notified());
        let mut has_woken = false;
        poll_fn(|cx| {
            let polled = written.as_mut().poll(cx);
            if !has_woken {
                has_woken = true;
                self.wake();
            }
            polled
        })
        .await;
    }
}
