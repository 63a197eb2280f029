//! The client's side of a connection: a socket that knows how it is to end.

mod beneath;

pub(crate) use self::beneath::Over;

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use brownout_fault::FaultReader;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use rustix::net::{Shutdown, shutdown};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep, timeout_at},
};

use self::beneath::Beneath;
use crate::{
    limits::{LINGER_BYTES_MAX, LINGER_TIME_MAX},
    route::Route,
    sys,
};

/// A client's socket, shared by hyper (which reads and writes) and the exchange (which may end it).
///
/// It hands out an `Arc`, not an `Rc`, as hyper wants to be able to send an upgraded connection.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    tcp: TcpStream,
    peer: SocketAddr,
    /// Among the connections of its route, in the order of acceptance.
    number: u64,
    /// Dropping sends an RST; nothing may send a FIN before.
    resetting: AtomicBool,
    /// The client may still be sending when this side closes.
    lingering: AtomicBool,
    /// A tunnel reads and writes it from now on.
    upgrading: AtomicBool,
    /// How often everything written was handed to the kernel.
    flushes: AtomicU64,
    on_flush: AtomicWaker,
    pub(crate) activity: Activity,
    route: Arc<Route>,
    faults: FaultReader,
    /// The mark of the route ([`Route::beneath`]) under which bytes pass as they are; none while they do not.
    untouched_at: AtomicU64,
    /// `None` until a fault of the stream layer meets the connection.
    beneath: Mutex<Option<Box<Beneath>>>,
    /// Wakes the task that serves the connection, as often as it is asked to.
    task: Mutex<Option<Waker>>,
    /// A fault of the stream layer ended it.
    cut: AtomicBool,
    /// Its place among the connections of the process, kept until the socket is closed, also as a tunnel.
    _permit: OwnedSemaphorePermit,
}

impl ClientSocket {
    /// Takes a socket over, counting it among those of `route` until it is dropped.
    pub(crate) fn new(
        tcp: TcpStream,
        peer: SocketAddr,
        number: u64,
        route: &Arc<Route>,
        faults: FaultReader,
        permit: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let socket = Arc::new(Self {
            tcp,
            peer,
            number,
            resetting: AtomicBool::new(false),
            lingering: AtomicBool::new(false),
            upgrading: AtomicBool::new(false),
            flushes: AtomicU64::new(0),
            on_flush: AtomicWaker::new(),
            activity: Activity::new(),
            route: Arc::clone(route),
            faults,
            untouched_at: AtomicU64::new(Route::UNTOUCHED),
            beneath: Mutex::default(),
            task: Mutex::default(),
            cut: AtomicBool::new(false),
            _permit: permit,
        });
        route.open(&socket);
        socket
    }

    fn count_flush(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.on_flush.wake();
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Writes bytes past hyper. All that hyper held must have been [flushed](Self::flushed) before.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = |tcp: &TcpStream| tcp.try_write(bytes);
            let written = std::future::poll_fn(|cx| self.poll_write(cx, bytes, write)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Makes the close of this socket a reset (RST). Nothing more is sent, no FIN either.
    ///
    /// The reset goes out when the last owner drops the socket, at once after the exchange fails.
    pub(crate) fn reset_on_close(&self) {
        self.resetting.store(true, Ordering::Relaxed);
        if let Err(error) = self.tcp.set_zero_linger() {
            tracing::warn!(%error, peer = %self.peer, "could not make the close a reset");
        }
    }

    /// Makes the close of this socket an orderly one that first reads what the client still sends.
    pub(crate) fn linger_on_close(&self) {
        self.lingering.store(true, Ordering::Relaxed);
    }

    /// Says that hyper hands it over to a tunnel behind the answer to come.
    pub(crate) fn hand_over(&self) {
        self.upgrading.store(true, Ordering::Relaxed);
    }

    /// Whether what was written is still to be sent by the task that served it: neither is it lost in a reset, nor
    /// does a tunnel, in another task, see to it.
    pub(crate) fn is_ours_to_drain(&self) -> bool {
        !self.upgrading.load(Ordering::Relaxed) && !self.resetting.load(Ordering::Relaxed)
    }

    /// Waits until everything sent before has reached the client, for at most `limit`.
    ///
    /// That is: until hyper has written all it holds, and the kernel's send queue is acknowledged. hyper
    /// throws away what it holds when an exchange fails, and a reset throws away the send queue; without
    /// this wait an answer to an earlier, pipelined request would be cut.
    pub(crate) async fn settled(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let acknowledged = async {
            self.flushed().await;
            self.acknowledged().await;
        };
        if timeout_at(deadline, acknowledged).await.is_err() {
            tracing::debug!(peer = %self.peer, "the client did not take all that was sent in time");
        }
    }

    async fn acknowledged(&self) {
        sys::acknowledged(&self.tcp).await;
    }

    /// Waits until hyper has handed everything it holds to the kernel.
    pub(crate) async fn flushed(&self) {
        let mark = self.flush_mark();
        std::future::poll_fn(|cx| self.poll_flushed(mark, cx)).await;
    }

    /// A mark for [`poll_flushed`](Self::poll_flushed).
    pub(crate) fn flush_mark(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Ready once hyper's buffer was empty at some time after `mark` was taken.
    ///
    /// hyper flushes after each time it polls an exchange or a body, in the same task.
    pub(crate) fn poll_flushed(&self, mark: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.on_flush.register(cx.waker());
        if self.flushes.load(Ordering::Relaxed) == mark {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Waits until the client has closed its side or the connection broke.
    ///
    /// hyper sees that only while it reads, which it does not while unread bytes are queued, be it a body
    /// that nobody asks for or a pipelined request.
    pub(crate) async fn left(&self) {
        /// While unread bytes keep the socket ready no event tells of the close behind them: look now and then.
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        while let Ok(ready) = self.tcp.ready(Interest::READABLE).await
            && !(ready.is_read_closed() && self.end_has_come())
        {
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                // A fault may hold the end of the stream, but not that there is nobody any more.
                _ = self.tcp.ready(Interest::ERROR), if ready.is_read_closed() => return,
            }
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        if self.is_untouched() {
            let before = buf.filled().len();
            let read = ready!(self.poll_read_directly(cx, buf))?;
            if self.is_untouched() {
                return Poll::Ready(Ok(read));
            }
            // What arrives after a fault was armed must meet it, and these may have.
            let bytes = Bytes::copy_from_slice(&buf.filled()[before..]);
            buf.set_filled(before);
            self.beneath(|beneath| beneath.arrive(bytes));
        }
        self.beneath(|beneath| beneath.poll_read(self, cx, buf))
    }

    fn poll_read_directly(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tcp.try_read_buf(buf) {
                Ok(read) => {
                    if 0 < read && buf.remaining() > 0 {
                        self.nothing_more_to_read();
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// A read that left room in its buffer took all there was (epoll(7), question 9). tokio's own `AsyncRead`
    /// knows that, `try_read_buf` does not and would ask the kernel once more for each request.
    fn nothing_more_to_read(&self) {
        let empty: io::Result<()> = self
            .tcp
            .try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
        debug_assert!(empty.is_err());
    }

    /// Writes some of `bytes`: by `write`, unless faults of the stream layer are to see them.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.is_untouched() {
            return self.poll_write_directly(cx, write);
        }
        self.beneath(|beneath| beneath.poll_write(self, cx, bytes))
    }

    fn poll_write_directly(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match write(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        self.route.close(self.number);
    }
}

/// What a connection is busy with, for its timers.
#[derive(Debug)]
pub(crate) struct Activity {
    epoch: Instant,
    /// Milliseconds since `epoch`, times four, plus the state.
    packed: AtomicU64,
}

/// See [`Activity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// A request's head has begun to arrive, or the connection is new.
    Head,
    /// A request is being served.
    Exchange,
    /// Nothing, since the end of the last exchange.
    Idle,
}

impl Activity {
    fn new() -> Self {
        Self {
            epoch: Instant::now(),
            packed: AtomicU64::new(Doing::Head as u64),
        }
    }

    /// What the connection does, and since when.
    pub(crate) fn now(&self) -> (Doing, Instant) {
        let packed = self.packed.load(Ordering::Relaxed);
        let doing = match packed % 4 {
            0 => Doing::Head,
            1 => Doing::Exchange,
            _ => Doing::Idle,
        };
        (doing, self.epoch + Duration::from_millis(packed / 4))
    }

    pub(crate) fn set(&self, doing: Doing, at: std::time::Instant) {
        let since = Instant::from_std(at).saturating_duration_since(self.epoch);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 4);
        self.packed
            .store(millis * 4 + doing as u64, Ordering::Relaxed);
    }

    fn bytes_came(&self) {
        if self.packed.load(Ordering::Relaxed) % 4 == Doing::Idle as u64 {
            self.set(Doing::Head, std::time::Instant::now());
        }
    }
}

/// What hyper sees of a [`ClientSocket`].
#[derive(Debug)]
pub(crate) struct ClientIo {
    socket: Arc<ClientSocket>,
    closing: Option<Linger>,
}

/// A close that reads on for a while, so that the client gets its answer before it learns that its own
/// bytes are no longer wanted (RFC 9112 §9.6).
#[derive(Debug)]
struct Linger {
    deadline: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl Linger {
    fn new() -> Self {
        Self {
            deadline: Box::pin(sleep(LINGER_TIME_MAX)),
            bytes_left: LINGER_BYTES_MAX,
        }
    }

    fn poll(&mut self, socket: &ClientSocket, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 16 * 1024];
        while self.bytes_left > 0 && self.deadline.as_mut().poll(cx).is_pending() {
            match ready!(socket.poll_read_directly(cx, &mut ReadBuf::new(&mut scratch))) {
                Ok(0) | Err(_) => break,
                Ok(read) => self.bytes_left = self.bytes_left.saturating_sub(read),
            }
        }
        Poll::Ready(())
    }
}

impl ClientIo {
    pub(crate) fn new(socket: Arc<ClientSocket>) -> Self {
        Self {
            socket,
            closing: None,
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.socket.poll_read(cx, buf))?;
        if read > 0 {
            self.socket.activity.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, buf, |tcp| tcp.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        let first = first.map_or(&[][..], |buf| &**buf);
        self.socket.poll_write(cx, first, |tcp| match bufs {
            // send(2) is cheaper than writev(2).
            [one] => tcp.try_write(one),
            several => tcp.try_write_vectored(several),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper calls this whenever it has handed over all it held.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = &self.socket;
        if socket.is_untouched() {
            socket.count_flush();
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(socket.beneath(|beneath| beneath.flush(socket, cx)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.socket.resetting.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        if this.closing.is_none() {
            let socket = &this.socket;
            if socket.is_untouched() {
                shutdown(&socket.tcp, Shutdown::Write)?;
            } else {
                ready!(socket.beneath(|beneath| beneath.poll_shutdown(socket, cx)))?;
            }
            if !this.socket.lingering.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.closing.get_or_insert_with(Linger::new);
        ready!(linger.poll(&this.socket, cx));
        Poll::Ready(Ok(()))
    }
}
