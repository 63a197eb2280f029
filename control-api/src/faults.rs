//! `/faults`: start and end what goes wrong.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_fault::{
    FaultSpec, PatchError, State as FaultState, is_name,
    read::{Problem, unknown},
};
use brownout_wire::{FaultAnswer, FaultList, Removed};
use serde_json::Value;

use crate::{
    answer::Json,
    control::{Caller, Control, Shared, now},
    extract::{Input, Name, Query},
    problem::Refusal,
};

/// `POST /faults`: arms one fault, or all of a list or none.
pub(crate) async fn arm(
    State(control): State<Shared>,
    caller: Caller,
    query: Query,
    Input(value): Input,
) -> Result<Response, Refusal> {
    let [] = query.only(&[])?;
    let Value::Array(items) = &value else {
        let spec = read(&control, &value).map_err(Refusal::Invalid)?;
        control.check_lock()?;
        let armed = control.change_for(caller).arm(vec![spec], now())?;
        let mut answers = armed.into_iter().map(FaultAnswer::from);
        let answer = answers.next().ok_or(Refusal::ShuttingDown)?;
        let location = [(header::LOCATION, format!("/faults/{}", answer.id))];
        return Ok((StatusCode::CREATED, location, Json(answer)).into_response());
    };
    if items.is_empty() {
        return Err(Refusal::invalid(Problem::here(
            "is an empty list; there is nothing to arm",
        )));
    }
    let mut specs = Vec::new();
    let mut problems = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match read(&control, item) {
            Ok(spec) => specs.push(spec),
            Err(found) => {
                problems.extend(
                    found
                        .into_iter()
                        .map(|problem| problem.under(&index.to_string())),
                );
            }
        }
    }
    if !problems.is_empty() {
        return Err(Refusal::Invalid(problems));
    }
    control.check_lock()?;
    let armed = control.change_for(caller).arm(specs, now())?;
    let faults: Vec<FaultAnswer> = armed.into_iter().map(Into::into).collect();
    Ok((StatusCode::CREATED, Json(FaultList { faults })).into_response())
}

/// `GET /faults?route=&state=`.
pub(crate) async fn list(
    State(control): State<Shared>,
    query: Query,
) -> Result<Json<FaultList>, Refusal> {
    let [route, state] = query.only(&["route", "state"])?;
    let state = state.map(|word| known_state(&word)).transpose()?;
    let statuses: Vec<_> = control.faults().statuses(now().instant).collect();
    let faults = statuses
        .into_iter()
        .filter(|fault| {
            route
                .as_deref()
                .is_none_or(|name| fault.spec.route.include(name))
        })
        .filter(|fault| state.is_none_or(|state| fault.state == state))
        .map(FaultAnswer::from)
        .collect();
    Ok(Json(FaultList { faults }))
}

/// `GET /faults/kinds`: the reference of all kinds, with an example of each.
pub(crate) async fn kinds(query: Query) -> Result<Json<Value>, Refusal> {
    let [] = query.only(&[])?;
    Ok(Json(brownout_fault::reference::kinds_value()))
}

/// `GET /faults/{id}`.
pub(crate) async fn show(
    State(control): State<Shared>,
    Name(id): Name,
) -> Result<Json<FaultAnswer>, Refusal> {
    let status = control.faults().status(&id, now().instant);
    status
        .map(|status| Json(status.into()))
        .ok_or_else(|| Refusal::no_fault(&id))
}

/// `PUT /faults/{id}`: creates or replaces.
pub(crate) async fn put(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    Input(mut value): Input,
) -> Result<Response, Refusal> {
    if !is_name(&id) {
        let detail = "the id in the path is none: up to 64 of a-z, 0-9, `.`, `_` and `-`";
        return Err(Refusal::invalid(Problem::at("id", detail)));
    }
    if let Value::Object(members) = &mut value {
        match members.get("id") {
            Some(named) if *named != id.as_str() => {
                let detail = format!("is not the id in the path, `{id}`");
                return Err(Refusal::invalid(Problem::at("id", detail)));
            }
            _ => drop(members.insert("id".to_owned(), id.clone().into())),
        }
    }
    let spec = read(&control, &value).map_err(Refusal::Invalid)?;
    control.check_lock()?;
    let (fault, created) = control.change_for(caller).put(&id, spec, now())?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = [(header::LOCATION, format!("/faults/{id}"))];
    Ok((status, location, Json(FaultAnswer::from(fault))).into_response())
}

/// `PATCH /faults/{id}`: a JSON merge patch (RFC 7396), validated as a whole.
pub(crate) async fn patch(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    Input(value): Input,
) -> Result<Json<FaultAnswer>, Refusal> {
    control.check_lock()?;
    // What a fault names was there when it was armed; that a route has gone since is no mistake of this patch.
    let names_routes = value.get("route").is_some();
    let check = |spec: &FaultSpec| match names_routes {
        true => control.unfit_routes(spec),
        false => Vec::new(),
    };
    let patched = control
        .change_for(caller)
        .patch_if(&id, &value, now(), check);
    match patched {
        Ok(status) => Ok(Json(status.into())),
        Err(PatchError::Unknown { id }) => Err(Refusal::no_fault(&id)),
        Err(PatchError::Invalid(mut problems)) => {
            // Those of a patch that can be read are among them.
            let unknown = control.unknown_routes(&value).into_iter();
            let unknown: Vec<Problem> = unknown.filter(|other| !problems.contains(other)).collect();
            problems.extend(unknown);
            Err(Refusal::Invalid(problems))
        }
    }
}

/// `DELETE /faults/{id}`.
pub(crate) async fn remove(
    State(control): State<Shared>,
    Name(id): Name,
) -> Result<StatusCode, Refusal> {
    if control.change().remove(&id, now().instant) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::no_fault(&id))
    }
}

/// `DELETE /faults`: all of them.
pub(crate) async fn clear(
    State(control): State<Shared>,
    query: Query,
) -> Result<Json<Removed>, Refusal> {
    let [] = query.only(&[])?;
    let removed = control.change().clear();
    Ok(Json(Removed { removed }))
}

fn read(control: &Control, value: &Value) -> Result<FaultSpec, Vec<Problem>> {
    let spec = FaultSpec::read(value).map_err(|mut problems| {
        problems.extend(control.unknown_routes(value));
        problems
    })?;
    let problems = control.unfit_routes(&spec);
    if problems.is_empty() {
        Ok(spec)
    } else {
        Err(problems)
    }
}

fn known_state(word: &str) -> Result<FaultState, Refusal> {
    FaultState::parse(word).ok_or_else(|| {
        Refusal::invalid(Problem {
            pointer: "?state".to_owned(),
            detail: unknown("state", word, &["waiting", "active", "spent"]),
        })
    })
}
