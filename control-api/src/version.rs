//! `GET /version`: ours, and the one that Toxiproxy's clients look for.

use brownout_wire::Version;

use crate::answer::Json;

/// The version of Toxiproxy whose API we stand in for: its clients decide by it what they may use.
pub const TOXIPROXY_VERSION: &str = "2.12.0";

pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: TOXIPROXY_VERSION.to_owned(),
        brownout: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
