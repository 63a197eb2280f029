//! `/leases`: the dead-man switch.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_fault::{Moment, units::show_duration};
use brownout_wire::{LeaseAnswer, LeaseList, LeaseRenewal, LeaseSpec};
use jiff::Timestamp;

use crate::{
    answer::Json,
    audit::Caller,
    bounds,
    control::Shared,
    extract::{Body, Name},
    off_thread::off_thread,
    ops::{Lease, OpError},
    problem::ApiError,
};

/// `POST /leases`.
pub(crate) async fn add(
    State(control): State<Shared>,
    caller: Caller,
    body: Body,
) -> Result<Response, ApiError> {
    off_thread(&control, move |ops| {
        let value = body.json()?;
        bounds::check(&value).map_err(OpError::Invalid)?;
        let spec = LeaseSpec::read(&value).map_err(OpError::Invalid)?;
        let lease = ops.add_lease(spec, caller)?;
        let location = [(header::LOCATION, format!("/leases/{}", lease.id))];
        Ok((StatusCode::CREATED, location, Json(answer(lease))).into_response())
    })
    .await
}

/// `GET /leases`.
pub(crate) async fn list(State(control): State<Shared>) -> Result<Json<LeaseList>, ApiError> {
    off_thread(&control, |ops| {
        let leases = ops.leases().into_iter().map(answer).collect();
        Ok(Json(LeaseList { leases }))
    })
    .await
}

/// `GET /leases/{id}`.
pub(crate) async fn show(
    State(control): State<Shared>,
    Name(id): Name,
) -> Result<Json<LeaseAnswer>, ApiError> {
    Ok(Json(answer(control.ops.lease(&id)?)))
}

/// `PUT /leases/{id}`: renews. On the control thread itself: a renewal that waits for others comes too late.
pub(crate) async fn renew(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    body: Body,
) -> Result<Json<LeaseAnswer>, ApiError> {
    let renewal = match body.optional_json()? {
        None => LeaseRenewal::default(),
        Some(value) => LeaseRenewal::read(&value).map_err(OpError::Invalid)?,
    };
    let lease = control.ops.renew_lease(&id, renewal.ttl, caller)?;
    Ok(Json(answer(lease)))
}

/// `DELETE /leases/{id}`: with its faults.
pub(crate) async fn remove(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    control.ops.remove_lease(&id, caller)?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(lease: Lease) -> LeaseAnswer {
    LeaseAnswer {
        id: lease.id,
        ttl: show_duration(lease.ttl),
        owner: lease.owner,
        created_at: timestamp(lease.created_at),
        expires_at: timestamp(lease.expires_at),
        faults: lease.faults,
    }
}

fn timestamp(moment: Moment) -> Timestamp {
    let exact = Timestamp::try_from(moment.wall).unwrap_or(Timestamp::MAX);
    exact.round(jiff::Unit::Millisecond).unwrap_or(exact)
}
