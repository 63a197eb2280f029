//! How the proxy ends a socket.

use std::io;

use futures_util::future::join_all;
use rustix::net::{Shutdown, shutdown};
use tokio::{net::TcpStream, time::timeout};

use crate::limits::{CLOSE_BYTES_MAX, CLOSE_TIME_MAX};

/// Closes all `sides` in good order (FIN). Unread bytes would turn the close into a reset, so those that still come are
/// read: within [`CLOSE_TIME_MAX`], and [`CLOSE_BYTES_MAX`] from each.
pub(crate) async fn close_in_order(sides: &[&TcpStream]) {
    let all = join_all(sides.iter().map(|side| close(side)));
    if timeout(CLOSE_TIME_MAX, all).await.is_err() {
        tracing::debug!("a side did not close in time");
    }
}

async fn close(tcp: &TcpStream) {
    let mut unwanted = [0; 4096];
    let mut left = CLOSE_BYTES_MAX;
    if shutdown(tcp, Shutdown::Write).is_err() {
        return; // It is closed already.
    }
    while tcp.readable().await.is_ok() {
        match tcp.try_read(&mut unwanted) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(read) if read > 0 && read < left => left -= read,
            _ => return,
        }
    }
}

/// Makes the close of a socket a reset (RST): what was sent and not acknowledged is lost. Changes nothing if the other side
/// has reset it.
pub(crate) fn reset_on_close(tcp: &TcpStream) {
    if let Err(error) = tcp.set_zero_linger() {
        tracing::debug!(%error, "could not make the close a reset");
    }
}
