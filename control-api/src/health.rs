//! `GET /healthz`: whether the process answers.

use brownout_wire::Health;

use crate::answer::Json;

pub(crate) async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
    })
}
