//! Changes of the routes that would close a cycle, or lead where nothing may go, are refused.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, PoisonError},
};

use super::{Entry, GatewayHandle, RouteError, Shared};
use crate::{
    listener::ListenAddress,
    loops::{Hop, come_back},
    upstream::Upstream,
};

impl GatewayHandle {
    /// Keeps an address from being an upstream: no route may lead to it from now on.
    ///
    /// # Errors
    /// When a route does already.
    pub fn reserve(&self, address: SocketAddr) -> Result<(), RouteError> {
        let routes = self.0.lock();
        let listen = ListenAddress::from(address);
        for (name, entry) in routes.iter() {
            let hops = hops_but(&routes, name);
            if come_back(&hops, &entry.route.upstream(), &listen) {
                let name = name.clone();
                return Err(RouteError::Reserved { name, address });
            }
        }
        let mut reserved = self
            .0
            .reserved
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *reserved = Some(address);
        Ok(())
    }
}

impl Shared {
    /// Whether a route of this name may have this upstream and this address, beside the others.
    pub(super) fn check_leads_on(
        &self,
        routes: &BTreeMap<String, Entry>,
        name: &str,
        upstream: &Upstream,
        listen: &ListenAddress,
    ) -> Result<(), RouteError> {
        let hops = hops_but(routes, name);
        let name = name.to_owned();
        if come_back(&hops, upstream, listen) {
            return Err(RouteError::Loop { name });
        }
        let reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        match *reserved {
            Some(address) if come_back(&hops, upstream, &address.into()) => {
                Err(RouteError::Reserved { name, address })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Tells the cores which routes there are.
    pub(super) fn publish(&self, routes: &BTreeMap<String, Entry>) {
        self.hops.publish(hops_but(routes, ""));
    }
}

/// All routes but the one of this name, as hops.
fn hops_but(routes: &BTreeMap<String, Entry>, name: &str) -> Vec<Hop> {
    let others = routes.iter().filter(|(other, _)| *other != name);
    others
        .map(|(_, entry)| Hop {
            listen: entry.address.clone(),
            route: Arc::clone(&entry.route),
        })
        .collect()
}
