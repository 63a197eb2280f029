//! The one system call that has no safe wrapper.

use std::{io, os::fd::AsFd};

/// Bytes that were sent on a TCP socket and that its peer has not acknowledged yet.
///
/// Linux's `TIOCOUTQ` (tcp(7), "SIOCOUTQ"): 0 means that everything arrived.
pub(crate) fn unacknowledged_bytes(socket: impl AsFd) -> io::Result<u32> {
    const TIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: TIOCOUTQ writes one int to the address it is given, which is what `Getter` provides.
    #[expect(unsafe_code, reason = "no crate wraps this ioctl")]
    let bytes = unsafe {
        let read = rustix::ioctl::Getter::<TIOCOUTQ, u32>::new();
        rustix::ioctl::ioctl(socket, read)
    }?;
    Ok(bytes)
}
