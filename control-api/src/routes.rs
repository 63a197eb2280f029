//! `/routes`: listeners and the upstreams behind them.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_fault::{FaultStatus, Routes, read::Problem};
use brownout_proxy::{
    InvalidUpstream, ListenAddress, NewRoute, Protocol as Carried, RouteChange, RouteStatus,
    Upstream,
};
use brownout_wire::{Protocol, RouteAnswer, RouteList, RoutePatch, RouteSpec};
use tokio::task::spawn_blocking;

use crate::{
    answer::Json,
    control::{Shared, now},
    extract::{Input, Name},
    problem::Refusal,
};

/// What is wrong with a route's addresses.
pub type InvalidRoute = Vec<Problem>;

/// Turns a route as it is written into one that the proxy can make. May resolve the name in `listen`.
///
/// # Errors
/// One problem for each address that is none.
pub fn new_route(spec: &RouteSpec) -> Result<NewRoute, InvalidRoute> {
    let patch = RoutePatch {
        listen: Some(spec.listen.clone()),
        upstream: Some(spec.upstream.clone()),
        enabled: None,
    };
    let asked = spec.protocol.map(carried);
    let change = change(&patch, asked)?;
    let (Some(listen), Some(upstream)) = (change.listen, change.upstream) else {
        return Err(Vec::new());
    };
    if let Some(asked) = asked
        && asked != upstream.protocol()
    {
        let detail = format!("is {asked}, but the upstream is {upstream}");
        return Err(vec![Problem::at("protocol", detail)]);
    }
    Ok(NewRoute {
        name: spec.name.clone(),
        listen,
        upstream,
        enabled: spec.enabled,
    })
}

/// Turns a change as it is written into one that the proxy can make, of a route that carries `protocol` if that is
/// known.
fn change(patch: &RoutePatch, protocol: Option<Carried>) -> Result<RouteChange, InvalidRoute> {
    let mut problems = Vec::new();
    let listen = patch.listen.as_deref().and_then(|listen| {
        let parsed = ListenAddress::parse(listen);
        parsed
            .map_err(|error| problems.push(Problem::at("listen", error.to_string())))
            .ok()
    });
    let upstream = patch.upstream.as_deref().and_then(|upstream| {
        let parsed = parse_upstream(upstream, protocol);
        parsed
            .map_err(|error| problems.push(Problem::at("upstream", error.to_string())))
            .ok()
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(RouteChange {
        listen,
        upstream,
        enabled: patch.enabled,
    })
}

/// An upstream without a scheme is read with the one of its route, where only one is possible.
fn parse_upstream(text: &str, protocol: Option<Carried>) -> Result<Upstream, InvalidUpstream> {
    match protocol {
        Some(Carried::Tcp) if !text.contains("://") => Upstream::parse(&format!("tcp://{text}")),
        _ => Upstream::parse(text),
    }
}

fn carried(protocol: Protocol) -> Carried {
    match protocol {
        Protocol::Http => Carried::Http,
        Protocol::Tcp => Carried::Tcp,
    }
}

/// `GET /routes`.
pub(crate) async fn list(State(control): State<Shared>) -> Json<RouteList> {
    let faults: Vec<FaultStatus> = control.faults().statuses(now().instant).collect();
    let routes = control.gateway.routes();
    Json(RouteList {
        routes: routes
            .into_iter()
            .map(|route| answer(route, &faults))
            .collect(),
    })
}

/// `POST /routes`.
pub(crate) async fn add(
    State(control): State<Shared>,
    Input(value): Input,
) -> Result<Response, Refusal> {
    let spec = RouteSpec::read(&value).map_err(Refusal::Invalid)?;
    let new = off_the_thread(move || new_route(&spec)).await?;
    let route = control.gateway.add_route(new)?;
    let location = [(header::LOCATION, format!("/routes/{}", route.name))];
    let faults: Vec<FaultStatus> = control.faults().statuses(now().instant).collect();
    Ok((StatusCode::CREATED, location, Json(answer(route, &faults))).into_response())
}

/// `GET /routes/{name}`.
pub(crate) async fn show(
    State(control): State<Shared>,
    Name(name): Name,
) -> Result<Json<RouteAnswer>, Refusal> {
    let route = control
        .gateway
        .route(&name)
        .ok_or_else(|| Refusal::no_route(&name))?;
    let faults: Vec<FaultStatus> = control.faults().statuses(now().instant).collect();
    Ok(Json(answer(route, &faults)))
}

/// `PATCH /routes/{name}`.
pub(crate) async fn patch(
    State(control): State<Shared>,
    Name(name): Name,
    Input(value): Input,
) -> Result<Json<RouteAnswer>, Refusal> {
    let Some(route) = control.gateway.route(&name) else {
        return Err(Refusal::no_route(&name));
    };
    let patch = RoutePatch::read(&value).map_err(Refusal::Invalid)?;
    let change = off_the_thread(move || change(&patch, Some(route.protocol))).await?;
    let route = control.gateway.change_route(&name, change)?;
    let faults: Vec<FaultStatus> = control.faults().statuses(now().instant).collect();
    Ok(Json(answer(route, &faults)))
}

/// `DELETE /routes/{name}`: with the faults of which no other route is left.
pub(crate) async fn remove(
    State(control): State<Shared>,
    Name(name): Name,
) -> Result<StatusCode, Refusal> {
    if !control.gateway.remove_route(&name) {
        return Err(Refusal::no_route(&name));
    }
    let left = control.gateway.routes();
    control.change().remove_where(|_, spec| match &spec.route {
        Routes::All => false,
        Routes::Named(names) => !names
            .iter()
            .any(|named| left.iter().any(|route| route.name == *named)),
    });
    Ok(StatusCode::NO_CONTENT)
}

/// Resolving a name may block; the red button must not wait for it.
async fn off_the_thread<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, InvalidRoute> + Send + 'static,
) -> Result<T, Refusal> {
    let read = spawn_blocking(read)
        .await
        .map_err(|_| Refusal::ShuttingDown)?;
    read.map_err(Refusal::Invalid)
}

fn answer(route: RouteStatus, faults: &[FaultStatus]) -> RouteAnswer {
    let touching = faults
        .iter()
        .filter(|fault| fault.spec.route.include(&route.name));
    RouteAnswer {
        faults: touching.map(|fault| fault.id.clone()).collect(),
        name: route.name,
        listen: route.listen.to_string(),
        upstream: route.upstream,
        protocol: match route.protocol {
            Carried::Http => Protocol::Http,
            Carried::Tcp => Protocol::Tcp,
        },
        enabled: route.enabled,
        connections: route.connections,
        requests: route.requests,
        bytes_in: route.bytes_in,
        bytes_out: route.bytes_out,
    }
}
