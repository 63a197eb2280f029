//! `GET /healthz`: whether the process answers. `GET /readyz`: whether its routes take connections.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use brownout_proxy::RouteStatus;
use brownout_wire::{Health, Ready, RouteReadiness, RouteState};

use crate::{answer::Json, control::Shared};

pub(crate) async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
    })
}

/// 200 while the routes take connections, 503 from the moment on at which the process begins to stop.
///
/// A file's routes are bound before this API is, so nobody is told `ready` too early.
pub(crate) async fn ready(State(control): State<Shared>, request: Request) -> Response {
    let drains = control.ops.is_stopping();
    let routes = control.tokens.may_read(&request).then(|| {
        let routes = control.ops.routes().into_iter();
        routes.map(|route| readiness(route, drains)).collect()
    });
    let (status, word) = match drains {
        false => (StatusCode::OK, "ready"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    let answer = Ready {
        status: word.to_owned(),
        routes,
    };
    (status, Json(answer)).into_response()
}

fn readiness(route: RouteStatus, drains: bool) -> RouteReadiness {
    let state = match (route.enabled, drains) {
        (false, _) => RouteState::Disabled,
        (true, true) => RouteState::Draining,
        (true, false) => RouteState::Listening,
    };
    RouteReadiness {
        name: route.name,
        listen: route.listen.to_string(),
        state,
    }
}
