//! The system calls that no crate wraps safely for us, and what is made of them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
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

/// Packets that came for a socket and were dropped; of a listening socket, attempts to connect that were not answered.
///
/// Linux's `SO_MEMINFO` (`include/uapi/linux/sock_diag.h`): nine numbers, the last is `SK_MEMINFO_DROPS`.
pub(crate) fn dropped_packets(socket: impl AsFd) -> io::Result<u32> {
    /// `include/uapi/asm-generic/socket.h`.
    const SO_MEMINFO: libc::c_int = 55;
    const DROPS: usize = 8;
    let mut numbers = [0_u32; DROPS + 1];
    let mut bytes = libc::socklen_t::try_from(size_of_val(&numbers)).unwrap_or_default();
    // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `bytes` bytes to `numbers`, for which
    // any bytes are valid, and then what it wrote to `bytes`.
    #[expect(unsafe_code, reason = "no crate wraps this socket option")]
    let failed = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    match failed {
        0 => Ok(numbers[DROPS]),
        _ => Err(io::Error::last_os_error()),
    }
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
/// was read already. On a Unix socket `POLLHUP` is any close; one that left bytes unread is an error as well.
pub(crate) fn client_end(socket: impl AsFd) -> ClientEnd {
    let mut polled = [PollFd::new(&socket, PollFlags::RDHUP)];
    if poll(&mut polled, Some(&Timespec::default())).is_err() {
        return ClientEnd::None;
    }
    let is = polled[0].revents();
    if is.contains(PollFlags::ERR) || (is.contains(PollFlags::HUP) && !is_unix(&socket)) {
        ClientEnd::Rst
    } else if is.intersects(PollFlags::RDHUP | PollFlags::HUP) {
        ClientEnd::Fin
    } else {
        ClientEnd::None
    }
}

fn is_unix(socket: impl AsFd) -> bool {
    rustix::net::sockopt::socket_domain(socket)
        .is_ok_and(|it| it == rustix::net::AddressFamily::UNIX)
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
