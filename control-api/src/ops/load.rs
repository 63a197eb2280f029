//! What a configuration file and a command line ask for: at the start, and whenever the file is read again.

use std::fmt;

use brownout_fault::{Routes, read::Problem};
use brownout_proxy::{NewRoute, RouteChange, RouteStatus};
use brownout_wire::FaultDraft;
use serde_json::{Value, json};

use super::{
    Change, EndReason, OpError, Ops,
    fit::{cannot_carry, no_route},
};
use crate::audit::Caller;

/// Routes and faults that a file and a command line ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Routes.
    pub routes: Vec<NewRoute>,
    /// Faults, which may name these routes.
    pub faults: Vec<FaultDraft>,
}

/// What came of a file, to tell what has changed in it.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    routes: Vec<NewRoute>,
    /// Each with the id under which it was armed.
    faults: Vec<(String, FaultDraft)>,
}

/// What a file that was read again has changed, by name and id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Routes that were made.
    pub routes_added: Vec<String>,
    /// Routes that go or listen elsewhere, or were disabled or enabled.
    pub routes_changed: Vec<String>,
    /// Routes that were deleted.
    pub routes_removed: Vec<String>,
    /// Faults that were armed.
    pub faults_armed: Vec<String>,
    /// Faults that were replaced.
    pub faults_changed: Vec<String>,
    /// Faults that were removed.
    pub faults_removed: Vec<String>,
}

impl Reloaded {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("routes added", &self.routes_added),
            ("routes changed", &self.routes_changed),
            ("routes removed", &self.routes_removed),
            ("faults armed", &self.faults_armed),
            ("faults changed", &self.faults_changed),
            ("faults removed", &self.faults_removed),
        ];
        let told = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = told
            .map(|(what, names)| format!("{what}: {}", names.join(", ")))
            .collect();
        match told.as_slice() {
            [] => f.write_str("nothing has changed"),
            told => f.write_str(&told.join("; ")),
        }
    }
}

/// What takes a step back.
enum Undo {
    Delete(String),
    Change(String, RouteChange),
    Make(NewRoute),
}

impl Ops {
    /// Makes all of these routes with all of these faults, or nothing. The faults are armed before the routes accept:
    /// the first request meets them.
    ///
    /// # Errors
    /// As [`arm`](Self::arm) and [`add_route`](Self::add_route).
    pub fn load(&self, wanted: &Wanted, caller: Caller) -> Result<Vec<RouteStatus>, OpError> {
        let names: Vec<String> = wanted.routes.iter().map(|it| it.name.clone()).collect();
        self.reload(wanted, caller)?;
        Ok(names.iter().filter_map(|name| self.route(name)).collect())
    }

    /// Does what has changed since the last [`load`](Self::load) or `reload`, all of it or nothing. Routes and faults that
    /// did not change in the file are left as they are, even where the API has changed or removed them since.
    ///
    /// # Errors
    /// As [`arm`](Self::arm) and [`add_route`](Self::add_route); nothing is changed then.
    pub fn reload(&self, wanted: &Wanted, caller: Caller) -> Result<Reloaded, OpError> {
        check_routes(&wanted.routes, &wanted.faults).map_err(OpError::Invalid)?;
        // Before the lock, as it may take long.
        for route in &wanted.routes {
            if let Some(tls) = &route.tls {
                let prepared = self.0.gateway.prepare_tls(tls);
                prepared.map_err(|error| OpError::from(error).of_route(&route.name))?;
            }
        }
        let mut change = self.change(caller);
        change.state.check_may_arm(change.now)?;
        let before = std::mem::take(&mut change.state.loaded);
        match change.take_over(&before, wanted) {
            Ok((loaded, reloaded)) => {
                change.state.loaded = loaded;
                change.note(&reloaded);
                Ok(reloaded)
            }
            Err(error) => {
                change.state.loaded = before;
                Err(error)
            }
        }
    }
}

impl Change<'_> {
    fn take_over(
        &mut self,
        before: &Loaded,
        wanted: &Wanted,
    ) -> Result<(Loaded, Reloaded), OpError> {
        let mut reloaded = Reloaded::default();
        // Faults: those that are the same stay, whatever became of them.
        let mut old: Vec<Option<&(String, FaultDraft)>> = before.faults.iter().map(Some).collect();
        let mut kept: Vec<Option<String>> = vec![None; wanted.faults.len()];
        for (draft, kept) in wanted.faults.iter().zip(&mut kept) {
            let same = |one: &&mut Option<&(String, FaultDraft)>| {
                one.is_some_and(|(_, before)| before == draft)
            };
            if let Some(one) = old.iter_mut().find(same) {
                *kept = one.take().map(|(id, _)| id.clone());
            }
        }
        let gone: Vec<&str> = old
            .into_iter()
            .flatten()
            .map(|(id, _)| id.as_str())
            .collect();
        let fresh = || {
            wanted
                .faults
                .iter()
                .zip(&kept)
                .filter(|(_, kept)| kept.is_none())
        };
        let replaces = |draft: &FaultDraft| {
            let id = draft.spec.id.as_deref();
            id.is_some_and(|id| {
                gone.contains(&id) && self.state.writer.status(id, self.now.instant).is_some()
            })
        };
        let (changed, new): (Vec<&FaultDraft>, Vec<&FaultDraft>) = fresh()
            .map(|(draft, _)| draft)
            .partition(|draft| replaces(draft));
        for draft in changed.iter().chain(&new) {
            self.state.check_lease(&draft.tags)?;
        }

        // What may fail, with the way back.
        let now = self.now;
        let mut armed = Vec::new();
        if !new.is_empty() {
            let specs = new.iter().map(|draft| draft.spec.clone()).collect();
            let origin = self.caller.origin;
            let statuses = self.state.writer.on_behalf_of(origin).arm(specs, now)?;
            armed = statuses.into_iter().map(|status| status.id).collect();
        }
        let mut undo = Vec::new();
        if let Err(error) =
            self.move_routes(&before.routes, &wanted.routes, &mut undo, &mut reloaded)
        {
            self.take_back(undo);
            self.remove_where(EndReason::Removed, |spec, _| {
                spec.id.as_ref().is_some_and(|id| armed.contains(id))
            });
            return Err(error);
        }

        // What cannot.
        for (id, draft) in armed.iter().zip(&new) {
            self.keep_tags(id, draft.tags.clone());
        }
        for draft in &changed {
            let Some(id) = &draft.spec.id else { continue };
            // It is there, so it needs no further place.
            if self.put_fault(id, draft.spec.clone()).is_ok() {
                self.keep_tags(id, draft.tags.clone());
                reloaded.faults_changed.push(id.clone());
            }
        }
        let doomed =
            |id: &str| gone.contains(&id) && !reloaded.faults_changed.iter().any(|it| it == id);
        let doomed: Vec<String> = gone
            .iter()
            .filter(|id| doomed(id))
            .map(|id| (*id).to_owned())
            .collect();
        reloaded.faults_removed = self.remove_where(EndReason::Removed, |spec, _| {
            let id = spec.id.as_ref();
            id.is_some_and(|id| doomed.contains(id) && !armed.contains(id))
        });
        reloaded.faults_armed.clone_from(&armed);
        let stray = self.remove_strays(&reloaded.routes_removed);
        reloaded.faults_removed.extend(stray);

        let mut armed = armed.into_iter();
        let ids = wanted.faults.iter().zip(kept).map(|(draft, kept)| {
            let id = kept.or_else(|| match &draft.spec.id {
                Some(id) if reloaded.faults_changed.contains(id) => Some(id.clone()),
                _ => armed.next(),
            });
            (id.unwrap_or_default(), draft.clone())
        });
        let loaded = Loaded {
            faults: ids.collect(),
            routes: wanted.routes.clone(),
        };
        Ok((loaded, reloaded))
    }

    /// Makes, changes and deletes routes; `undo` leads back.
    fn move_routes(
        &self,
        before: &[NewRoute],
        wanted: &[NewRoute],
        undo: &mut Vec<Undo>,
        reloaded: &mut Reloaded,
    ) -> Result<(), OpError> {
        let gateway = &self.ops.gateway;
        let old = |name: &str| before.iter().find(|route| route.name == name);
        let same_protocol =
            |a: &NewRoute, b: &NewRoute| a.upstream.protocol() == b.upstream.protocol();
        let goes = |route: &NewRoute| {
            !wanted
                .iter()
                .any(|new| new.name == route.name && same_protocol(new, route))
        };
        // First those whose name or address is needed.
        for route in before.iter().filter(|route| goes(route)) {
            let Some(status) = gateway.route(&route.name) else {
                continue;
            };
            let is_needed = wanted
                .iter()
                .any(|new| new.name == route.name || new.listen.is_served_by(&status.listen));
            if is_needed && gateway.remove_route(&route.name) {
                // At the very address that it had.
                undo.push(Undo::Make(NewRoute {
                    listen: status.listen,
                    ..route.clone()
                }));
                reloaded.routes_removed.push(route.name.clone());
            }
        }
        for new in wanted {
            // One that the API has deleted since is made anew.
            match (old(&new.name), gateway.route(&new.name)) {
                (Some(route), Some(status)) if same_protocol(route, new) => {
                    let change = difference(route, new);
                    if change == RouteChange::default() {
                        continue;
                    }
                    let back = RouteChange {
                        listen: change.listen.as_ref().map(|_| status.listen),
                        upstream: change.upstream.as_ref().map(|_| route.upstream.clone()),
                        tls: change.tls.as_ref().map(|_| status.tls.into()),
                        enabled: change.enabled.map(|_| status.enabled),
                        caller_faults: change.caller_faults.as_ref().map(|_| status.caller_faults),
                        accept_proxy: change.accept_proxy.map(|_| status.accept_proxy),
                        of_revision: None,
                    };
                    gateway.change_route(&new.name, change)?;
                    undo.push(Undo::Change(new.name.clone(), back));
                    reloaded.routes_changed.push(new.name.clone());
                }
                (Some(route), None) if difference(route, new) == RouteChange::default() => {}
                _ => {
                    gateway
                        .add_route(new.clone())
                        .map_err(|error| OpError::from(error).of_route(&new.name))?;
                    undo.push(Undo::Delete(new.name.clone()));
                    reloaded.routes_added.push(new.name.clone());
                }
            }
        }
        // The others when nothing can fail any more.
        for route in before.iter().filter(|route| goes(route)) {
            let is_new = reloaded.routes_added.contains(&route.name);
            if !is_new && gateway.remove_route(&route.name) {
                reloaded.routes_removed.push(route.name.clone());
            }
        }
        Ok(())
    }

    fn take_back(&self, undo: Vec<Undo>) {
        let gateway = &self.ops.gateway;
        for step in undo.into_iter().rev() {
            let taken_back = match step {
                Undo::Delete(name) => {
                    if !gateway.remove_route(&name) {
                        tracing::error!(route = name, "a route that was made just now is gone");
                    }
                    Ok(())
                }
                Undo::Change(name, change) => gateway.change_route(&name, change).map(drop),
                Undo::Make(route) => gateway.add_route(route).map(drop),
            };
            if let Err(error) = taken_back {
                tracing::error!(%error, "a route could not be put back as it was");
            }
        }
    }

    fn note(&mut self, reloaded: &Reloaded) {
        let Reloaded {
            routes_added,
            routes_changed,
            routes_removed,
            faults_armed,
            faults_changed,
            faults_removed,
        } = reloaded.clone();
        let shown = |ids: &[String]| -> Value {
            let drafts = self.state.loaded.faults.iter();
            let drafts = drafts.filter(|(id, _)| ids.contains(id));
            drafts.map(|(_, draft)| draft.to_value()).collect()
        };
        let (armed, changed) = (shown(&faults_armed), shown(&faults_changed));
        let all = |routes: &[String]| json!(routes.len());
        let (added, moved) = (all(&routes_added), all(&routes_changed));
        self.done("route.add", routes_added, added);
        self.done("route.change", routes_changed, moved);
        self.done("route.remove", routes_removed, Value::Null);
        self.done("fault.arm", faults_armed, armed);
        self.done("fault.put", faults_changed, changed);
        self.done("fault.remove", faults_removed, Value::Null);
    }
}

/// What makes one route of the other.
fn difference(from: &NewRoute, to: &NewRoute) -> RouteChange {
    RouteChange {
        listen: (from.listen != to.listen).then(|| to.listen.clone()),
        upstream: (from.upstream != to.upstream).then(|| to.upstream.clone()),
        tls: (from.tls != to.tls).then(|| to.tls.clone().into()),
        enabled: (from.enabled != to.enabled).then_some(to.enabled),
        caller_faults: (from.caller_faults != to.caller_faults).then(|| to.caller_faults.clone()),
        accept_proxy: (from.accept_proxy != to.accept_proxy).then_some(to.accept_proxy),
        of_revision: None,
    }
}

/// One problem for each route that one of `faults` names and that is not among `routes`, or cannot carry it. The
/// pointer begins with `/fault` and the number of the fault.
///
/// # Errors
/// All problems.
pub fn check_routes(routes: &[NewRoute], faults: &[FaultDraft]) -> Result<(), Vec<Problem>> {
    let known: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    let mut problems = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let Routes::Named(names) = &fault.spec.route else {
            continue;
        };
        for name in names {
            let unfit = match routes.iter().find(|route| route.name == *name) {
                Some(route) => {
                    let carries = route.upstream.protocol();
                    cannot_carry(name, carries, &route.listen, &fault.spec).err()
                }
                None => Some(Problem::here(no_route(name, &known))),
            };
            if let Some(problem) = unfit {
                let problem = match problem.pointer.as_str() {
                    "" => problem.under("route"),
                    _ => problem,
                };
                problems.push(problem.under(&index.to_string()).under("fault"));
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}
