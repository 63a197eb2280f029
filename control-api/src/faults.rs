//! `/faults`: start and end what goes wrong.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_fault::{
    FaultWriter, State as FaultState, is_name,
    read::{Problem, shorten},
};
use brownout_wire::{FaultAnswer, FaultDraft, FaultList, Removed};
use serde_json::{Value, json};

use crate::{
    answer::Json,
    audit::Caller,
    bounds,
    control::Shared,
    extract::{Body, Name, Query},
    off_thread::off_thread,
    ops::{Armed, Condition, EndReason, Ended, Filter, OpError, Ops, times},
    problem::ApiError,
    words::unknown,
};

/// `POST /faults`: arms one fault, or all of a list or none. With `?dry_run=true` nothing is armed, and the answer says what
/// would be.
pub(crate) async fn arm(
    State(control): State<Shared>,
    caller: Caller,
    query: Query,
    body: Body,
) -> Result<Response, ApiError> {
    let [dry_run] = query.only(&["dry_run"])?;
    let dry_run = is_true("dry_run", dry_run.as_deref())?;
    off_thread(&control, move |ops| {
        ops.check_runs()?;
        let value = body.json()?;
        let drafts = match &value {
            Value::Array(items) => read_all(ops, items)?,
            one => vec![read(ops, one).map_err(OpError::Invalid)?],
        };
        if dry_run {
            ops.try_arm(&drafts)?;
            return Ok(tried(ops, &drafts, value.is_array()));
        }
        let mut armed = ops.arm(drafts, caller)?;
        if value.is_array() {
            let faults = armed.into_iter().map(Into::into).collect();
            return Ok((StatusCode::CREATED, Json(FaultList { faults })).into_response());
        }
        let armed = armed.pop().ok_or(OpError::ShuttingDown)?;
        let location = [(header::LOCATION, format!("/faults/{}", armed.status.id))];
        Ok((StatusCode::CREATED, location, tagged(armed)).into_response())
    })
    .await
}

/// What would be armed: each fault with every default, the routes that it would act on now, and how many of the last requests it
/// would have met.
fn tried(ops: &Ops, drafts: &[FaultDraft], is_list: bool) -> Response {
    let routes = ops.routes();
    let mut shown = drafts.iter().map(|draft| {
        let names = routes.iter().map(|route| route.name.as_str());
        let names: Vec<&str> = names
            .filter(|name| draft.spec.route.include(name))
            .collect();
        let mut value = draft.to_value();
        value["dry_run"] = json!(true);
        value["acts_on"] = json!(names);
        if let Some(recent) = ops.recent(draft) {
            value["recent"] = json!(recent);
        }
        value
    });
    match is_list {
        true => Json(json!({ "faults": shown.collect::<Vec<_>>() })).into_response(),
        false => Json(shown.next()).into_response(),
    }
}

/// `GET /faults?route=&label=&group=&state=`.
pub(crate) async fn list(
    State(control): State<Shared>,
    query: Query,
) -> Result<Response, ApiError> {
    let [route, label, group, state] = query.only(&["route", "label", "group", "state"])?;
    let state = state.map(|word| known_state(&word)).transpose()?;
    let filter = Filter {
        route,
        label,
        group,
    };
    off_thread(&control, move |ops| {
        let armed = ops.faults(&filter).into_iter();
        let armed = armed.filter(|armed| state.is_none_or(|state| armed.status.state == state));
        let mut faults: Vec<FaultAnswer> = armed.map(FaultAnswer::from).collect();
        if let Some(state @ (FaultState::Ended | FaultState::Expired)) = state {
            // One that has expired is armed for a moment at most.
            let is_meant =
                |ended: &Ended| state == FaultState::Ended || ended.reason == EndReason::Expired;
            let ended = ops.ended_faults(&filter).into_iter().filter(is_meant);
            faults.extend(ended.map(|ended| ended_answer(ops, ended)));
        }
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

/// `GET /faults/{id}`: the one that is armed, or else the last one of this id that has ended.
pub(crate) async fn show(
    State(control): State<Shared>,
    Name(id): Name,
) -> Result<Response, ApiError> {
    off_thread(&control, move |ops| match ops.fault(&id) {
        Ok(armed) => Ok(tagged(armed)),
        Err(none) => {
            let ended = ops.ended_fault(&id).ok_or(none)?;
            Ok(Json(ended_answer(ops, ended)).into_response())
        }
    })
    .await
}

/// `PUT /faults/{id}`: creates or replaces.
pub(crate) async fn put(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    condition: Condition,
    body: Body,
) -> Result<Response, ApiError> {
    if !is_name(&id) {
        let detail = "the id in the path is none: up to 64 of a-z, 0-9, `.`, `_` and `-`";
        return Err(ApiError::invalid(Problem::at("id", detail)));
    }
    off_thread(&control, move |ops| {
        ops.check_runs()?;
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
        let draft = read(ops, &value).map_err(OpError::Invalid)?;
        let (armed, is_new) = ops.put(&id, draft, &condition, caller)?;
        let status = match is_new {
            true => StatusCode::CREATED,
            false => StatusCode::OK,
        };
        let location = [(header::LOCATION, format!("/faults/{id}"))];
        Ok((status, location, tagged(armed)).into_response())
    })
    .await
}

/// `PATCH /faults/{id}`: a JSON merge patch (RFC 7396), validated as a whole.
pub(crate) async fn patch(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    condition: Condition,
    body: Body,
) -> Result<Response, ApiError> {
    off_thread(&control, move |ops| {
        let value = body.json()?;
        bounds::check(&value).map_err(OpError::Invalid)?;
        Ok(tagged(ops.patch(&id, &value, &condition, caller)?))
    })
    .await
}

/// `DELETE /faults/{id}`: the fault with what it had done by then.
pub(crate) async fn remove(
    State(control): State<Shared>,
    caller: Caller,
    Name(id): Name,
    condition: Condition,
) -> Result<Response, ApiError> {
    Ok(tagged(control.ops.remove(&id, &condition, caller)?))
}

/// `DELETE /faults?route=&label=&group=`: those that `GET` lists with the same query.
pub(crate) async fn clear(
    State(control): State<Shared>,
    caller: Caller,
    query: Query,
) -> Result<Response, ApiError> {
    let [route, label, group] = query.only(&["route", "label", "group"])?;
    let filter = Filter {
        route,
        label,
        group,
    };
    // The faults are gone before anything is written: nobody who waits for a turn holds that up.
    let gone = control.ops.clear(&filter, caller);
    off_thread(&control, move |_| {
        let removed = gone.iter().map(|armed| armed.status.id.clone()).collect();
        let faults = gone.into_iter().map(Into::into).collect();
        let faults = Some(faults);
        Ok(Json(Removed { removed, faults }).into_response())
    })
    .await
}

/// A fault, with its revision as its entity tag. That names the fault's form; what it counts is not part of it.
fn tagged(armed: Armed) -> Response {
    let tag = [(header::ETAG, format!("\"{}\"", armed.status.revision))];
    (tag, Json(FaultAnswer::from(armed))).into_response()
}

fn ended_answer(ops: &Ops, ended: Ended) -> FaultAnswer {
    let (_, _, strikes) = ended.fault.counts();
    let ended_at = Some(ended.ended_at);
    let times = times(ops.clock(), ended.fault.created_at, strikes, ended_at);
    let reason = ended.reason.word();
    FaultAnswer {
        times: Some(times),
        ..FaultAnswer::ended(ended.fault, ended.tags, ended.ended_at, reason)
    }
}

fn is_true(key: &str, value: Option<&str>) -> Result<bool, ApiError> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(ApiError::invalid(Problem {
            pointer: format!("?{key}"),
            detail: format!("`{}` is neither true nor false", shorten(other)),
        })),
    }
}

fn read(ops: &Ops, value: &Value) -> Result<FaultDraft, Vec<Problem>> {
    bounds::check(value)?;
    ops.read_fault(value)
}

/// Reads a list: all of it, or what is wrong with its first elements.
fn read_all(ops: &Ops, items: &[Value]) -> Result<Vec<FaultDraft>, OpError> {
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
    let mut drafts = Vec::with_capacity(items.len());
    let mut problems: Vec<Problem> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match read(ops, item) {
            Ok(draft) => drafts.push(draft),
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
        Ok(drafts)
    } else {
        Err(OpError::Invalid(problems))
    }
}

fn known_state(word: &str) -> Result<FaultState, ApiError> {
    FaultState::parse(word).ok_or_else(|| {
        ApiError::invalid(Problem {
            pointer: "?state".to_owned(),
            detail: unknown(
                "state",
                word,
                &["waiting", "active", "spent", "expired", "ended"],
            ),
        })
    })
}
