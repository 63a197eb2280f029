//! Which call goes where.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::Method,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use brownout_fault::read::shorten;

use crate::{
    auth, client_connections,
    control::{self, Control},
    events, explain, faults, halt, health, leases, metrics, openapi,
    problem::ApiError,
    requests, routes, toxiproxy, unread, version,
    words::nearest,
};

/// The paths, for a hint when none fits.
const PATHS: [&str; 14] = [
    "/faults",
    "/faults/kinds",
    "/routes",
    "/requests",
    "/connections",
    "/events",
    "/leases",
    "/explain",
    "/halt",
    "/healthz",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi.json",
];

pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route(
            "/faults",
            get(faults::list).post(faults::arm).delete(faults::clear),
        )
        .route("/faults/kinds", get(faults::kinds))
        .route(
            "/faults/{id}",
            get(faults::show)
                .put(faults::put)
                .patch(faults::patch)
                .delete(faults::remove),
        )
        .route("/routes", get(routes::list).post(routes::add))
        .route(
            "/routes/{name}",
            get(routes::show)
                .patch(routes::patch)
                .delete(routes::remove),
        )
        .route("/requests", get(requests::list))
        .route("/explain", post(explain::explain))
        .route("/events", get(events::listen))
        .route("/connections", get(client_connections::list))
        .route("/leases", get(leases::list).post(leases::add))
        .route(
            "/leases/{id}",
            get(leases::show).put(leases::renew).delete(leases::remove),
        )
        .route("/halt", post(halt::halt))
        .route("/healthz", get(health::health))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .route("/version", get(version::version))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .merge(toxiproxy::router())
        .layer(middleware::from_fn_with_state(
            Arc::clone(&control),
            auth::admit,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&control),
            control::observe,
        ))
        .layer(middleware::from_fn(unread::read_the_rest))
        .with_state(control)
}

async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    if toxiproxy::is_ours(path) {
        return toxiproxy::nothing_here(request.uri());
    }
    let refused = ApiError::NoPath(match nearest(path, &PATHS) {
        Some(near) => format!("there is nothing at `{path}`; did you mean `{near}`?"),
        None => format!(
            "there is nothing at `{}`; there are {}",
            shorten(path),
            PATHS.join(", ")
        ),
    });
    refused.into_response()
}

async fn unknown_method(method: Method, request: Request) -> ApiError {
    ApiError::Method(format!(
        "`{}` does not go with `{}`",
        shorten(method.as_str()),
        shorten(request.uri().path())
    ))
}
