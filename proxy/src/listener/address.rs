//! Where a route listens.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
};

use socket2::{Domain, Socket, Type};

/// Where a route listens: `HOST:PORT`, `:PORT` for every address of the machine, or `unix:/PATH` for a Unix socket. Port 0 asks
/// for a free one.
///
/// `0.0.0.0:PORT` and `[::]:PORT` are `:PORT` in other words, as they are for Go and so for Toxiproxy: one socket takes IPv6 and
/// IPv4. On a machine without IPv6 all three are every address of IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(UnixAddress),
}

/// Where a Unix socket is, and who may connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixAddress {
    path: Arc<Path>,
    /// Its permissions; `None` leaves them as the process's umask says.
    mode: Option<u32>,
}

/// A text that is no [`ListenAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an address to listen on; write it like \"127.0.0.1:9100\", with port 0 for a free one, or \"unix:/run/web.sock\", with \
    \":0660\" behind it for its permissions"
)]
pub struct InvalidListenAddress;

impl ListenAddress {
    /// Reads an address. A host name is resolved, to its first address.
    ///
    /// # Errors
    /// When it is no address, or its name has none.
    pub fn parse(text: &str) -> Result<Self, InvalidListenAddress> {
        if let Some(unix) = text.strip_prefix("unix:") {
            return UnixAddress::parse(unix).map(Self::Unix);
        }
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().map_err(|_| InvalidListenAddress)?;
            return Ok(Self::Tcp(everywhere(port, has_ipv6())));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Tcp(match address.ip().is_unspecified() {
                true => everywhere(address.port(), has_ipv6()),
                false => address,
            }));
        }
        let mut resolved = text.to_socket_addrs().map_err(|_| InvalidListenAddress)?;
        resolved.next().map(Self::Tcp).ok_or(InvalidListenAddress)
    }

    /// As the address of a TCP socket, if it is one.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether a socket bound to `bound` already listens where this asks for.
    ///
    /// Port 0 always asks for another. A Unix socket is at its path, whatever its permissions.
    #[must_use]
    pub fn is_served_by(&self, bound: &Self) -> bool {
        match (self, bound) {
            (Self::Tcp(wanted), Self::Tcp(bound)) => wanted == bound,
            (Self::Unix(wanted), Self::Unix(bound)) => wanted.path == bound.path,
            (Self::Tcp(_), Self::Unix(_)) | (Self::Unix(_), Self::Tcp(_)) => false,
        }
    }
}

impl UnixAddress {
    /// The longest path that an address has room for (unix(7)), with the byte that ends it.
    const PATH_BYTES_MAX: usize = 108;

    /// Reads `/PATH`, with `:MODE` behind it where the socket is to have other permissions.
    fn parse(text: &str) -> Result<Self, InvalidListenAddress> {
        let is_mode = |mode: &str| matches!(mode.len(), 3 | 4);
        let (path, mode) = match text.rsplit_once(':') {
            Some((path, mode)) if is_mode(mode) => match u32::from_str_radix(mode, 8) {
                Ok(mode) if mode <= 0o777 => (path, Some(mode)),
                Ok(_) | Err(_) => return Err(InvalidListenAddress),
            },
            Some(_) | None => (text, None),
        };
        match is_socket_path(path) {
            true => Ok(Self {
                path: Path::new(path).into(),
                mode,
            }),
            false => Err(InvalidListenAddress),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its permissions, if they are said.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        self.mode
    }
}

/// Whether a text is the path of a Unix socket: absolute, and short enough for its address.
pub(crate) fn is_socket_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.ends_with('/')
        && path.len() < UnixAddress::PATH_BYTES_MAX
        && !path.chars().any(char::is_control)
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(UnixAddress { path, mode }) => {
                write!(f, "unix:{}", path.display())?;
                mode.map_or(Ok(()), |mode| write!(f, ":{mode:04o}"))
            }
        }
    }
}

/// Every address of the machine: IPv6, which takes IPv4 as well, where there is IPv6.
fn everywhere(port: u16, has_ipv6: bool) -> SocketAddr {
    match has_ipv6 {
        true => (Ipv6Addr::UNSPECIFIED, port).into(),
        false => (Ipv4Addr::UNSPECIFIED, port).into(),
    }
}

/// Many containers have none.
fn has_ipv6() -> bool {
    let probe = Socket::new(Domain::IPV6, Type::STREAM, None);
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    probe.is_ok_and(|socket| socket.bind(&any.into()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        ListenAddress::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_compared_by_meaning() {
        let everywhere = ["0.0.0.0:80", "[::]:80", ":80"].map(address);

        for (wanted, bound) in everywhere
            .iter()
            .flat_map(|it| everywhere.iter().map(move |at| (it, at)))
        {
            assert!(wanted.is_served_by(bound), "{wanted} by {bound}");
        }
        let all = &everywhere[0];
        for fewer in ["127.0.0.1:80", "[::1]:80"] {
            assert!(!address(fewer).is_served_by(all), "{fewer} is not the same");
            assert!(!all.is_served_by(&address(fewer)), "{fewer} is not all");
        }
        assert!(!address(":81").is_served_by(all));
        let unix = address("unix:/run/a.sock");
        assert!(address("unix:/run/a.sock:0600").is_served_by(&unix));
        assert!(!address("unix:/run/b.sock").is_served_by(&unix));
        assert!(!all.is_served_by(&unix));
    }

    #[test]
    fn a_port_alone_is_every_address_with_ipv6_and_without() {
        assert_eq!(everywhere(80, true).to_string(), "[::]:80");
        assert_eq!(everywhere(80, false).to_string(), "0.0.0.0:80");
    }

    #[test]
    fn a_unix_socket_has_a_path_and_may_have_permissions() {
        for text in ["unix:/run/a.sock", "unix:/run/a.sock:0660", "unix:/run/a:b"] {
            assert_eq!(address(text).to_string(), text);
        }
        assert_eq!(address("unix:/a:660").to_string(), "unix:/a:0660");
        for text in ["unix:", "unix:a", "unix:/a/", "unix:/a:999", "unix:/a:1777"] {
            assert!(ListenAddress::parse(text).is_err(), "{text}");
        }
        assert!(ListenAddress::parse(&format!("unix:/{}", "a".repeat(107))).is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "9100",
            "127.0.0.1",
            "127.0.0.1:99999",
            ":x",
            "no such host:80",
        ] {
            assert_eq!(
                ListenAddress::parse(text),
                Err(InvalidListenAddress),
                "{text}"
            );
        }
    }
}
