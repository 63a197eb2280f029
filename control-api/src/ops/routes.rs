//! Making, changing and deleting routes.

use brownout_fault::Routes;
use brownout_proxy::{
    HostField, Journal, ListenerTls, ListenerTlsChange, NewRoute, RouteChange, RouteStatus,
    ServedTls, Upstream,
};
use serde_json::{Map, Value, json};

use super::{Change, EndReason, OpError, Ops, shown_options, shown_tls, shown_upstream_tls};
use crate::audit::Caller;

impl Ops {
    /// TLS of the control API itself.
    pub(crate) fn serve_tls(&self, tls: ListenerTls) -> Result<ServedTls, OpError> {
        Ok(self.0.gateway.serve_tls(tls)?)
    }

    /// All routes, sorted by name.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteStatus> {
        self.0.gateway.routes()
    }

    /// One route.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<RouteStatus> {
        self.0.gateway.route(name)
    }

    /// The records of requests; `None` if none are kept.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.0.gateway.journal()
    }

    /// Makes a route. When this returns, its address accepts connections.
    ///
    /// # Errors
    /// When the name or the address is taken, the address cannot be listened on, or there are too many routes.
    pub fn add_route(&self, new: NewRoute, caller: Caller) -> Result<RouteStatus, OpError> {
        let mut shown = Map::new();
        shown.insert("listen".to_owned(), json!(new.listen.to_string()));
        shown.extend(shown_upstream(&new.upstream));
        if let Some(tls) = &new.tls {
            shown.insert("tls".to_owned(), json!(shown_tls(tls)));
        }
        shown.insert("enabled".to_owned(), json!(new.enabled));
        shown.insert("caller_faults".to_owned(), json!(new.caller_faults));
        if new.accept_proxy {
            shown.insert("accept_proxy".to_owned(), json!(true));
        }
        // Before the lock, as it may take long.
        if let Some(tls) = &new.tls {
            self.0.gateway.prepare_tls(tls)?;
        }
        let mut change = self.change(caller);
        let route = self.0.gateway.add_route(new)?;
        change.done("route.add", vec![route.name.clone()], Value::Object(shown));
        Ok(route)
    }

    /// Changes a route. If a new address cannot be listened on, everything stays as it was.
    ///
    /// # Errors
    /// When there is no such route, the upstream speaks another protocol, or the address cannot be listened on.
    pub fn change_route(
        &self,
        name: &str,
        wanted: RouteChange,
        caller: Caller,
    ) -> Result<RouteStatus, OpError> {
        let mut shown = Map::new();
        if let Some(listen) = &wanted.listen {
            shown.insert("listen".to_owned(), json!(listen.to_string()));
        }
        if let Some(upstream) = &wanted.upstream {
            shown.extend(shown_upstream(upstream));
        }
        match &wanted.tls {
            None => {}
            Some(ListenerTlsChange::Off) => {
                shown.insert("tls".to_owned(), json!("off"));
            }
            Some(ListenerTlsChange::To(tls)) => {
                shown.insert("tls".to_owned(), json!(shown_tls(tls)));
            }
        }
        if let Some(enabled) = wanted.enabled {
            shown.insert("enabled".to_owned(), json!(enabled));
        }
        if let Some(caller_faults) = &wanted.caller_faults {
            shown.insert("caller_faults".to_owned(), json!(caller_faults));
        }
        if let Some(accept_proxy) = wanted.accept_proxy {
            shown.insert("accept_proxy".to_owned(), json!(accept_proxy));
        }
        // Before the lock, as it may take long.
        if let Some(ListenerTlsChange::To(tls)) = &wanted.tls {
            self.0.gateway.prepare_tls(tls)?;
        }
        let mut change = self.change(caller);
        let listens = wanted.listen.is_some();
        let route = self.0.gateway.change_route(name, wanted)?;
        if listens || route.enabled {
            change.state.toxics.forget_listen(name);
        }
        change.done("route.change", vec![name.to_owned()], Value::Object(shown));
        Ok(route)
    }

    /// Deletes a route, and the faults that name it and no other route that is left.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn remove_route(&self, name: &str, caller: Caller) -> Result<(), OpError> {
        let mut change = self.change(caller);
        if !self.0.gateway.remove_route(name) {
            return Err(OpError::NoRoute(name.to_owned()));
        }
        change.state.toxics.forget_listen(name);
        let gone = change.remove_strays(&[name.to_owned()]);
        change.done("route.remove", vec![name.to_owned()], Value::Null);
        change.done("fault.remove", gone, Value::Null);
        Ok(())
    }
}

/// Where requests go, and how.
fn shown_upstream(upstream: &Upstream) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("upstream".to_owned(), json!(upstream.to_string()));
    if let Some(tls) = upstream.tls() {
        let tls = shown_upstream_tls(tls.options());
        shown.insert("upstream_tls".to_owned(), json!(tls));
    }
    if *upstream.host_field() != HostField::Keep {
        shown.insert("host".to_owned(), json!(upstream.host_field().as_str()));
    }
    if let Value::Object(options) = json!(shown_options(upstream.options())) {
        shown.extend(options);
    }
    shown
}

impl Change<'_> {
    /// Removes the faults that name one of these routes and none that is left. The ids that are gone.
    pub(super) fn remove_strays(&mut self, removed: &[String]) -> Vec<String> {
        let gateway = &self.ops.gateway;
        let is_left = |named: &String| gateway.route(named).is_some();
        self.remove_where(EndReason::Route, |spec, _| match &spec.route {
            Routes::All => false,
            Routes::Named(names) => {
                names.iter().any(|named| removed.contains(named)) && !names.iter().any(is_left)
            }
        })
    }
}
