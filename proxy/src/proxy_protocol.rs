//! The PROXY protocol, versions 1 and 2: a header before all other bytes of a connection, in which a proxy tells the next hop
//! who its client is. As haproxy's `proxy-protocol.txt` says; stricter where that leaves a choice.

mod header;
mod receive;
mod send;

pub use self::header::ProxyVersion;
pub(crate) use self::{
    header::{Endpoints, header, header_of_own},
    receive::{NoHeader, receive},
    send::send,
};

use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Who a client is: its socket says so, or the header that a proxy sent.
#[derive(Debug, Clone)]
pub(crate) struct ClientAddress {
    pub(crate) peer: SocketAddr,
    /// Where it connected to, if a header said so. Boxed, as few connections have it.
    destination: Option<Box<SocketAddr>>,
}

impl ClientAddress {
    /// Both ends of its connection; `None` on a Unix socket, where there are no addresses.
    pub(crate) fn ends(&self, tcp: &TcpStream) -> Option<Endpoints> {
        let told = self.destination.as_deref().copied();
        Some(Endpoints {
            source: self.peer,
            destination: told.or_else(|| tcp.local_addr().ok())?,
        })
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(peer: SocketAddr) -> Self {
        Self {
            peer,
            destination: None,
        }
    }
}

impl From<Endpoints> for ClientAddress {
    fn from(ends: Endpoints) -> Self {
        Self {
            peer: ends.source,
            destination: Some(Box::new(ends.destination)),
        }
    }
}
