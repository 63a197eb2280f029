//! `GET /metrics`: everything that is counted, for a scraper.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use brownout_telemetry::prometheus;

use crate::{control::Shared, off_thread::off_thread, problem::ApiError, toxiproxy};

pub(crate) async fn metrics(State(control): State<Shared>) -> Result<Response, ApiError> {
    let metrics = control.metrics.clone();
    let page = off_thread(&control, move |ops| {
        Ok(prometheus::text(&metrics) + &toxiproxy::metrics::text(&ops.routes()))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], page).into_response())
}
