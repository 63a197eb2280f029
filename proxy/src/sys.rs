//! The two system calls that no crate wraps safely for us, and what is made of them.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    time::{TimerfdClockId, TimerfdFlags, timerfd_create},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpStream,
    time::sleep,
};

/// Waits until everything that was sent on a TCP socket has reached its peer.
pub(crate) async fn acknowledged(tcp: &TcpStream) {
    /// There is no event for an empty send queue; on loopback it is empty at the first look.
    const LOOK_AGAIN: Duration = Duration::from_millis(1);
    while unacknowledged_bytes(tcp).is_ok_and(|bytes| bytes > 0) {
        sleep(LOOK_AGAIN).await;
    }
}

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

/// How the other side of a connection has ended it, as far as the socket tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientEnd {
    /// It has not, or nobody knows.
    None,
    /// With a FIN: it has closed the connection or its sending side.
    Fin,
    /// With a reset (RST).
    Rst,
}

/// How the other side has ended a connection whose sending side is still open here.
///
/// poll(2): a FIN is `POLLRDHUP` alone; after a reset nothing can be sent either, which is `POLLHUP`, also when the error
/// was read already.
pub(crate) fn client_end(socket: impl AsFd) -> ClientEnd {
    let mut polled = [PollFd::new(&socket, PollFlags::RDHUP)];
    if poll(&mut polled, Some(&Timespec::default())).is_err() {
        return ClientEnd::None;
    }
    let is = polled[0].revents();
    if is.intersects(PollFlags::HUP | PollFlags::ERR) {
        ClientEnd::Rst
    } else if is.contains(PollFlags::RDHUP) {
        ClientEnd::Fin
    } else {
        ClientEnd::None
    }
}

/// A timer of the kernel's (`timerfd_create(2)`, monotonic) that makes this thread's runtime wake up.
pub(crate) fn kernel_timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    watched(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Makes this thread's runtime wake up when there is something to read.
pub(crate) fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and the same, until it is dropped; nobody takes it out of the `AsyncFd` before.
    #[expect(unsafe_code, reason = "tokio cannot ask a type for that promise")]
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}
