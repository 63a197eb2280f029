//! TLS on the listeners of routes, and the authority that routes of the process share.

use std::sync::{Arc, PoisonError};

use super::{RouteError, Shared};
use crate::{
    error::Chain,
    tls::{InvalidTls, ListenerTls, LocalAuthority, ServerTls},
    upstream::Protocol,
};

impl Shared {
    /// What serves TLS on a listener of a route that carries `protocol`.
    pub(super) fn listener_tls(
        &self,
        tls: Option<ListenerTls>,
        protocol: Protocol,
    ) -> Result<Option<Arc<ServerTls>>, RouteError> {
        let Some(tls) = tls else { return Ok(None) };
        if protocol == Protocol::Tcp {
            let why = "is not spoken on tcp routes, whose bytes pass as they are";
            return Err(RouteError::Tls(InvalidTls::new("", why)));
        }
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
