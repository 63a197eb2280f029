//! Toxics: faults of `tcp` routes under the names and in the units of Toxiproxy.

mod kind;

use std::collections::HashMap;

use brownout_fault::{FaultSpec, FaultStatus, Layer, Routes};
use serde_json::{Map, Value, json};

pub use self::kind::{Attributes, InvalidToxic, ToxicKind};
use super::{Change, EndReason, OpError, Ops};
use crate::audit::Caller;

/// A toxic. As a fault it has the id `PROXY.TOXIC`.
#[derive(Debug, Clone, PartialEq)]
pub struct Toxic {
    /// Unique on its proxy, in both directions.
    pub name: String,
    /// What it does.
    pub kind: ToxicKind,
    /// `upstream` or `downstream`, in the letters in which it was sent.
    pub stream: String,
    /// The share of connections, 0 to 1.
    pub toxicity: f32,
    /// How it does it: every attribute of its kind.
    pub attributes: Attributes,
}

impl Toxic {
    /// The id of its fault.
    #[must_use]
    pub fn id(&self, proxy: &str) -> String {
        format!("{proxy}.{}", self.name)
    }

    fn is_upstream(&self) -> bool {
        self.stream.eq_ignore_ascii_case("upstream")
    }

    /// The fault that does what the toxic says.
    ///
    /// # Errors
    /// When its attributes make no sense.
    pub fn to_fault(&self, proxy: &str) -> Result<FaultSpec, InvalidToxic> {
        let (kind, params) = self.kind.fault(&self.attributes)?;
        let share = f64::from(self.toxicity).clamp(0.0, 1.0);
        // As fine as a share is kept: one in a million.
        let percent = match self.kind.acts(&self.attributes) {
            false => 0.0,
            true => (share * 1e6).round() / 1e4,
        };
        let value = json!({
            "route": "*", kind: params, "layer": Layer::Stream.name(),
            "direction": self.stream.to_lowercase(), "percent": percent, "ttl": "none",
        });
        let mut spec =
            FaultSpec::read(&value).map_err(|problems| InvalidToxic::of(problems.first()))?;
        // Names of Toxiproxy are free text, which the reader would refuse.
        spec.id = Some(self.id(proxy));
        spec.route = Routes::Named(vec![proxy.to_owned()]);
        Ok(spec)
    }
}

/// The toxics of a proxy that are armed, in the order in which bytes meet them.
fn in_order<'t>(toxics: impl Iterator<Item = &'t Toxic>) -> Vec<Toxic> {
    let (upstream, downstream): (Vec<&Toxic>, Vec<&Toxic>) =
        toxics.partition(|toxic| toxic.is_upstream());
    upstream.into_iter().chain(downstream).cloned().collect()
}

impl Ops {
    /// The toxics of a proxy: those of the bytes to the upstream first, each direction in the order of adding.
    #[must_use]
    pub fn toxics(&self, proxy: &str) -> Vec<Toxic> {
        let state = self.state();
        in_order(state.toxics.of(proxy))
    }

    /// Where a disabled proxy is to listen, as it was written; `None` where its route says that.
    pub(crate) fn listen_text(&self, proxy: &str) -> Option<ListenText> {
        self.state().toxics.listens.get(proxy).cloned()
    }

    /// Keeps where a disabled proxy is to listen, as it was written.
    pub(crate) fn keep_listen_text(&self, proxy: &str, listen: ListenText) {
        let mut state = self.state();
        state.toxics.listens.insert(proxy.to_owned(), listen);
    }

    /// Adds a toxic, on open connections too.
    ///
    /// # Errors
    /// When its name is taken, its attributes make no sense, arming is locked, or there is no such proxy.
    pub fn add_toxic(&self, proxy: &str, toxic: Toxic, caller: Caller) -> Result<Toxic, OpError> {
        let mut change = self.change(caller);
        change.check_proxy(proxy)?;
        change.state.check_may_arm(change.now)?;
        let id = toxic.id(proxy);
        if change.current_fault(&id).is_some() {
            return Err(OpError::Taken("toxic already exists".to_owned()));
        }
        let spec = toxic.to_fault(proxy)?;
        let (now, shown) = (change.now, spec.to_value());
        let mut writer = change.state.writer.on_behalf_of(caller.origin);
        writer.arm(vec![spec], now)?;
        drop(writer);
        change.state.toxics.keep(proxy, toxic.clone());
        change.done("fault.arm", vec![id], shown);
        Ok(toxic)
    }

    /// Changes attributes, each by itself, and the toxicity; `None` keeps it.
    ///
    /// # Errors
    /// As [`add_toxic`](Self::add_toxic), and when there is no such toxic.
    pub fn change_toxic(
        &self,
        proxy: &str,
        name: &str,
        attributes: &Map<String, Value>,
        toxicity: Option<f32>,
        caller: Caller,
    ) -> Result<Toxic, OpError> {
        let mut change = self.change(caller);
        change.check_proxy(proxy)?;
        let toxic = change
            .state
            .toxics
            .of(proxy)
            .find(|toxic| toxic.name == name);
        let mut toxic = toxic.cloned().ok_or(OpError::NoToxic)?;
        change.state.check_may_arm(change.now)?;
        toxic.attributes = toxic.kind.attributes(Some(&toxic.attributes), attributes)?;
        toxic.toxicity = toxicity.unwrap_or(toxic.toxicity);
        let id = toxic.id(proxy);
        let spec = toxic.to_fault(proxy)?;
        let (now, shown) = (change.now, spec.to_value());
        let before = change.current_fault(&id);
        if before.as_ref().is_some_and(|before| before.spec == spec) {
            change.state.toxics.keep(proxy, toxic.clone());
            return Ok(toxic);
        }
        let kind = spec.fault.name();
        let keeps_its_kind = before.is_some_and(|before| before.spec.fault.name() == kind);
        let mut patched = false;
        if keeps_its_kind {
            // Counts and draws go on. The reader refuses ids that are free text: those begin anew.
            let patch = json!({ kind: spec.fault.to_value(), "percent": spec.percent.to_value() });
            let mut writer = change.state.writer.on_behalf_of(caller.origin);
            patched = writer.patch(&id, &patch, now).is_ok();
            drop(writer);
        }
        if !patched {
            change.put_fault(&id, spec)?;
        }
        change.state.toxics.keep(proxy, toxic.clone());
        change.done("fault.put", vec![id], shown);
        Ok(toxic)
    }

    /// Removes a toxic.
    ///
    /// # Errors
    /// When there is no such proxy or toxic.
    pub fn remove_toxic(&self, proxy: &str, name: &str, caller: Caller) -> Result<(), OpError> {
        let mut change = self.change(caller);
        change.check_proxy(proxy)?;
        let toxic = change
            .state
            .toxics
            .of(proxy)
            .find(|toxic| toxic.name == name);
        let id = toxic.ok_or(OpError::NoToxic)?.id(proxy);
        let gone = change.remove_where(EndReason::Removed, |spec, _| spec.id.as_ref() == Some(&id));
        change.done("fault.remove", gone, Value::Null);
        Ok(())
    }

    /// Enables every `tcp` route and removes every toxic. A proxy that has no address to listen on stays disabled.
    ///
    /// # Errors
    /// When an address cannot be listened on any more; the toxics are gone all the same.
    pub fn reset_toxics(&self, caller: Caller) -> Result<(), OpError> {
        let mut change = self.change(caller);
        let ids = change.state.toxics.ids();
        let gone = change.remove_where(EndReason::Removed, |spec, _| {
            spec.id.as_ref().is_some_and(|id| ids.contains(id))
        });
        change.done("fault.remove", gone, json!("toxics"));
        let mut enabled = Vec::new();
        let mut failed = None;
        for route in self.0.gateway.routes() {
            if route.enabled || route.protocol != brownout_proxy::Protocol::Tcp {
                continue;
            }
            let listens = &change.state.toxics.listens;
            if listens.get(&route.name).is_some_and(|it| !it.is_address) {
                continue;
            }
            let enable = brownout_proxy::RouteChange {
                enabled: Some(true),
                ..brownout_proxy::RouteChange::default()
            };
            match self.0.gateway.change_route(&route.name, enable) {
                Ok(route) => {
                    change.state.toxics.forget_listen(&route.name);
                    enabled.push(route.name);
                }
                Err(error) => failed = Some(error),
            }
        }
        change.done("route.change", enabled, json!({ "enabled": true }));
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Change<'_> {
    fn check_proxy(&self, name: &str) -> Result<(), OpError> {
        let route = self.ops.gateway.route(name);
        let is_proxy = route.is_some_and(|route| route.protocol == brownout_proxy::Protocol::Tcp);
        match is_proxy {
            true => Ok(()),
            false => Err(OpError::NoRoute(name.to_owned())),
        }
    }

    fn current_fault(&self, id: &str) -> Option<FaultStatus> {
        self.state.writer.status(id, self.now.instant)
    }
}

/// What only this front knows.
#[derive(Debug, Default)]
pub(super) struct Toxics {
    /// Those that are armed, each with its proxy, in the order of adding.
    armed: Vec<(String, Toxic)>,
    /// Where proxies that were made disabled are to listen, as it was written: it may be no address. By proxy, until that
    /// is enabled or deleted.
    listens: HashMap<String, ListenText>,
}

/// Where a disabled proxy is to listen, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenText {
    pub(crate) text: String,
    /// Whether it is an address, which its route then has.
    pub(crate) is_address: bool,
}

impl Toxics {
    fn of(&self, proxy: &str) -> impl Iterator<Item = &Toxic> {
        let all = self.armed.iter();
        all.filter(move |(of, _)| of == proxy)
            .map(|(_, toxic)| toxic)
    }

    fn ids(&self) -> Vec<String> {
        self.armed
            .iter()
            .map(|(proxy, toxic)| toxic.id(proxy))
            .collect()
    }

    fn keep(&mut self, proxy: &str, toxic: Toxic) {
        let mut all = self.armed.iter_mut();
        match all.find(|(of, known)| of == proxy && known.name == toxic.name) {
            Some((_, known)) => *known = toxic,
            None => self.armed.push((proxy.to_owned(), toxic)),
        }
    }

    /// Forgets the toxic whose fault this was.
    pub(super) fn forget(&mut self, id: &str) {
        self.armed.retain(|(proxy, toxic)| toxic.id(proxy) != id);
    }

    /// Forgets where a proxy was to listen: it does, or is gone.
    pub(super) fn forget_listen(&mut self, proxy: &str) {
        self.listens.remove(proxy);
    }

    /// Whether the fault of this id is a toxic.
    pub(super) fn has(&self, id: &str) -> bool {
        self.armed
            .iter()
            .any(|(proxy, toxic)| toxic.id(proxy) == id)
    }
}

impl From<InvalidToxic> for OpError {
    fn from(error: InvalidToxic) -> Self {
        Self::invalid(brownout_fault::read::Problem::here(error.0))
    }
}
