//! An upstream's socket, counting what comes back.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use crate::sys;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The upstream's socket, counting what comes back.
///
/// An upstream may answer early and close while the request's body is still being sent (413, say). hyper gives up
/// at the first failed write and so would lose that answer; here a failed write is forgotten, and what is read
/// next tells: the answer, or how the connection broke. Not so once the protocol was switched: then a failed write
/// is how the connection broke.
pub(super) struct UpstreamIo {
    pub(super) tcp: TcpStream,
    pub(super) received: Arc<AtomicU64>,
    pub(super) switched: Arc<AtomicBool>,
    /// Whether the upstream had read all that was sent when it closed the connection.
    pub(super) taken: Arc<AtomicBool>,
}

impl UpstreamIo {
    /// Takes bytes that can no longer be sent as if they were.
    fn forget_broken(
        &self,
        written: Poll<io::Result<usize>>,
        bytes: impl FnOnce() -> usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) && !self.switched.load(Ordering::Relaxed) =>
            {
                Poll::Ready(Ok(bytes()))
            }
            other => other,
        }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if read == 0 && buf.remaining() > 0 {
            // An orderly close: bytes that the upstream had not read would have made it a reset.
            let waiting = sys::unacknowledged_bytes(&self.tcp);
            let taken = waiting.is_ok_and(|bytes| bytes == 0);
            self.taken.store(taken, Ordering::Relaxed);
        }
        self.received.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.forget_broken(written, || buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match bufs {
            // send(2) is cheaper than writev(2).
            [one] => Pin::new(&mut self.tcp).poll_write(cx, one),
            several => Pin::new(&mut self.tcp).poll_write_vectored(cx, several),
        };
        self.forget_broken(written, || bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
