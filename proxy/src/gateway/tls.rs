//! TLS on the listeners of routes, and the authority that routes of the process share.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use rustls::ServerConfig;

use super::{GatewayHandle, RouteError, Shared};
use crate::{
    error::Chain,
    tls::{HTTP11, InvalidTls, ListenerTls, ListenerTlsOptions, LocalAuthority, ServerTls},
};

/// TLS of another listener of the process than a route's, with the certificates that a route could have.
#[derive(Debug, Clone)]
pub struct ServedTls {
    served: Arc<ServerTls>,
    trust_file: PathBuf,
}

impl ServedTls {
    /// How a connection that came to the address `to` is to be served, over HTTP/1.1 only.
    ///
    /// # Errors
    /// When no configuration can be made.
    pub fn config(&self, to: Option<SocketAddr>) -> Result<Arc<ServerConfig>, InvalidTls> {
        let mut config = ServerConfig::clone(&*self.served.config(to)?);
        config.alpn_protocols = vec![HTTP11.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }

    /// As [`config`](Self::config), for a listener that speaks HTTP/2 as well.
    ///
    /// # Errors
    /// When no configuration can be made.
    pub fn config_with_http2(
        &self,
        to: Option<SocketAddr>,
    ) -> Result<Arc<ServerConfig>, InvalidTls> {
        self.served.config(to)
    }

    /// A PEM file by which clients can trust it: the certificate of the own authority, or the one that is shown.
    #[must_use]
    pub fn trust_file(&self) -> &Path {
        &self.trust_file
    }

    /// Whether it shows the same certificates by the same files.
    #[must_use]
    pub fn is_of(&self, tls: &ListenerTls) -> bool {
        self.served.tls == *tls
    }
}

impl GatewayHandle {
    /// TLS of another listener of this process. Reads or makes the own authority if `tls` needs it.
    ///
    /// # Errors
    /// When that cannot be read or made.
    pub fn serve_tls(&self, tls: ListenerTls) -> Result<ServedTls, RouteError> {
        let trust_file = match tls.options() {
            ListenerTlsOptions::Own => {
                let authority = self.0.authority().map_err(RouteError::Tls)?;
                authority.path().to_owned()
            }
            ListenerTlsOptions::Files { main, .. } => main.cert.clone(),
        };
        let served = ServerTls::new(tls, || self.0.authority()).map_err(RouteError::Tls)?;
        Ok(ServedTls {
            served: Arc::new(served),
            trust_file,
        })
    }

    /// Reads or makes the own authority, if `tls` needs it: what could take long when a route is made or changed. Once it is
    /// there, this costs nothing.
    ///
    /// # Errors
    /// When it cannot be read or made.
    pub fn prepare_tls(&self, tls: &ListenerTls) -> Result<(), RouteError> {
        let served = self.0.listener_tls(Some(tls.clone()));
        served.map(drop)
    }
}

impl Shared {
    /// What serves TLS on a listener.
    pub(super) fn listener_tls(
        &self,
        tls: Option<ListenerTls>,
    ) -> Result<Option<Arc<ServerTls>>, RouteError> {
        let Some(tls) = tls else { return Ok(None) };
        let tls = ServerTls::new(tls, || self.authority()).map_err(RouteError::Tls)?;
        Ok(Some(Arc::new(tls)))
    }

    /// The authority of `tls = "self"`, made or read when it is first asked for.
    fn authority(&self) -> Result<Arc<LocalAuthority>, InvalidTls> {
        let mut authority = (self.authority.lock()).unwrap_or_else(PoisonError::into_inner);
        if let Some(authority) = &*authority {
            return Ok(Arc::clone(authority));
        }
        let directory = self.state_directory.as_deref();
        let directory = directory.ok_or_else(|| {
            InvalidTls::new(
                "",
                "\"self\" needs a state directory to keep its authority in",
            )
        })?;
        let opened = LocalAuthority::open(directory)
            .map_err(|error| InvalidTls::new("", Chain(&error).to_string()))?;
        Ok(Arc::clone(authority.insert(Arc::new(opened))))
    }
}
