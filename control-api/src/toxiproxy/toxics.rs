//! `/proxies/{proxy}/toxics` and `/reset`.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;

use super::{
    body::{Members, ToxicBody, first_value},
    proxies::{cannot_listen, found},
    wire::{self, ToxicError},
};
use crate::{
    audit::Caller,
    control::Shared,
    off_thread::off_thread,
    ops::{OpError, Toxic, ToxicKind},
};

/// `GET /proxies/{proxy}/toxics`.
pub(super) async fn list(
    State(control): State<Shared>,
    Path(proxy): Path<String>,
) -> Result<Response, ToxicError> {
    found(&control.ops, &proxy)?;
    let toxics = control.ops.toxics(&proxy);
    let toxics: Vec<Value> = toxics.iter().map(wire::toxic).collect();
    Ok(wire::ok(StatusCode::OK, &Value::Array(toxics)))
}

/// `GET /proxies/{proxy}/toxics/{toxic}`.
pub(super) async fn show(
    State(control): State<Shared>,
    Path((proxy, name)): Path<(String, String)>,
) -> Result<Response, ToxicError> {
    found(&control.ops, &proxy)?;
    let mut toxics = control.ops.toxics(&proxy).into_iter();
    let toxic = toxics
        .find(|toxic| toxic.name == name)
        .ok_or(OpError::NoToxic)?;
    Ok(wire::ok(StatusCode::OK, &wire::toxic(&toxic)))
}

/// `POST /proxies/{proxy}/toxics`. Checked in the order of the original: body, stream, type, name, attributes.
pub(super) async fn add(
    State(control): State<Shared>,
    Path(proxy): Path<String>,
    caller: Caller,
    ToxicBody(body): ToxicBody,
) -> Result<Response, ToxicError> {
    found(&control.ops, &proxy)?;
    let added = off_thread(&control, move |ops| {
        let added = || {
            let members = Members::of(first_value(&body)?)?;
            let stream = members.text("stream")?.unwrap_or("downstream").to_owned();
            if !matches!(stream.to_lowercase().as_str(), "upstream" | "downstream") {
                let text = "stream was invalid, can be either upstream or downstream";
                return Err(ToxicError::bad(text));
            }
            let kind = members.text("type")?.and_then(ToxicKind::parse);
            let kind = kind.ok_or_else(|| ToxicError::bad("invalid toxic type"))?;
            let name = match members.text("name")? {
                None | Some("") => format!("{kind}_{stream}"),
                Some(name) => name.to_owned(),
            };
            if name.len() > 256 || name.chars().any(char::is_control) {
                return Err(ToxicError::bad(
                    "the name has more than 256 bytes or a control character",
                ));
            }
            if ops.toxics(&proxy).iter().any(|toxic| toxic.name == name) {
                return Err(ToxicError::new(
                    StatusCode::CONFLICT,
                    "toxic already exists",
                ));
            }
            let attributes = kind.attributes(None, &members.object("attributes")?);
            let toxic = Toxic {
                name,
                kind,
                stream,
                toxicity: members.float("toxicity")?.unwrap_or(1.0),
                attributes: attributes.map_err(OpError::from)?,
            };
            Ok(ops.add_toxic(&proxy, toxic, caller)?)
        };
        Ok(added())
    });
    let toxic = added.await??;
    Ok(wire::ok(StatusCode::OK, &wire::toxic(&toxic)))
}

/// `POST` or `PATCH /proxies/{proxy}/toxics/{toxic}`: attributes, each by itself, and toxicity.
pub(super) async fn update(
    State(control): State<Shared>,
    Path((proxy, name)): Path<(String, String)>,
    caller: Caller,
    ToxicBody(body): ToxicBody,
) -> Result<Response, ToxicError> {
    found(&control.ops, &proxy)?;
    let changed = off_thread(&control, move |ops| {
        let changed = || {
            if !ops.toxics(&proxy).iter().any(|toxic| toxic.name == name) {
                return Err(ToxicError::from(OpError::NoToxic));
            }
            let members = Members::of(first_value(&body)?)?;
            let (attributes, toxicity) =
                (members.object("attributes")?, members.float("toxicity")?);
            Ok(ops.change_toxic(&proxy, &name, &attributes, toxicity, caller)?)
        };
        Ok(changed())
    });
    let toxic = changed.await??;
    Ok(wire::ok(StatusCode::OK, &wire::toxic(&toxic)))
}

/// `DELETE /proxies/{proxy}/toxics/{toxic}`. It waits for no connection.
pub(super) async fn remove(
    State(control): State<Shared>,
    Path((proxy, name)): Path<(String, String)>,
    caller: Caller,
) -> Result<StatusCode, ToxicError> {
    control.ops.remove_toxic(&proxy, &name, caller)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /reset`: every proxy enabled, no toxic left.
pub(super) async fn reset(
    State(control): State<Shared>,
    caller: Caller,
) -> Result<StatusCode, ToxicError> {
    control.ops.reset_toxics(caller)?;
    match cannot_listen(&control.ops) {
        None => Ok(StatusCode::NO_CONTENT),
        Some(error) => Err(error),
    }
}
