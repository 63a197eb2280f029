//! Where requests go: an address, and each core's own connections to it.

mod balance;
mod dialing;
mod names;
mod options;
mod parse;
mod pool;
#[cfg(test)]
mod tests;
mod tunnels;

pub(crate) use self::{
    balance::Turn,
    dialing::{Dialed, Reached, ServerFailure},
    names::{NamedAddress, Names},
    pool::{Place, Pool, SharedPool},
};
pub use self::{
    dialing::ServerStatus,
    names::Resolver,
    options::{HttpVersion, PoolOptions, UpstreamOptions},
    parse::InvalidUpstream,
};

use std::{fmt, future::poll_fn, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::time::timeout;

use self::{balance::Balance, parse::Scheme, tunnels::Tunnels};
use crate::{
    error::{Chain, UpstreamError},
    http1::{OutgoingHost, handshake},
    proxy_protocol::{header_of_own, send},
    tls::{CoreTls, UpstreamTls},
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

/// The address behind a route: `http://HOST:PORT[/PATH]`, `https://HOST:PORT[/PATH]`, `tcp://HOST:PORT` or `tls://HOST:PORT`. It says what the
/// route carries, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    protocol: Protocol,
    host: Arc<str>,
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
    /// Only of `https` and `tls`.
    tls: Option<UpstreamTls>,
    options: UpstreamOptions,
    /// Further servers that answer the same, each without some of its own.
    others: Arc<[Self]>,
    /// Which of them is next, and which are tried last.
    balance: Balance,
    /// Whether they take extended CONNECT.
    tunnels: Tunnels,
}

impl Upstream {
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
            (Protocol::Tcp, None) => Scheme::Tcp,
            (Protocol::Tcp, Some(_)) => Scheme::Tls,
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

    /// Notes whether the SETTINGS of a server announce extended CONNECT (RFC 8441 §3).
    pub(crate) fn notes_tunnels(&self, server: u8, are_announced: bool) {
        self.tunnels.note(server, are_announced);
    }

    /// Whether clients are told that extended CONNECT passes.
    pub(crate) fn announces_tunnels(&self) -> bool {
        self.tunnels.are_announced()
    }

    /// Whether the caller is to find out whether it takes extended CONNECT. [`has_asked`](Self::has_asked) follows.
    pub(crate) fn asks_for_tunnels(&self) -> bool {
        self.tunnels.asks()
    }

    /// Whoever was to find out has done so, or has failed.
    pub(crate) fn has_asked(&self) {
        self.tunnels.has_asked();
    }

    /// Connects as a request would, and begins TLS where that is spoken; then leaves. For a check before there is traffic.
    ///
    /// # Errors
    /// Why it cannot be reached, in words.
    pub async fn try_connect(&self) -> Result<(), String> {
        let mut failed = Vec::new();
        for server in self.servers() {
            if let Err(why) = server.try_one(&self.options).await {
                failed.push(match self.has_others() {
                    true => format!("{} {why}", server.shown()),
                    false => why,
                });
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(failed.join("; ")),
        }
    }

    async fn try_one(&self, options: &UpstreamOptions) -> Result<(), String> {
        /// So long an upstream has to say that it wanted a certificate.
        const SAID_AFTER_HANDSHAKE: Duration = Duration::from_millis(500);
        let limit = options.connect_timeout;
        let opened = timeout(limit, async {
            let Dialed { tcp, .. } = self.dial(0, &Names::default()).await?;
            if let Some(version) = options.send_proxy {
                send(&tcp, &header_of_own(version)).await?;
            }
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
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        })
    }
}
