//! Routes as they are asked for and shown.

use std::{io, net::SocketAddr};

use brownout_fault::MayAsk;

use super::GatewayHandle;
use crate::{
    listener::ListenAddress,
    tls::{InvalidTls, ListenerTls, UpstreamTlsOptions},
    upstream::{HostField, Protocol, ServerStatus, Upstream, UpstreamOptions},
};

/// A route to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoute {
    /// Its name, unique in the gateway.
    pub name: String,
    /// Where to listen.
    pub listen: ListenAddress,
    /// Where requests go.
    pub upstream: Upstream,
    /// How its listener speaks TLS, if it does.
    pub tls: Option<ListenerTls>,
    /// Whether it accepts connections at once.
    pub enabled: bool,
    /// Which of its callers may ask for faults by header fields; for HTTP alone.
    pub caller_faults: MayAsk,
    /// Whether its connections begin with a header of the PROXY protocol.
    pub accept_proxy: bool,
}

/// What to change about a route; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteChange {
    /// Where to listen.
    pub listen: Option<ListenAddress>,
    /// Where requests go from now on.
    pub upstream: Option<Upstream>,
    /// How its listener speaks TLS with those who connect from now on.
    pub tls: Option<ListenerTlsChange>,
    /// Whether it accepts connections.
    pub enabled: Option<bool>,
    /// Which of its callers may ask for faults. If those are others than before, requests that callers hold are released.
    pub caller_faults: Option<MayAsk>,
    /// Whether connections that are accepted from now on begin with a header of the PROXY protocol.
    pub accept_proxy: Option<bool>,
    /// Only if the route is still at this [revision](RouteStatus::revision): the change was worked out from it.
    pub of_revision: Option<u64>,
}

/// What becomes of TLS on a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerTlsChange {
    /// There is none.
    Off,
    /// It is this.
    To(ListenerTls),
}

impl From<Option<ListenerTls>> for ListenerTlsChange {
    fn from(tls: Option<ListenerTls>) -> Self {
        tls.map_or(Self::Off, Self::To)
    }
}

/// A route as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Where it listens, with the port it got.
    pub listen: ListenAddress,
    /// How its listener speaks TLS, if it does.
    pub tls: Option<ListenerTls>,
    /// Where requests go.
    pub upstream: String,
    /// Each of its servers, if there are several.
    pub servers: Vec<ServerStatus>,
    /// How TLS is spoken with it, if it is.
    pub upstream_tls: Option<UpstreamTlsOptions>,
    /// The `Host` that requests have there.
    pub host: HostField,
    /// How it is connected to and how long it may take.
    pub options: UpstreamOptions,
    /// What it carries.
    pub protocol: Protocol,
    /// Whether it accepts connections.
    pub enabled: bool,
    /// Which of its callers may ask for faults.
    pub caller_faults: MayAsk,
    /// Whether its connections begin with a header of the PROXY protocol.
    pub accept_proxy: bool,
    /// Another number after each change of it; a route that is made anew under its name has another, too.
    pub revision: u64,
    /// Client connections that are open.
    pub connections: u64,
    /// Requests since it was made; none on a `tcp` route.
    pub requests: u64,
    /// Bytes of request content since it was made; on a `tcp` route all bytes to the upstream.
    pub bytes_in: u64,
    /// Bytes of answer content since it was made; on a `tcp` route all bytes to clients.
    pub bytes_out: u64,
    /// Attempts to connect that were not answered since it listens: each SYN, also one that is sent again, that a fault
    /// ignored or for which the kernel's queue had no place.
    pub unanswered_syns: u64,
}

impl RouteStatus {
    /// The URL of its listener; of a Unix socket what it carries and where it is.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.listen {
            ListenAddress::Tcp(address) => format!("{}://{address}", self.scheme()),
            unix @ ListenAddress::Unix(_) => format!("{}+{unix}", self.scheme()),
        }
    }

    /// What goes before `://` in the URL of its listener.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match (self.protocol, &self.tls) {
            (Protocol::Tcp, None) => "tcp",
            (Protocol::Tcp, Some(_)) => "tls",
            (Protocol::Http, None) => "http",
            (Protocol::Http, Some(_)) => "https",
        }
    }
}

/// Why a route was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// There is a route of that name.
    #[error("the route name `{name}` is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is no route of that name.
    #[error("there is no route `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It was changed since the change was worked out.
    #[error("the route `{name}` was changed meanwhile")]
    ChangedMeanwhile {
        /// The name.
        name: String,
    },
    /// Another socket listens there.
    #[error("the address {address} is taken")]
    AddressTaken {
        /// The address.
        address: ListenAddress,
    },
    /// Requests would go round for ever.
    #[error("leads back to the route `{name}` itself")]
    Loop {
        /// The route.
        name: String,
    },
    /// Nothing may go there through a route.
    #[error("the route `{name}` leads to {address}, where no route may lead")]
    Reserved {
        /// The route.
        name: String,
        /// What was reserved.
        address: SocketAddr,
    },
    /// A route carries one protocol from its making to its deletion.
    #[error(
        "the route carries {carries}, and {upstream} does not; delete the route and make a new one"
    )]
    OtherProtocol {
        /// What it carries.
        carries: Protocol,
        /// The upstream that it should have got.
        upstream: Box<Upstream>,
    },
    /// Bytes of another protocol than HTTP have no header fields.
    #[error(
        "a route that carries bytes has no header fields by which callers could ask for faults"
    )]
    NoCallerFaults,
    /// The address cannot be listened on for another reason.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be spoken as asked.
    #[error("tls: {0}")]
    Tls(InvalidTls),
    /// More routes than a gateway carries.
    #[error("there may be {max} routes at a time", max = GatewayHandle::ROUTES_MAX)]
    TooMany,
    /// The gateway is being stopped.
    #[error("the proxy is shutting down")]
    ShuttingDown,
}

pub(super) fn check_caller_faults(
    wanted: Option<&MayAsk>,
    upstream: &Upstream,
) -> Result<(), RouteError> {
    let is_wanted = wanted.is_some_and(|wanted| !wanted.is_nobody());
    match is_wanted && upstream.protocol() != Protocol::Http {
        true => Err(RouteError::NoCallerFaults),
        false => Ok(()),
    }
}
