//! Whether the routes that a fault names are there and can carry it.

use brownout_fault::{
    FaultSpec, Routes,
    read::{Problem, shorten},
};
use brownout_proxy::{ListenAddress, Protocol, RouteStatus};
use serde_json::Value;

use super::{Ops, Shared};
use crate::words::{listed, nearest};

impl Shared {
    /// Whether every route that a fault names is there and can carry it: without words, for under the lock.
    pub(super) fn fits(&self, spec: &FaultSpec) -> bool {
        match &spec.route {
            Routes::All => true,
            Routes::Named(names) => names.iter().all(|name| {
                let route = self.gateway.route(name);
                route.is_some_and(|route| {
                    cannot_carry(&route.name, route.protocol, &route.listen, spec).is_ok()
                })
            }),
        }
    }
}

impl Ops {
    /// One problem for each route that a fault names and that is not there, or cannot carry it.
    pub(super) fn unfit_routes(&self, spec: &FaultSpec) -> Vec<Problem> {
        let Routes::Named(names) = &spec.route else {
            return Vec::new();
        };
        problems_of(names, &self.0.gateway.routes(), |route| {
            cannot_carry(&route.name, route.protocol, &route.listen, spec).err()
        })
    }

    /// One problem for each route that is named and not there, of a fault that cannot be read otherwise.
    pub(super) fn unknown_routes(&self, fault: &Value) -> Vec<Problem> {
        match fault.get("route").map(Routes::read) {
            Some(Ok(Routes::Named(names))) => {
                problems_of(&names, &self.0.gateway.routes(), |_| None)
            }
            Some(Ok(Routes::All) | Err(_)) | None => Vec::new(),
        }
    }
}

/// One problem for each of `names` that is no route, or that `unfit` finds one with.
fn problems_of(
    names: &[String],
    routes: &[RouteStatus],
    unfit: impl Fn(&RouteStatus) -> Option<Problem>,
) -> Vec<Problem> {
    let known: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    let problem = |name: &str| match routes.iter().find(|route| route.name == name) {
        Some(route) => unfit(route),
        None => Some(Problem::here(no_route(name, &known))),
    };
    let placed = |(index, problem): (usize, Problem)| {
        if !problem.pointer.is_empty() {
            return problem; // A field that does not go with the route.
        }
        let problem = if names.len() > 1 {
            problem.under(&index.to_string())
        } else {
            problem
        };
        problem.under("route")
    };
    let problems = names.iter().map(|name| problem(name)).enumerate();
    problems
        .filter_map(|(index, problem)| Some((index, problem?)))
        .map(placed)
        .collect()
}

/// Says that there is no such route, with the nearest name or those that there are.
pub(super) fn no_route(name: &str, known: &[&str]) -> String {
    let shown = shorten(name);
    match nearest(name, known) {
        Some(near) => format!("there is no route `{shown}`; did you mean `{near}`?"),
        None if known.is_empty() => {
            format!("there is no route `{shown}`; make one with POST /routes")
        }
        None => format!("there is no route `{shown}`; there are {}", listed(known)),
    }
}

/// Checks that a fault can act on a route. The problem has no place when it is the route itself.
pub(super) fn cannot_carry(
    name: &str,
    carries: Protocol,
    listen: &ListenAddress,
    spec: &FaultSpec,
) -> Result<(), Problem> {
    check_socket(name, listen, spec)?;
    let (check, carries) = match carries {
        Protocol::Http => (spec.check_http(), "requests (http)"),
        Protocol::Tcp => (spec.check_stream(), "bytes (tcp)"),
    };
    check.map_err(|problem| match problem.pointer.as_str() {
        "" => Problem::here(format!(
            "{}, and the route `{name}` carries {carries}",
            problem.detail
        )),
        _ => problem,
    })
}

/// A Unix socket has neither a reset nor packets that could be lost.
fn check_socket(name: &str, listen: &ListenAddress, spec: &FaultSpec) -> Result<(), Problem> {
    let why = match (listen, spec.fault.name()) {
        (ListenAddress::Tcp(_), _) => return Ok(()),
        (ListenAddress::Unix(_), "reset") => {
            "has no reset (RST): take `truncate`, `blackhole` with `then` \"close\", or the kind `close`"
        }
        (ListenAddress::Unix(_), "blackhole") if spec.fault.to_value()["at"] == "syn" => {
            "has no SYN that could be ignored; take another `at`"
        }
        (ListenAddress::Unix(_), _) => return Ok(()),
    };
    Err(Problem::here(format!(
        "the route `{name}` listens on a Unix socket, which {why}"
    )))
}
