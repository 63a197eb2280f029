//! The bytes of a connection, whoever uses them: the HTTP engine, the pool of upstream connections, the relay.

mod client_socket;
mod ending;
mod stream_layer;
mod tcp;
mod tls;
pub(crate) mod unix;

pub(crate) use self::{
    client_socket::{ClientSocket, Doing},
    ending::{close_in_order, linger, reset_on_close},
    stream_layer::{LayerParts, LayeredTcp, StreamEnd},
    tls::TlsTransport,
};

use std::{
    io,
    net::Shutdown,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use crate::{http2::Stream, sys};

use self::tcp::{poll_read_again, poll_write, poll_write_both, shutdown};

/// A connection's bytes, as they are on the socket, with faults of the stream layer between, or in TLS.
///
/// All of its waits wake the task that polled last, so a connection is served by one task.
#[derive(Debug)]
pub(crate) enum Transport {
    /// What is read and written is what the socket has.
    Plain(TcpStream),
    /// Faults of the stream layer may lie between, now or later.
    Layered(LayeredTcp),
    /// What is read and written is encrypted on one of the others. Boxed, so that the others are no larger for it.
    Tls(Box<TlsTransport>),
    /// A message on a stream of HTTP/2, whose connection has the socket.
    Stream(Stream),
}

impl Transport {
    /// The socket.
    ///
    /// # Panics
    /// On a stream, which has none of its own: its connection has.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Layered(layered) => layered.tcp(),
            Self::Tls(tls) => tls.beneath().tcp(),
            Self::Stream(_) => unreachable!("a stream has no socket of its own"),
        }
    }

    /// Whether bytes pass as they are at this moment, so that they may be moved inside the kernel.
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Layered(layered) => layered.is_untouched(),
            Self::Tls(_) | Self::Stream(_) => false,
        }
    }

    /// Whether it is a stream, and the other side has said that it did nothing with what it was sent (RFC 9113 §8.7).
    pub(crate) fn was_refused(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.was_refused())
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// The stream that it is, if it is one.
    pub(crate) fn as_stream(&self) -> Option<&Stream> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Plain(_) | Self::Layered(_) | Self::Tls(_) => None,
        }
    }

    /// The socket with the stream layer on it, if there is one.
    pub(crate) fn layered(&self) -> Option<&LayeredTcp> {
        match self {
            Self::Plain(_) | Self::Stream(_) => None,
            Self::Layered(layered) => Some(layered),
            Self::Tls(tls) => tls.beneath().layered(),
        }
    }

    /// The TLS on it, if it is encrypted.
    pub(crate) fn tls(&self) -> Option<&TlsTransport> {
        match self {
            Self::Plain(_) | Self::Layered(_) | Self::Stream(_) => None,
            Self::Tls(tls) => Some(tls),
        }
    }

    /// Whether nobody has sent or closed anything, and nothing is left to be sent. Asks the kernel only if something
    /// happened.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Layered(_) => {
                let read = self.tcp().try_read(&mut [0; 1]);
                matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(tls) => tls.is_idle(),
            // It carries one exchange.
            Self::Stream(_) => false,
        }
    }

    /// Whether the other side has not read all that was sent, as far as the kernel knows.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Layered(_) | Self::Tls(_) => {
                sys::unacknowledged_bytes(self.tcp()).is_ok_and(|bytes| bytes > 0)
            }
            Self::Stream(stream) => stream.was_refused(),
        }
    }

    /// Goes on with what was written and is not with the kernel yet, where nothing else does.
    pub(crate) fn poll_drive(&self, cx: &mut Context<'_>) {
        match self {
            // What faults hold has a driver of its own.
            Self::Plain(_) | Self::Layered(_) => {}
            Self::Tls(tls) => tls.poll_drive(cx),
            Self::Stream(stream) => drop(stream.poll_flush(cx)),
        }
    }

    /// Ready when there may be something to [read](Self::poll_read), so that a buffer is borrowed only then.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Layered(layered) if !layered.is_untouched() => Poll::Ready(Ok(())),
            Self::Plain(_) | Self::Layered(_) => self.tcp().poll_read_ready(cx),
            Self::Tls(tls) => tls.poll_readable(cx),
            Self::Stream(stream) => stream.poll_readable(cx),
        }
    }

    /// Reads what there is into `buf`, once it is [readable](Self::poll_readable). 0 is the end of the stream.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => poll_read_again(tcp, cx, buf),
            Self::Layered(layered) => layered.poll_read(cx, buf),
            Self::Tls(tls) => tls.poll_read(cx, buf),
            Self::Stream(stream) => stream.poll_read(cx, buf),
        }
    }

    /// Writes some of `bytes`, at least one.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => poll_write(tcp, cx, bytes),
            Self::Layered(layered) => layered.poll_write(cx, bytes),
            Self::Tls(tls) => tls.poll_write_both(cx, bytes, &[]),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// Writes some of two texts of which one may be empty, the second behind the first, at least one byte.
    pub(crate) fn poll_write_both(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        match (first, second) {
            ([], only) | (only, []) => self.poll_write(cx, only),
            (_, _) if self.is_plain() => poll_write_both(self.tcp(), cx, first, second),
            (first, second) => match self {
                Self::Tls(tls) => tls.poll_write_both(cx, first, second),
                Self::Plain(_) | Self::Layered(_) | Self::Stream(_) => self.poll_write(cx, first),
            },
        }
    }

    /// Ready once all that was written is with the kernel.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Layered(layered) => layered.poll_flush(cx),
            Self::Tls(tls) => tls.poll_flush(cx),
            Self::Stream(stream) => stream.poll_flush(cx),
        }
    }

    /// Sends the end of the stream (FIN) behind all that was written.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Poll::Ready(shutdown(tcp, Shutdown::Write)),
            Self::Layered(layered) => layered.poll_shutdown(cx),
            Self::Tls(tls) => tls.poll_shutdown(cx),
            // Its message says where it ends.
            Self::Stream(stream) => stream.poll_flush(cx),
        }
    }

    /// As [`poll_shutdown`](Self::poll_shutdown), without saying in TLS that the end is a good one.
    pub(crate) fn poll_shutdown_beneath(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Layered(_) | Self::Stream(_) => self.poll_shutdown(cx),
            Self::Tls(tls) => tls.poll_shutdown_beneath(cx),
        }
    }
}
