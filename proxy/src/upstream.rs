//! Where requests go: an address, and each core's own connections to it.

mod pool;

pub(crate) use self::pool::{Pool, SharedPool};

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{error::UpstreamError, limits::CONNECT_TIMEOUT};

/// What a route carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: requests and answers.
    Http,
    /// Bytes that mean nothing to the proxy: a database, a cache.
    Tcp,
}

/// The address behind a route: `http://HOST:PORT` or `tcp://HOST:PORT`. It says what the route carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    protocol: Protocol,
    host: String,
    port: u16,
    /// `Some` when the host is an address, so that nothing needs to be resolved.
    address: Option<SocketAddr>,
    /// `HOST[:PORT]` as it was written.
    authority: String,
}

/// Why a text is no upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpstream {
    /// Not of the form `http://HOST:PORT` or `tcp://HOST:PORT`.
    #[error(
        "is not the URL of an upstream; write it like \"http://127.0.0.1:9000\" or \"tcp://127.0.0.1:5432\""
    )]
    Malformed,
    /// A protocol without a usual port needs one.
    #[error("has no port; write it like \"tcp://127.0.0.1:5432\"")]
    NoPort,
    /// TLS to upstreams is still to come.
    #[error("https upstreams are not supported yet; write \"http://HOST:PORT\"")]
    Tls,
    /// Something follows the host and port.
    #[error(
        "has a path or query; a route forwards paths as they are, so write \"http://HOST:PORT\""
    )]
    Path,
    /// A user name or password.
    #[error("has a user name; credentials belong into the requests")]
    Credentials,
}

impl Upstream {
    /// Reads `http://HOST:PORT` or `tcp://HOST:PORT`. The port of `http` is 80 when it is left out; the host may
    /// be a name, which is resolved for each new connection.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, InvalidUpstream> {
        if text.starts_with("https://") {
            return Err(InvalidUpstream::Tls);
        }
        let (protocol, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Protocol::Http, rest),
            Some(("tcp", rest)) => (Protocol::Tcp, rest),
            _ => return Err(InvalidUpstream::Malformed),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(InvalidUpstream::Path);
        }
        if authority.contains('@') {
            return Err(InvalidUpstream::Credentials);
        }
        let parsed: http::uri::Authority =
            authority.parse().map_err(|_| InvalidUpstream::Malformed)?;
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
        let has_port = parsed.as_str().len() > parsed.host().len();
        let port = match parsed.port_u16() {
            Some(0) => return Err(InvalidUpstream::Malformed),
            Some(port) => port,
            None if has_port => return Err(InvalidUpstream::Malformed),
            None if protocol == Protocol::Tcp => return Err(InvalidUpstream::NoPort),
            None => 80,
        };
        if host.is_empty() {
            return Err(InvalidUpstream::Malformed);
        }
        let address = host.parse::<IpAddr>().ok();
        Ok(Self {
            protocol,
            host: host.to_owned(),
            port,
            address: address.map(|ip| SocketAddr::new(ip, port)),
            authority: parsed.as_str().to_owned(),
        })
    }

    /// Its address, if it is given as one and not as a name.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Its host, a name or an address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What its route carries.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `HOST:PORT`, for people and spans, and for `Host` when a client sent none.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) async fn connect(&self) -> Result<TcpStream, UpstreamError> {
        let connect = async {
            let tcp = match self.address {
                Some(address) => TcpStream::connect(address).await,
                None => self.connect_by_name().await?,
            };
            let tcp = tcp.map_err(|source| UpstreamError::Connect { source })?;
            // Without it a 64 KiB answer may stall for 40 ms behind a delayed acknowledgement.
            tcp.set_nodelay(true)
                .map_err(|source| UpstreamError::Connect { source })?;
            Ok(tcp)
        };
        timeout(CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or(Err(UpstreamError::ConnectTimeout))
    }

    /// Tries each address that the name has, in turn.
    async fn connect_by_name(&self) -> Result<io::Result<TcpStream>, UpstreamError> {
        let resolve = |source| UpstreamError::Resolve { source };
        let addresses = lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(resolve)?;
        let mut last = Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
        for address in addresses {
            last = TcpStream::connect(address).await;
            if last.is_ok() {
                break;
            }
        }
        Ok(last)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol, self.authority())
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_host_and_a_port() {
        let cases = [
            (
                "http://127.0.0.1:9000",
                "127.0.0.1:9000",
                Some("127.0.0.1:9000"),
            ),
            ("http://[::1]:9000", "[::1]:9000", Some("[::1]:9000")),
            ("http://shop.internal/", "shop.internal", None),
            ("http://10.0.0.1", "10.0.0.1", Some("10.0.0.1:80")),
        ];
        for (text, authority, address) in cases {
            let upstream = Upstream::parse(text).unwrap();
            assert_eq!(upstream.authority(), authority);
            assert_eq!(upstream.address.map(|a| a.to_string()).as_deref(), address);
        }
    }

    #[test]
    fn what_is_no_upstream_says_why() {
        let cases = [
            ("127.0.0.1:9000", InvalidUpstream::Malformed),
            ("https://shop.example", InvalidUpstream::Tls),
            ("http://shop.example/v1", InvalidUpstream::Path),
            ("http://shop.example?x", InvalidUpstream::Path),
            (
                "http://me:secret@shop.example",
                InvalidUpstream::Credentials,
            ),
            ("http://", InvalidUpstream::Malformed),
            ("http://:80", InvalidUpstream::Malformed),
            ("http://shop:0", InvalidUpstream::Malformed),
            ("http://shop:99999", InvalidUpstream::Malformed),
            ("http://sh op:80", InvalidUpstream::Malformed),
            ("", InvalidUpstream::Malformed),
        ];
        for (text, error) in cases {
            assert_eq!(Upstream::parse(text), Err(error), "{text}");
        }
    }
}
