//! Upstreams as they are written: read, refused, and written again.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use super::{
    HostField, Protocol, Upstream, UpstreamOptions, balance::Balance, options, tunnels::Tunnels,
};
use crate::{
    listener::is_socket_path,
    tls::{InvalidTls, UpstreamTls, UpstreamTlsOptions},
};

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
    /// Several servers that are not alike.
    #[error(
        "has servers that are not alike: all need one scheme and one path, and there may be {max} of them",
        max = Upstream::SERVERS_MAX
    )]
    Mixed,
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
    #[error(
        "is not reached with TLS; write \"https://HOST:PORT\", or \"tls://HOST:PORT\" for bytes, or leave out `upstream_tls`"
    )]
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
pub(super) enum Scheme {
    Http,
    Https,
    Tcp,
    /// Bytes in TLS.
    Tls,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Tcp, Self::Tls];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    pub(super) const fn usual_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Tls => None,
        }
    }
}

impl Upstream {
    /// The most servers of one.
    pub const SERVERS_MAX: usize = 64;

    /// Reads `http://HOST:PORT[/PATH]`, `https://HOST:PORT[/PATH]` or `tcp://HOST:PORT` or `tls://HOST:PORT`. The port of `http` is 80 when it is left out,
    /// that of `https` 443; the host may be a name, which is resolved for each new connection. An `https` upstream is
    /// reached with the default options of TLS. Several, with commas between, are servers that answer the same.
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
        let mut servers = servers(text).into_iter();
        let mut first = Self::parse_one(servers.next().unwrap_or_default(), tls, None)?;
        let others = servers.map(|text| Self::parse_one(text, tls, first.tls.as_ref()));
        let others: Vec<Self> = others.collect::<Result<_, _>>()?;
        let is_alike = |other: &Self| {
            other.protocol == first.protocol
                && other.tls.is_some() == first.tls.is_some()
                && other.base == first.base
        };
        if others.len() >= Self::SERVERS_MAX || !others.iter().all(is_alike) {
            return Err(InvalidUpstream::Mixed);
        }
        if !others.is_empty() {
            first.balance = Balance::of(others.len() + 1);
        }
        first.others = others.into();
        Ok(first)
    }

    /// Reads one server. `loaded` is what was read for another of the same upstream.
    fn parse_one(
        text: &str,
        tls: Option<&UpstreamTlsOptions>,
        loaded: Option<&UpstreamTls>,
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
        let protocol = match scheme {
            Scheme::Http | Scheme::Https => Protocol::Http,
            Scheme::Tcp | Scheme::Tls => Protocol::Tcp,
        };
        let tls = match (scheme, tls) {
            (Scheme::Https | Scheme::Tls, tls) => Some(match loaded {
                Some(loaded) => loaded.at(host)?,
                None => UpstreamTls::load(tls.cloned().unwrap_or_default(), host, protocol)?,
            }),
            (Scheme::Http | Scheme::Tcp, None) => None,
            (Scheme::Http | Scheme::Tcp, Some(_)) => return Err(InvalidUpstream::NotTls),
        };
        let address = host.parse::<IpAddr>().ok();
        Ok(Self {
            protocol,
            host: host.into(),
            port,
            address: address.map(|ip| SocketAddr::new(ip, port)),
            unix: None,
            authority: parsed.as_str().to_owned(),
            base: base.to_owned(),
            host_field: HostField::Keep,
            tls,
            options: UpstreamOptions::default(),
            others: Arc::default(),
            balance: Balance::default(),
            tunnels: Tunnels::default(),
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
            host: "localhost".into(),
            port: 0,
            address: None,
            unix: Some(Path::new(path).into()),
            authority: "localhost".to_owned(),
            base: base.to_owned(),
            host_field: HostField::Keep,
            tls: None,
            options: UpstreamOptions::default(),
            others: Arc::default(),
            balance: Balance::default(),
            tunnels: Tunnels::default(),
        })
    }

    /// One server alone.
    pub(crate) fn shown(&self) -> String {
        let (authority, base) = (self.authority(), &self.base);
        let Some(path) = &self.unix else {
            return format!("{}://{authority}{base}", self.scheme().as_str());
        };
        let scheme = match self.protocol {
            Protocol::Http => "unix",
            Protocol::Tcp => "tcp+unix",
        };
        let colon = if base.is_empty() { "" } else { ":" };
        format!("{scheme}:{}{colon}{base}", path.display())
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.servers().enumerate().try_for_each(|(index, server)| {
            let between = if index == 0 { "" } else { "," };
            write!(f, "{between}{}", server.shown())
        })
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
            Scheme::Tls => "tls://HOST:PORT",
        };
        Err(InvalidUpstream::Path { what, form })
    };
    match base {
        "" => Ok((authority, base)),
        _ if base.contains(['?', '#']) => wrong("a query or fragment"),
        _ if matches!(scheme, Scheme::Tcp | Scheme::Tls) => wrong("a path"),
        _ if !options::is_path(base) => wrong("a path with bytes that none has"),
        _ => Ok((authority, base)),
    }
}

/// The texts of several servers. A comma is part of a path where no scheme follows it.
fn servers(text: &str) -> Vec<&str> {
    let begins = |text: &str| {
        let text = text.trim_start();
        let is_known = |scheme: Scheme| {
            let rest = text.strip_prefix(scheme.as_str());
            rest.is_some_and(|rest| rest.starts_with("://"))
        };
        unix_scheme(text).is_some() || Scheme::ALL.into_iter().any(is_known)
    };
    let mut found = Vec::new();
    let mut from = 0;
    for (comma, _) in text.match_indices(',') {
        if begins(&text[comma + 1..]) {
            found.push(text[from..comma].trim());
            from = comma + 1;
        }
    }
    found.push(text[from..].trim());
    found
}
