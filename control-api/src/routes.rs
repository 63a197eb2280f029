//! `/routes`: listeners and the upstreams behind them.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_proxy::{HostField, HttpVersion, Protocol as Carried, RouteStatus, ServerStatus};
use brownout_wire::{
    Protocol, RouteAnswer, RouteList, RoutePatch, RouteSpec, ServerAnswer, ServerState,
};
use serde_json::Value;

use crate::{
    answer::Json,
    audit::Caller,
    bounds,
    control::Shared,
    extract::{Body, Name, Query},
    off_thread::{look_up, off_thread},
    ops::{
        Armed, Filter, OpError, new_route, route_change, shown_options, shown_tls,
        shown_upstream_tls,
    },
    problem::ApiError,
};

/// `GET /routes`.
pub(crate) async fn list(
    State(control): State<Shared>,
    query: Query,
) -> Result<Response, ApiError> {
    let [] = query.only(&[])?;
    off_thread(&control, |ops| {
        let faults = ops.faults(&Filter::default());
        let routes = ops.routes().into_iter();
        let routes = routes.map(|route| answer(route, &faults)).collect();
        Ok(Json(RouteList { routes }).into_response())
    })
    .await
}

/// `POST /routes`.
pub(crate) async fn add(
    State(control): State<Shared>,
    caller: Caller,
    body: Body,
) -> Result<Response, ApiError> {
    let new = look_up(&control, move || {
        let value = read(&body)?;
        let spec = RouteSpec::read(&value).map_err(OpError::Invalid)?;
        Ok(new_route(&spec).map_err(OpError::Invalid)?)
    })
    .await?;
    off_thread(&control, move |ops| {
        let route = ops.add_route(new, caller)?;
        let location = [(header::LOCATION, format!("/routes/{}", route.name))];
        Ok((
            StatusCode::CREATED,
            location,
            Json(answer(route, &ops.faults(&Filter::default()))),
        )
            .into_response())
    })
    .await
}

/// `GET /routes/{name}`.
pub(crate) async fn show(
    State(control): State<Shared>,
    Name(name): Name,
) -> Result<Json<RouteAnswer>, ApiError> {
    off_thread(&control, move |ops| {
        let route = ops.route(&name).ok_or(OpError::NoRoute(name))?;
        Ok(Json(answer(route, &ops.faults(&Filter::default()))))
    })
    .await
}

/// `PATCH /routes/{name}`.
pub(crate) async fn patch(
    State(control): State<Shared>,
    caller: Caller,
    Name(name): Name,
    body: Body,
) -> Result<Json<RouteAnswer>, ApiError> {
    /// Each further attempt means that another call has changed the route.
    const ATTEMPTS_MAX: usize = 32;
    let present = || {
        let route = control.ops.route(&name);
        route.ok_or_else(|| OpError::NoRoute(name.clone()))
    };
    present()?;
    let patch = look_up(&control, move || {
        let value = read(&body)?;
        Ok(RoutePatch::read(&value).map_err(OpError::Invalid)?)
    })
    .await?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (patch, route) = (patch.clone(), present()?);
        let worked_out = move || Ok(route_change(&patch, &route).map_err(OpError::Invalid)?);
        let change = look_up(&control, worked_out).await?;
        let name = name.clone();
        let changed = off_thread(&control, move |ops| {
            let route = ops.change_route(&name, change, caller)?;
            Ok(Json(answer(route, &ops.faults(&Filter::default()))))
        });
        match changed.await {
            Err(ApiError::Op(OpError::Changed(_))) if attempts < ATTEMPTS_MAX => {}
            changed => return changed,
        }
    }
}

/// `DELETE /routes/{name}`: with the faults of which no other route is left.
pub(crate) async fn remove(
    State(control): State<Shared>,
    caller: Caller,
    Name(name): Name,
) -> Result<StatusCode, ApiError> {
    control.ops.remove_route(&name, caller)?;
    Ok(StatusCode::NO_CONTENT)
}

fn read(body: &Body) -> Result<Value, ApiError> {
    let value = body.json()?;
    bounds::check(&value).map_err(OpError::Invalid)?;
    Ok(value)
}

fn answer(route: RouteStatus, faults: &[Armed]) -> RouteAnswer {
    let touching = faults
        .iter()
        .filter(|armed| armed.status.spec.route.include(&route.name));
    RouteAnswer {
        faults: touching.map(|armed| armed.status.id.clone()).collect(),
        name: route.name,
        listen: route.listen.to_string(),
        upstream: route.upstream,
        servers: route.servers.into_iter().map(server).collect(),
        protocol: match (route.protocol, route.options.http) {
            (Carried::Http, HttpVersion::Http1) => Protocol::Http,
            (Carried::Http, HttpVersion::Http2) => Protocol::H2,
            (Carried::Http, HttpVersion::Auto) => Protocol::Auto,
            (Carried::Tcp, _) => Protocol::Tcp,
        },
        tls: route.tls.as_ref().map(shown_tls),
        upstream_tls: route.upstream_tls.as_ref().map(shown_upstream_tls),
        host: match route.host {
            HostField::Keep => None,
            HostField::Upstream | HostField::Text(_) => Some(route.host.as_str().to_owned()),
        },
        options: shown_options(&route.options),
        enabled: route.enabled,
        caller_faults: route.caller_faults,
        accept_proxy: route.accept_proxy,
        connections: route.connections,
        requests: route.requests,
        bytes_in: route.bytes_in,
        bytes_out: route.bytes_out,
        unanswered_syns: route.unanswered_syns,
    }
}

fn server(server: ServerStatus) -> ServerAnswer {
    ServerAnswer {
        url: server.url,
        state: match server.is_failing {
            true => ServerState::Failing,
            false => ServerState::Ok,
        },
        connect_failures: server.connect_failures,
    }
}
