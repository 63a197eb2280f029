//! Where requests go: an address, and each core's own connections to it.

mod options;
mod pool;
#[cfg(test)]
mod tests;

pub use self::options::{HttpVersion, PoolOptions, UpstreamOptions};
pub(crate) use self::pool::{Place, Pool, SharedPool};

use std::{
    fmt,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{
    error::{Chain, UpstreamError},
    http1::{OutgoingHost, handshake},
    listener::is_socket_path,
    tls::{CoreTls, InvalidTls, UpstreamTls, UpstreamTlsOptions},
    transport::unix,
};

/// What a route carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: requests and answers.
    Http,
    /// Bytes that mean nothing to the proxy: a database, a cache.
    Tcp,
}

/// The `Host` that requests have when they go to an upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostField {
    /// The client's. The upstream's where the client sent none.
    #[default]
    Keep,
    /// The upstream's, as its address is written, without its protocol's usual port.
    Upstream,
    /// This text: a host, which may have a port.
    Text(String),
}

impl HostField {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Keep => "keep",
            Self::Upstream => "upstream",
            Self::Text(text) => text,
        }
    }
}

/// The address behind a route: `http://HOST:PORT[/PATH]`, `https://HOST:PORT[/PATH]` or `tcp://HOST:PORT`. It says what the
/// route carries, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    protocol: Protocol,
    host: String,
    port: u16,
    /// `Some` when the host is an address, so that nothing needs to be resolved.
    address: Option<SocketAddr>,
    /// The path of a Unix socket; then the host is this machine.
    unix: Option<Arc<Path>>,
    /// `HOST[:PORT]` as it was written; `localhost` of a Unix socket.
    authority: String,
    /// What the paths of requests are behind, without a `/` at its end; empty for most.
    base: String,
    host_field: HostField,
    /// Only of `https`.
    tls: Option<UpstreamTls>,
    options: UpstreamOptions,
}

/// Why a text is no upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpstream {
    /// Of no form that is known.
    #[error(
        "is not the URL of an upstream; write it like \"http://127.0.0.1:9000\", \"https://api.example\", \"tcp://127.0.0.1:5432\" or \
        \"unix:/run/app.sock\""
    )]
    Malformed,
    /// A protocol without a usual port needs one.
    #[error("has no port; write it like \"tcp://127.0.0.1:5432\"")]
    NoPort,
    /// Something follows the host and port that cannot.
    #[error("has {what}; write \"{form}\"")]
    Path {
        /// What should not be there.
        what: &'static str,
        /// What may be.
        form: &'static str,
    },
    /// An option that cannot be used.
    #[error("{why}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Why it cannot.
        why: &'static str,
    },
    /// No path of a socket.
    #[error(
        "is not the path of a Unix socket; write it like \"unix:/run/app.sock\" or \"tcp+unix:/run/db.sock\", with \":/PATH\" behind it for the path of \
        requests"
    )]
    UnixPath,
    /// A user name or password.
    #[error("has a user name; credentials belong into the requests")]
    Credentials,
    /// TLS options of one that is not reached with TLS.
    #[error("is not reached with TLS; write \"https://HOST:PORT\", or leave out `upstream_tls`")]
    NotTls,
    /// TLS cannot be spoken as its options say.
    #[error(transparent)]
    Tls(#[from] InvalidTls),
    /// No `Host` that can be sent.
    #[error("is neither \"keep\", \"upstream\" nor a host, which may have a port")]
    HostField,
    /// A `Host` for bytes that are no requests.
    #[error("means nothing on a tcp route: its bytes are no requests")]
    HostOfTcp,
}

/// What goes before `://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Tcp,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::Http, Self::Https, Self::Tcp];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }

    const fn usual_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp => None,
        }
    }
}

impl Upstream {
    /// Reads `http://HOST:PORT[/PATH]`, `https://HOST:PORT[/PATH]` or `tcp://HOST:PORT`. The port of `http` is 80 when it is left out,
    /// that of `https` 443; the host may be a name, which is resolved for each new connection. An `https` upstream is
    /// reached with the default options of TLS.
    ///
    /// # Errors
    /// When it is something else, or TLS cannot be spoken.
    pub fn parse(text: &str) -> Result<Self, InvalidUpstream> {
        Self::parse_with(text, None)
    }

    /// As [`parse`](Self::parse), with these options of TLS, whose files are read.
    ///
    /// # Errors
    /// As `parse`, and when TLS is not spoken at all.
    pub fn parse_with(
        text: &str,
        tls: Option<&UpstreamTlsOptions>,
    ) -> Result<Self, InvalidUpstream> {
        if let Some((protocol, rest)) = unix_scheme(text) {
            return Self::parse_unix(protocol, rest, tls);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUpstream::Malformed)?;
        let mut known = Scheme::ALL.into_iter();
        let scheme = known
            .find(|known| known.as_str() == scheme)
            .ok_or(InvalidUpstream::Malformed)?;
        let (authority, base) = split_base(scheme, rest)?;
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
            None => scheme.usual_port().ok_or(InvalidUpstream::NoPort)?,
        };
        if host.is_empty() {
            return Err(InvalidUpstream::Malformed);
        }
        let tls = match (scheme, tls) {
            (Scheme::Https, tls) => {
                let options = tls.cloned().unwrap_or_default();
                Some(UpstreamTls::load(options, host)?)
            }
            (Scheme::Http | Scheme::Tcp, None) => None,
            (Scheme::Http | Scheme::Tcp, Some(_)) => return Err(InvalidUpstream::NotTls),
        };
        let address = host.parse::<IpAddr>().ok();
        Ok(Self {
            protocol: match scheme {
                Scheme::Http | Scheme::Https => Protocol::Http,
                Scheme::Tcp => Protocol::Tcp,
            },
            host: host.to_owned(),
            port,
            address: address.map(|ip| SocketAddr::new(ip, port)),
            unix: None,
            authority: parsed.as_str().to_owned(),
            base: base.to_owned(),
            host_field: HostField::Keep,
            tls,
            options: UpstreamOptions::default(),
        })
    }

    /// Reads `/PATH[:/BASE]` of a Unix socket, with the path of requests there behind the second colon.
    fn parse_unix(
        protocol: Protocol,
        rest: &str,
        tls: Option<&UpstreamTlsOptions>,
    ) -> Result<Self, InvalidUpstream> {
        let (path, base) = match rest.split_once(":/") {
            Some((path, base)) => (path, &rest[rest.len() - base.len() - 1..]),
            None => (rest, ""),
        };
        if !is_socket_path(path) {
            return Err(InvalidUpstream::UnixPath);
        }
        if tls.is_some() {
            return Err(InvalidUpstream::NotTls);
        }
        let scheme = match protocol {
            Protocol::Http => Scheme::Http,
            Protocol::Tcp => Scheme::Tcp,
        };
        let (_, base) = split_base(scheme, base)?;
        Ok(Self {
            protocol,
            host: "localhost".to_owned(),
            port: 0,
            address: None,
            unix: Some(Path::new(path).into()),
            authority: "localhost".to_owned(),
            base: base.to_owned(),
            host_field: HostField::Keep,
            tls: None,
            options: UpstreamOptions::default(),
        })
    }

    /// The path of its Unix socket, if it is one.
    pub(crate) fn unix(&self) -> Option<&Arc<Path>> {
        self.unix.as_ref()
    }

    /// With the `Host` that requests are to have there.
    ///
    /// # Errors
    /// When it is no host, or the upstream gets no requests.
    pub fn with_host(mut self, host_field: HostField) -> Result<Self, InvalidUpstream> {
        let is_host = |text: &str| {
            let parsed = text.parse::<http::uri::Authority>();
            parsed.is_ok() && !text.contains('@')
        };
        match &host_field {
            HostField::Keep => {}
            _ if self.protocol == Protocol::Tcp => return Err(InvalidUpstream::HostOfTcp),
            HostField::Text(text) if !is_host(text) => return Err(InvalidUpstream::HostField),
            HostField::Upstream | HostField::Text(_) => {}
        }
        self.host_field = host_field;
        Ok(self)
    }

    /// The `Host` that requests have there.
    #[must_use]
    pub fn host_field(&self) -> &HostField {
        &self.host_field
    }

    /// How TLS is spoken with it, if it is.
    #[must_use]
    pub fn tls(&self) -> Option<&UpstreamTls> {
        self.tls.as_ref()
    }

    pub(crate) fn outgoing_host(&self) -> OutgoingHost<'_> {
        match &self.host_field {
            HostField::Keep => OutgoingHost::KeptOr(self.authority()),
            HostField::Upstream => OutgoingHost::Is(self.host_of_its_own()),
            HostField::Text(text) => OutgoingHost::Is(text),
        }
    }

    /// Its host as a browser would send it: without the usual port (RFC 9110 §4.2.3).
    fn host_of_its_own(&self) -> &str {
        let usual = self.scheme().usual_port();
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.parse().ok() == usual && !host.is_empty() => host,
            Some(_) | None => &self.authority,
        }
    }

    fn scheme(&self) -> Scheme {
        match (self.protocol, &self.tls) {
            (Protocol::Http, None) => Scheme::Http,
            (Protocol::Http, Some(_)) => Scheme::Https,
            (Protocol::Tcp, _) => Scheme::Tcp,
        }
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

    /// Opens a connection, without TLS.
    pub(crate) async fn connect(&self) -> Result<TcpStream, UpstreamError> {
        if let Some(path) = &self.unix {
            let opened = unix::connect(path).await;
            return opened.map_err(|source| UpstreamError::Connect { source });
        }
        let tcp = match self.address {
            Some(address) => TcpStream::connect(address).await,
            None => self.connect_by_name().await?,
        };
        let tcp = tcp.map_err(|source| UpstreamError::Connect { source })?;
        // Without it a 64 KiB answer may stall for 40 ms behind a delayed acknowledgement.
        tcp.set_nodelay(true)
            .map_err(|source| UpstreamError::Connect { source })?;
        Ok(tcp)
    }

    /// Connects as a request would, and begins TLS where that is spoken; then leaves. For a check before there is traffic.
    ///
    /// # Errors
    /// Why it cannot be reached, in words.
    pub async fn try_connect(&self) -> Result<(), String> {
        /// So long an upstream has to say that it wanted a certificate.
        const SAID_AFTER_HANDSHAKE: Duration = Duration::from_millis(500);
        let limit = self.options.connect_timeout;
        let opened = timeout(limit, async {
            let tcp = self.connect().await?;
            match &self.tls {
                None => Ok(()),
                Some(tls) => {
                    let begun = CoreTls::default().begin(tls);
                    let transport = handshake(tcp, begun).await?;
                    // In TLS 1.3 an upstream refuses a client without a certificate only after the handshake.
                    let said = poll_fn(|cx| transport.poll_readable(cx));
                    match timeout(SAID_AFTER_HANDSHAKE, said).await {
                        Ok(Err(source)) => Err(UpstreamError::of_handshake(&source)),
                        Ok(Ok(())) | Err(_) => Ok(()),
                    }
                }
            }
        });
        let opened = opened
            .await
            .unwrap_or(Err(UpstreamError::ConnectTimeout { limit }));
        opened.map_err(|error| Chain(&error).to_string())
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

/// What a Unix socket carries, and what stands behind its scheme.
fn unix_scheme(text: &str) -> Option<(Protocol, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let protocol = match scheme {
        "unix" | "http+unix" => Protocol::Http,
        "tcp+unix" => Protocol::Tcp,
        _ => return None,
    };
    // `http+unix:///run/a.sock` has an authority, which is empty.
    Some((protocol, rest.strip_prefix("//").unwrap_or(rest)))
}

/// Splits what stands behind `://` into authority and path, the path without a `/` at its end.
fn split_base(scheme: Scheme, rest: &str) -> Result<(&str, &str), InvalidUpstream> {
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, base) = rest.split_at(at);
    let base = base.strip_suffix('/').unwrap_or(base);
    let wrong = |what| {
        let form = match scheme {
            Scheme::Http => "http://HOST:PORT/PATH",
            Scheme::Https => "https://HOST:PORT/PATH",
            Scheme::Tcp => "tcp://HOST:PORT",
        };
        Err(InvalidUpstream::Path { what, form })
    };
    match base {
        "" => Ok((authority, base)),
        _ if base.contains(['?', '#']) => wrong("a query or fragment"),
        _ if scheme == Scheme::Tcp => wrong("a path"),
        _ if !options::is_path(base) => wrong("a path with bytes that none has"),
        _ => Ok((authority, base)),
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.unix {
            let scheme = match self.protocol {
                Protocol::Http => "unix",
                Protocol::Tcp => "tcp+unix",
            };
            write!(f, "{scheme}:{}", path.display())?;
            return match self.base.as_str() {
                "" => Ok(()),
                base => write!(f, ":{base}"),
            };
        }
        let scheme = self.scheme().as_str();
        write!(f, "{scheme}://{}{}", self.authority(), self.base)
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
