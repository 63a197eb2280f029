//! Unix sockets, carried as the type of a TCP socket.
//!
//! Reading, writing, shutting down, waiting and moving bytes inside the kernel are the same system calls on both, so the engine
//! needs no second kind of socket. What only TCP has (addresses, `TCP_NODELAY`, a reset) fails or does nothing on one of these, and
//! whoever asks for it copes: a Unix socket that is closed with bytes unread looks like a reset to its other side.

use std::{io, os::fd::OwnedFd, path::Path};

use tokio::net::{TcpStream, UnixStream};

/// Connects to the socket at a path.
///
/// # Errors
/// When there is none, or nobody listens on it.
pub(crate) async fn connect(path: &Path) -> io::Result<TcpStream> {
    as_tcp(UnixStream::connect(path).await?)
}

/// A connection as the engine carries it.
pub(crate) fn as_tcp(unix: UnixStream) -> io::Result<TcpStream> {
    let fd = OwnedFd::from(unix.into_std()?);
    TcpStream::from_std(fd.into())
}
