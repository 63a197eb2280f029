//! A socket as it is: reads and writes that ask the kernel no more than they need.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::{io::Interest, net::TcpStream};

pub(super) fn shutdown(tcp: &TcpStream, how: Shutdown) -> io::Result<()> {
    socket2::SockRef::from(tcp).shutdown(how)
}

/// Reads from a socket, without asking the kernel once more when a read took all there was.
pub(super) fn poll_read(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    ready!(tcp.poll_read_ready(cx))?;
    poll_read_again(tcp, cx, buf)
}

/// As [`poll_read`], of a socket that has just been found ready.
///
/// A read that left room took all there was (epoll(7), question 9), and tokio would ask the kernel once more. An end of the stream
/// that has come with the bytes is kept in mind.
pub(super) fn poll_read_again(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        let mut all_there_was = None;
        let read = tcp.try_io(Interest::READABLE, || {
            let (read, _) = recv(tcp, &mut *buf, RecvFlags::empty())?;
            if 0 < read && read < buf.len() {
                all_there_was = Some(read);
                // With this error the socket has no more for now.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        if let Some(read) = all_there_was {
            return Poll::Ready(Ok(read));
        }
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        ready!(tcp.poll_read_ready(cx))?;
    }
}

pub(super) fn poll_write(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    poll_written(tcp, cx, || {
        tcp.try_io(Interest::WRITABLE, || {
            Ok(send(tcp, bytes, SendFlags::NOSIGNAL)?)
        })
    })
}

/// Writes some of both, one behind the other, with one call of the kernel.
pub(super) fn poll_write_both(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    first: &[u8],
    second: &[u8],
) -> Poll<io::Result<usize>> {
    poll_write_slices(tcp, cx, &[IoSlice::new(first), IoSlice::new(second)])
}

/// As [`poll_write_both`], of as many texts as the kernel takes at once.
pub(super) fn poll_write_slices(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    poll_written(tcp, cx, || tcp.try_write_vectored(slices))
}

fn poll_written(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    write: impl Fn() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        // The kernel is asked unless the socket is known to be full.
        match write() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        ready!(tcp.poll_write_ready(cx))?;
    }
}
