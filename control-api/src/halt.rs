//! The red button, and the signs of life.

use std::time::Instant;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use brownout_telemetry::prometheus;
use brownout_wire::{Halt, Health, Removed, Version};

use crate::{answer::Json, control::Shared, extract::OptionalInput, problem::Refusal};

/// The version of Toxiproxy whose API we stand in for: its clients decide by it what they may use.
const TOXIPROXY_VERSION: &str = "2.12.0";

/// `POST /halt`: removes every fault at once. With `rearm_after`, nothing may be armed until then; without it
/// a lock that is in force stays.
pub(crate) async fn halt(
    State(control): State<Shared>,
    OptionalInput(value): OptionalInput,
) -> Result<Json<Removed>, Refusal> {
    let halt = match value {
        None => Halt::default(),
        Some(value) => Halt::read(&value).map_err(Refusal::Invalid)?,
    };
    // The lock first: nothing may slip in between.
    if let Some(rearm_after) = halt.rearm_after {
        control.lock_until(Instant::now() + rearm_after);
    }
    let removed = control.change().clear();
    tracing::warn!(?removed, "halted");
    Ok(Json(Removed { removed }))
}

/// `GET /healthz`.
pub(crate) async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
    })
}

/// `GET /metrics`: everything that is counted, for a scraper.
pub(crate) async fn metrics(State(control): State<Shared>) -> Response {
    let page = prometheus::text(&control.metrics);
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], page).into_response()
}

/// `GET /version`.
pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: TOXIPROXY_VERSION.to_owned(),
        brownout: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
