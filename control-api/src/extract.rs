//! Reading a call: path, query and body, each with our own errors.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
};
use brownout_fault::read::{Problem, unknown};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;

use crate::problem::Refusal;

/// A JSON body. Its `Content-Type` is not looked at: `curl -d` sends another.
#[derive(Debug)]
pub(crate) struct Input(pub(crate) Value);

/// As [`Input`], and no body at all is fine.
#[derive(Debug)]
pub(crate) struct OptionalInput(pub(crate) Option<Value>);

/// The last segment of the path.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) String);

/// The query's pairs.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes the values of these keys, in their order.
    ///
    /// # Errors
    /// For any other key: a filter that is silently ignored could remove everything.
    pub(crate) fn only<const KEYS: usize>(
        self,
        known: &[&str; KEYS],
    ) -> Result<[Option<String>; KEYS], Refusal> {
        let mut values = [const { None }; KEYS];
        let mut problems = Vec::new();
        for (key, value) in self.0 {
            match known.iter().position(|known| *known == key) {
                Some(at) => values[at] = Some(value),
                None => problems.push(Problem {
                    pointer: format!("?{key}"),
                    detail: unknown("query parameter", &key, known),
                }),
            }
        }
        if problems.is_empty() {
            Ok(values)
        } else {
            Err(Refusal::Invalid(problems))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let pairs = query.map_err(|error| {
            Refusal::invalid(Problem {
                pointer: "?".to_owned(),
                detail: error.body_text(),
            })
        })?;
        Ok(Self(pairs.0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = parts.uri.path().to_owned();
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(Refusal::NotFound(format!("there is nothing at `{path}`"))),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalInput {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let bytes = read(request.into_body()).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self(None));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(Some(value))),
            // It says the line and column itself.
            Err(error) => Err(Refusal::NotJson(format!("the body is not JSON: {error}"))),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Input {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match OptionalInput::from_request(request, state).await?.0 {
            Some(value) => Ok(Self(value)),
            None => Err(Refusal::NotJson(
                "the body is empty; JSON is expected".to_owned(),
            )),
        }
    }
}

/// Reads a body of at most 1 MiB. More is read and forgotten for a while, so that a client that sends all before
/// it looks for an answer gets one.
async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    /// Enough for 1 MiB over a slow line; the connection is needed for others.
    const PATIENCE: Duration = Duration::from_secs(15);
    timeout(PATIENCE, read_whole(body))
        .await
        .unwrap_or_else(|_| {
            let detail = format!("the body did not come whole within {PATIENCE:?}");
            Err(Refusal::NotJson(detail))
        })
}

async fn read_whole(mut body: Body) -> Result<Vec<u8>, Refusal> {
    const KEPT_BYTES_MAX: usize = 1024 * 1024;
    const READ_BYTES_MAX: usize = 16 * 1024 * 1024;
    let mut kept = Vec::new();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Refusal::NotJson("the body was cut short".to_owned()));
        };
        let Some(data) = frame.data_ref() else {
            continue;
        };
        read += data.len();
        if read <= KEPT_BYTES_MAX {
            kept.extend_from_slice(data);
        }
        if read > READ_BYTES_MAX {
            break;
        }
    }
    if read > KEPT_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    Ok(kept)
}
