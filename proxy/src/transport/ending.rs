//! How a connection ends: in good order, after a while of reading on, or by a reset.

use std::{cell::RefCell, io, net::Shutdown};

use futures_util::future::join_all;
use tokio::{net::TcpStream, time::timeout};

use super::tcp::shutdown;
use crate::limits::{CLOSE_BYTES_MAX, CLOSE_TIME_MAX};

/// Sends a FIN on all `sides` and reads on, within bounds, until they have closed theirs.
///
/// Unread bytes would make the close a reset, which may cost the other side what it has not read yet (RFC 9112 §9.6). The
/// bounds are [`CLOSE_TIME_MAX`], and [`CLOSE_BYTES_MAX`] of each side.
pub(crate) async fn close_in_order(sides: &[&TcpStream]) {
    let all = join_all(sides.iter().map(|side| async {
        if shutdown(side, Shutdown::Write).is_ok() {
            read_on(side).await;
        }
    }));
    if timeout(CLOSE_TIME_MAX, all).await.is_err() {
        tracing::debug!("a side did not close in time");
    }
}

/// Reads on after the FIN was sent; see [`close_in_order`].
pub(crate) async fn linger(tcp: &TcpStream) {
    if timeout(CLOSE_TIME_MAX, read_on(tcp)).await.is_err() {
        tracing::debug!("a client did not close in time");
    }
}

thread_local! {
    /// What is read and forgotten: in no future, and cleared once.
    static UNWANTED: RefCell<[u8; 4096]> = const { RefCell::new([0; 4096]) };
}

async fn read_on(tcp: &TcpStream) {
    let mut left = CLOSE_BYTES_MAX;
    while tcp.readable().await.is_ok() {
        match UNWANTED.with_borrow_mut(|unwanted| tcp.try_read(unwanted)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(read) if read > 0 && read < left => left -= read,
            Ok(_) | Err(_) => return,
        }
    }
}

/// Makes the close of a socket a reset (RST). On one that the other side has reset it changes nothing.
pub(crate) fn reset_on_close(tcp: &TcpStream) {
    if let Err(error) = tcp.set_zero_linger() {
        tracing::debug!(%error, "could not make the close a reset");
    }
}
