//! The sockets of a route, bound by the control thread.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
};

use socket2::{Domain, SockFilter, Socket, Type};

use super::{
    address::ListenAddress,
    unix::{self, SocketFile},
};
use crate::sys;

/// Connections that wait for a core to accept them.
const BACKLOG: i32 = 4096;

/// The listening sockets of one route. Dropping it refuses new connections at once.
#[derive(Debug)]
pub(crate) struct Listening {
    address: ListenAddress,
    sockets: Vec<Socket>,
    /// The file of a Unix socket, which goes when it does.
    file: Option<SocketFile>,
    cores: usize,
    /// Whether the sockets drop what comes.
    ignores: bool,
}

impl Listening {
    /// Binds `count` sockets to one address.
    ///
    /// The first is bound without `SO_REUSEPORT`, so an address in use is an error even where its owner allows
    /// sharing; the others then share with it. The kernel spreads connections over them by hash. A Unix socket is one for all
    /// cores.
    pub(crate) fn bind(address: ListenAddress, count: usize) -> io::Result<Self> {
        match &address {
            ListenAddress::Tcp(tcp) => Self::bind_tcp(*tcp, count),
            ListenAddress::Unix(unix) => {
                let (socket, file) = unix::bind(unix, BACKLOG)?;
                Ok(Self {
                    address,
                    sockets: vec![socket],
                    file: Some(file),
                    cores: count,
                    ignores: false,
                })
            }
        }
    }

    fn bind_tcp(address: SocketAddr, count: usize) -> io::Result<Self> {
        let first = new_socket(address)?;
        first.bind(&address.into())?;
        first.set_reuse_port(true)?;
        first.listen(BACKLOG)?;
        let address = first
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a TCP socket has no socket address"))?;
        let mut sockets = vec![first];
        for _ in 1..count {
            let socket = new_socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            sockets.push(socket);
        }
        Ok(Self {
            address: address.into(),
            sockets,
            file: None,
            cores: count,
            ignores: false,
        })
    }

    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// From now on answers nobody who connects, or everybody again. Whether that is a change.
    ///
    /// A filter on the sockets (`SO_ATTACH_FILTER`, socket(7)) drops what comes: a SYN, and the end of a handshake that has just
    /// begun. The sockets go on to listen, and connections that wait to be accepted are.
    pub(crate) fn ignore(&mut self, ignore: bool) -> bool {
        /// `BPF_RET | BPF_K` with 0: not a byte of the packet is let through.
        const DROP_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);
        if self.ignores == ignore || self.file.is_some() {
            return false; // There are no packets on the way to a Unix socket.
        }
        for socket in &self.sockets {
            let changed = match ignore {
                true => socket.attach_filter(&[DROP_ALL]),
                false => socket.detach_filter(),
            };
            if let Err(error) = changed {
                tracing::error!(%error, address = %self.address, ignore, "could not change a listening socket's filter");
                if ignore {
                    self.stop_ignoring();
                    return false;
                }
            }
        }
        self.ignores = ignore;
        true
    }

    /// Takes away the filters of those sockets that have one.
    fn stop_ignoring(&self) {
        for socket in &self.sockets {
            if let Err(error) = socket.detach_filter() {
                tracing::debug!(%error, address = %self.address, "had no filter");
            }
        }
    }

    /// Attempts to connect that were not answered.
    pub(crate) fn unanswered_syns(&self) -> u64 {
        if self.file.is_some() {
            return 0;
        }
        let dropped = |socket: &Socket| u64::from(sys::dropped_packets(socket).unwrap_or(0));
        self.sockets.iter().map(dropped).sum()
    }

    /// One listener for each core. They are refused when `self` is dropped.
    pub(crate) fn listeners(&self) -> io::Result<Vec<Listener>> {
        let duplicate = |socket: &Socket| match self.file {
            None => Ok(Listener::Tcp(socket.try_clone()?.into())),
            Some(_) => Ok(Listener::Unix(socket.try_clone()?.into())),
        };
        let sockets = self.sockets.iter().cycle().take(self.cores);
        sockets.map(duplicate).collect()
    }
}

/// What is set here and is an option of TCP, as `TCP_NODELAY` is, the connections that it accepts have too (tcp(7)): none of them
/// costs a system call for it.
fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            file.remove();
        }
        for socket in &self.sockets {
            // The cores hold duplicates; this ends them all.
            if let Err(error) = socket.shutdown(Shutdown::Both) {
                tracing::warn!(%error, address = %self.address, "could not stop listening");
            }
        }
    }
}

/// A listening socket as a core gets it.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        ListenAddress::parse(text).unwrap()
    }

    #[test]
    fn an_address_in_use_is_an_error_even_against_ourselves() {
        let first = Listening::bind(address("127.0.0.1:0"), 2).unwrap();

        let second = Listening::bind(first.address().clone(), 2).unwrap_err();

        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_written_to_an_accepted_connection_does_not_wait_for_more() {
        for listen in ["127.0.0.1:0", ":0"] {
            let listening = Listening::bind(address(listen), 1).unwrap();
            let port = listening.address().tcp().unwrap().port();
            let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();

            listening.sockets[0].set_nonblocking(false).unwrap();
            let (accepted, _) = listening.sockets[0].accept().unwrap();

            assert!(accepted.tcp_nodelay().unwrap());
            drop(client);
        }
    }

    #[test]
    fn dropping_refuses_at_once_and_frees_the_address() {
        let listening = Listening::bind(address("127.0.0.1:0"), 2).unwrap();
        let held_by_cores = listening.listeners().unwrap();
        let address = listening.address().clone();

        drop(listening);

        let refused = std::net::TcpStream::connect(address.tcp().unwrap()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(Listening::bind(address, 2).is_ok());
        drop(held_by_cores);
    }
}
