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

use super::{GATHERED_MAX, NOT_GATHERED, frames::Frames};
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
        let sink = self.turns.sink(self.of.transport());
        let written = match &self.frames {
            None => sink.poll_write_both(cx, first, second),
            Some(frames) => frames.poll_write(&sink, cx, first, second),
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

    /// `h2` asks for it behind each DATA frame. What was written goes out when the connection's task [has its turn
    /// behind it](Turns::poll_flush).
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let transport = self.of.transport();
        ready!(self.turns.poll_flush(transport, self.frames.as_deref(), cx))?;
        transport.poll_shutdown(cx)
    }
}

/// Small frames that go out together: `h2` would write each DATA frame by itself.
#[derive(Debug, Default)]
struct Gathered(RefCell<Vec<u8>>);

/// A transport, and what goes to it before anything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sink<'a> {
    transport: &'a Transport,
    gathered: &'a Gathered,
}

impl Sink<'_> {
    /// Takes `first` and `second`, or a part: to be written together with what comes behind, or at once where that is much.
    pub(super) fn poll_write_both(
        self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = first.len() + second.len();
        let is_much = length >= NOT_GATHERED;
        if is_much || self.gathered.0.borrow().len() + length > GATHERED_MAX {
            ready!(self.poll_write_out(cx))?;
        }
        if is_much {
            return self.transport.poll_write_both(cx, first, second);
        }
        let mut gathered = self.gathered.0.borrow_mut();
        if gathered.capacity() == 0 {
            // It lasts for a turn, and does not grow: that would copy it.
            gathered.reserve_exact(GATHERED_MAX);
        }
        gathered.extend_from_slice(first);
        gathered.extend_from_slice(second);
        Poll::Ready(Ok(length))
    }

    /// Ready once everything that was gathered is with the transport.
    fn poll_write_out(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.gathered.0.borrow_mut();
        let mut sent = 0;
        let written = loop {
            if sent == gathered.len() {
                break Poll::Ready(Ok(()));
            }
            match self.transport.poll_write(cx, &gathered[sent..]) {
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        match written {
            // A connection that is idle keeps no buffer.
            Poll::Ready(Ok(())) => *gathered = Vec::new(),
            _ => drop(gathered.drain(..sent)),
        }
        written
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
    gathered: Gathered,
}

impl Turns {
    /// The connection's task begins a turn.
    pub(super) fn begins(&self, cx: &Context<'_>) {
        let mut connection = self.connection.borrow_mut();
        if !(connection.as_ref()).is_some_and(|waker| waker.will_wake(cx.waker())) {
            *connection = Some(cx.waker().clone());
        }
    }

    /// Where frames go.
    fn sink<'a>(&'a self, transport: &'a Transport) -> Sink<'a> {
        Sink {
            transport,
            gathered: &self.gathered,
        }
    }

    /// Writes what was gathered in this turn, with frames of others between.
    pub(super) fn poll_flush(
        &self,
        transport: &Transport,
        frames: Option<&Frames>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let sink = self.sink(transport);
        let ours = frames.map_or(Poll::Ready(Ok(())), |frames| frames.poll_ours(&sink, cx));
        let written = match ours {
            Poll::Ready(Ok(())) => sink.poll_write_out(cx),
            waits => waits,
        };
        let flushed = match written {
            Poll::Ready(Ok(())) => transport.poll_flush(cx),
            waits => waits,
        };
        self.is_blocked.set(flushed.is_pending());
        flushed
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn connected() -> (Transport, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (far, _) = listener.accept().await.unwrap();
        (Transport::Plain(near.unwrap()), far)
    }

    async fn write(turns: &Turns, transport: &Transport, bytes: &[u8]) {
        let written = poll_fn(|cx| turns.sink(transport).poll_write_both(cx, bytes, &[])).await;
        assert_eq!(written.unwrap(), bytes.len());
    }

    #[tokio::test]
    async fn small_frames_go_out_together_at_the_end_of_a_turn() {
        let (turns, (transport, mut far)) = (Turns::default(), connected().await);
        for frame in ["one", "two", "three"] {
            write(&turns, &transport, frame.as_bytes()).await;
        }
        assert_eq!(*turns.gathered.0.borrow(), b"onetwothree");

        let flushed = poll_fn(|cx| turns.poll_flush(&transport, None, cx)).await;

        flushed.unwrap();
        let mut came = [0; 11];
        far.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"onetwothree");
        assert_eq!(turns.gathered.0.borrow().capacity(), 0, "no buffer is kept");
    }

    #[tokio::test]
    async fn much_at_once_goes_behind_what_was_gathered() {
        let (turns, (transport, mut far)) = (Turns::default(), connected().await);
        write(&turns, &transport, b"small").await;

        write(&turns, &transport, &[b'x'; NOT_GATHERED]).await;

        let mut came = vec![0; 5 + NOT_GATHERED];
        far.read_exact(&mut came).await.unwrap();
        assert!(came.starts_with(b"smallxxx"));
        assert!(turns.gathered.0.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_owed_no_more_than_is_gathered() {
        let (turns, (transport, _far)) = (Turns::default(), connected().await);
        let sink = turns.sink(&transport);
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = 0;
        while let Poll::Ready(written) = sink.poll_write_both(&mut cx, &[b'x'; 1024], &[]) {
            taken += written.unwrap();
            assert!(taken < 1 << 30, "it is never held up");
        }

        let owed = turns.gathered.0.borrow().len();
        assert!(owed > 0 && owed <= GATHERED_MAX, "{owed}");
        assert!(turns.poll_flush(&transport, None, &mut cx).is_pending());
        assert!(turns.is_blocked.get());
    }
}
