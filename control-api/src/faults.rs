//! `/faults`: start and end what goes wrong.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_fault::{FaultSpec, FaultWriter, State as FaultState, is_name, read::Problem};
use brownout_wire::{FaultAnswer, FaultList, Removed};
use serde_json::Value;

use crate::{
    answer::Json,
    audit::Caller,
    bounds,
    control::Shared,
    extract::{Body, Name, Query},
    off_thread::off_thread,
    ops::{OpError, Ops},
    problem::ApiError,
    words::unknown,
};

/// `POST /faults`: arms one fault, or all of a list or none.
pub(crate) async fn arm(
    State(control): State<Shared>,
    caller: Caller,
    query: Query,
    body: Body,
) -> Result<Response, ApiError> {
    let [] = query.only(&[])?;
    off_thread(&control, move |ops| {
        let value = body.json()?;
        let Value::Array(items) = &value else {
            let spec = read(ops, &value).map_err(OpError::Invalid)?;
            let armed = ops.arm(vec![spec], caller)?;
            let mut answers = armed.into_iter().map(FaultAnswer::from);
            let answer = answers.next().ok_or(OpError::ShuttingDown)?;
            let location = [(header::LOCATION, format!("/faults/{}", answer.id))];
            return Ok((StatusCode::CREATED, location, Json(answer)).into_response());
        };
        let armed = ops.arm(read_all(ops, items)?, caller)?;
        let faults: Vec<FaultAnswer> = armed.into_iter().map(Into::into).collect();
        Ok((StatusCode::CREATED, Json(FaultList { faults })).into_response())
    })
    .await
}

/// `GET /faults?route=&state=`.
pub(crate) async fn list(
    State(control): State<Shared>,
    query: Query,
) -> Result<Response, ApiError> {
    let [route, state] = query.only(&["route", "state"])?;
    let state = state.map(|word| known_state(&word)).transpose()?;
    off_thread(&control, move |ops| {
        let named = |fault: &brownout_fault::FaultStatus| {
            let route = route.as_deref();
            route.is_none_or(|name| fault.spec.route.include(name))
        };
        let faults = ops
            .faults()
            .into_iter()
            .filter(named)
            .filter(|fault| state.is_none_or(|state| fault.state == state))
            .map(FaultAnswer::from)
            .collect();
        Ok(Json(FaultList { faults }).into_response())
    })
    .await
}

/// `GET /faults/kinds`: the reference of all kinds, with an example of each.
pub(crate) async fn kinds(
    State(control): State<Shared>,
    query: Query,
) -> Result<Response, ApiError> {
    let [] = query.only(&[])?;
    off_thread(&control, |_| {
        Ok(Json(brownout_fault::reference::kinds_value()).into_response())
    })
    .await
}

/// `GET /faults/{id}`.
pub(crate) async fn show(
    State(control): State<Shared>,
    Name(id): Name,
) -> Result<Json<FaultAnswer>, ApiError> {
    off_thread(&control, move |ops| Ok(Json(ops.fault(&id)?.into()))).await
}

/// `PUT /faults/{id}`: creates or replaces.
pub(crate) async fn put(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    body: Body,
) -> Result<Response, ApiError> {
    if !is_name(&id) {
        let detail = "the id in the path is none: up to 64 of a-z, 0-9, `.`, `_` and `-`";
        return Err(ApiError::invalid(Problem::at("id", detail)));
    }
    off_thread(&control, move |ops| {
        let mut value = body.json()?;
        if let Value::Object(members) = &mut value {
            match members.get("id") {
                Some(named) if *named != id.as_str() => {
                    let detail = format!("is not the id in the path, `{id}`");
                    return Err(ApiError::invalid(Problem::at("id", detail)));
                }
                _ => drop(members.insert("id".to_owned(), id.clone().into())),
            }
        }
        let spec = read(ops, &value).map_err(OpError::Invalid)?;
        let (fault, is_new) = ops.put(&id, spec, caller)?;
        let status = match is_new {
            true => StatusCode::CREATED,
            false => StatusCode::OK,
        };
        let location = [(header::LOCATION, format!("/faults/{id}"))];
        Ok((status, location, Json(FaultAnswer::from(fault))).into_response())
    })
    .await
}

/// `PATCH /faults/{id}`: a JSON merge patch (RFC 7396), validated as a whole.
pub(crate) async fn patch(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    body: Body,
) -> Result<Json<FaultAnswer>, ApiError> {
    off_thread(&control, move |ops| {
        let value = body.json()?;
        bounds::check(&value).map_err(OpError::Invalid)?;
        Ok(Json(ops.patch(&id, &value, caller)?.into()))
    })
    .await
}

/// `DELETE /faults/{id}`.
pub(crate) async fn remove(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    control.ops.remove(&id, caller)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /faults`: all of them.
pub(crate) async fn clear(
    State(control): State<Shared>,
    caller: Caller,
    query: Query,
) -> Result<Json<Removed>, ApiError> {
    let [] = query.only(&[])?;
    let removed = control.ops.clear(caller);
    Ok(Json(Removed { removed }))
}

fn read(ops: &Ops, value: &Value) -> Result<FaultSpec, Vec<Problem>> {
    bounds::check(value)?;
    ops.read_fault(value)
}

/// Reads a list: all of it, or what is wrong with its first elements.
fn read_all(ops: &Ops, items: &[Value]) -> Result<Vec<FaultSpec>, OpError> {
    const PROBLEMS_ENOUGH: usize = 50;
    if items.is_empty() {
        let detail = "is an empty list; there is nothing to arm";
        return Err(OpError::invalid(Problem::here(detail)));
    }
    if items.len() > FaultWriter::FAULTS_MAX {
        let (count, max) = (items.len(), FaultWriter::FAULTS_MAX);
        let detail = format!("there may be {max} faults at a time; these are {count}");
        return Err(OpError::TooMany(detail));
    }
    let mut specs = Vec::with_capacity(items.len());
    let mut problems: Vec<Problem> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match read(ops, item) {
            Ok(spec) => specs.push(spec),
            Err(found) => {
                let index = index.to_string();
                problems.extend(found.into_iter().map(|problem| problem.under(&index)));
            }
        }
        if problems.len() >= PROBLEMS_ENOUGH {
            break;
        }
    }
    if problems.is_empty() {
        Ok(specs)
    } else {
        Err(OpError::Invalid(problems))
    }
}

fn known_state(word: &str) -> Result<FaultState, ApiError> {
    FaultState::parse(word).ok_or_else(|| {
        ApiError::invalid(Problem {
            pointer: "?state".to_owned(),
            detail: unknown("state", word, &["waiting", "active", "spent"]),
        })
    })
}
