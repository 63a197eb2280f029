//! `POST /halt`: the red button.

use axum::extract::State;
use brownout_wire::{Halt, Removed};

use crate::{
    answer::Json, audit::Caller, control::Shared, extract::Body, ops::OpError, problem::ApiError,
};

/// On the control thread itself: it waits for no other call.
pub(crate) async fn halt(
    State(control): State<Shared>,
    caller: Caller,
    body: Body,
) -> Result<Json<Removed>, ApiError> {
    let halt = match body.optional_json()? {
        None => Halt::default(),
        Some(value) => Halt::read(&value).map_err(OpError::Invalid)?,
    };
    let removed = control.ops.halt(halt.rearm_after, caller);
    Ok(Json(Removed {
        removed,
        faults: None,
    }))
}
