//! `GET /version`: ours, and the one that Toxiproxy's clients look for.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use brownout_wire::Version;

/// The version of Toxiproxy whose API we stand in for: its clients decide by it what they may use.
pub const TOXIPROXY_VERSION: &str = "2.12.0";

/// As the original writes it, down to the space: some clients read it by a pattern.
pub(crate) async fn version() -> Response {
    let version = Version {
        version: TOXIPROXY_VERSION.to_owned(),
        brownout: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let Version { version, brownout } = version;
    let text = format!("{{\"version\": \"{version}\", \"brownout\": \"{brownout}\"}}\n");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
