//! Which call goes where.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::Method,
    middleware,
    routing::{get, post},
};
use brownout_fault::read::nearest;

use crate::{auth, control::Control, faults, halt, problem::Refusal, routes};

/// The paths, for a hint when none fits.
const PATHS: [&str; 7] = [
    "/faults",
    "/faults/kinds",
    "/routes",
    "/halt",
    "/healthz",
    "/metrics",
    "/version",
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
        .route("/halt", post(halt::halt))
        .route("/healthz", get(halt::health))
        .route("/metrics", get(halt::metrics))
        .route("/version", get(halt::version))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&control),
            auth::admit,
        ))
        .with_state(control)
}

async fn unknown_path(request: Request) -> Refusal {
    let path = request.uri().path();
    Refusal::NotFound(match nearest(path, &PATHS) {
        Some(near) => format!("there is nothing at `{path}`; did you mean `{near}`?"),
        None => format!(
            "there is nothing at `{path}`; there are {}",
            PATHS.join(", ")
        ),
    })
}

async fn unknown_method(method: Method, request: Request) -> Refusal {
    Refusal::Method(format!(
        "`{method}` does not go with `{}`",
        request.uri().path()
    ))
}
