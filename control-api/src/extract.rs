//! Reading a call: path, query and body, each with our own errors.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{header, request::Parts},
};
use brownout_fault::{
    inexact_number,
    read::{Problem, shorten},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    control::Shared,
    ops::{Condition, OpError, Revisions},
    problem::ApiError,
    words::unknown,
};

/// A body that came whole. Its `Content-Type` is not looked at: `curl -d` sends another.
///
/// As long as one of the large ones is there, so much less may others be: all together take a bounded memory.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    _large: Option<OwnedSemaphorePermit>,
}

/// The last segment of the path.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) String);

/// The query's pairs.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Body {
    /// Reads it as JSON. A large one takes some milliseconds.
    ///
    /// # Errors
    /// When it is empty or no JSON, or has a number that would lose digits.
    pub(crate) fn json(&self) -> Result<Value, ApiError> {
        if self.bytes.trim_ascii().is_empty() {
            let detail = "the body is empty; JSON is expected";
            return Err(ApiError::NotJson(detail.to_owned()));
        }
        // It says the line and column itself.
        let value = serde_json::from_slice(&self.bytes)
            .map_err(|error| ApiError::NotJson(format!("the body is not JSON: {error}")))?;
        match str::from_utf8(&self.bytes).ok().and_then(inexact_number) {
            None => Ok(value),
            Some(number) => Err(ApiError::invalid(Problem {
                pointer: String::new(),
                detail: format!(
                    "the number {} has more digits than a 64-bit number keeps",
                    shorten(number)
                ),
            })),
        }
    }

    /// What was sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a body that may be left out and is small: never more than a moment.
    ///
    /// # Errors
    /// When it is too large or no JSON.
    pub(crate) fn optional_json(&self) -> Result<Option<Value>, ApiError> {
        const BYTES_MAX: usize = 4 * 1024;
        match self.bytes.trim_ascii() {
            [] => Ok(None),
            bytes if bytes.len() > BYTES_MAX => Err(ApiError::TooLarge("4 KiB")),
            _ => self.json().map(Some),
        }
    }
}

impl Query {
    /// Takes the values of these keys, in their order.
    ///
    /// # Errors
    /// For any other key, and one that comes twice: a filter that is silently ignored could remove everything.
    pub(crate) fn only<const KEYS: usize>(
        self,
        known: &[&str; KEYS],
    ) -> Result<[Option<String>; KEYS], ApiError> {
        let mut values = [const { None }; KEYS];
        for (key, value) in self.0 {
            let problem = |detail: String| {
                ApiError::invalid(Problem {
                    pointer: format!("?{}", shorten(&key)),
                    detail,
                })
            };
            let Some(at) = known.iter().position(|known| *known == key) else {
                return Err(problem(unknown("query parameter", &key, known)));
            };
            if values[at].replace(value).is_some() {
                return Err(problem("is given twice".to_owned()));
            }
        }
        Ok(values)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let pairs = query.map_err(|error| {
            ApiError::invalid(Problem {
                pointer: "?".to_owned(),
                detail: error.body_text(),
            })
        })?;
        Ok(Self(pairs.0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let revisions = |name| {
            let values = parts.headers.get_all(name);
            let values: Vec<&str> = values
                .iter()
                .map(|it| it.to_str().unwrap_or_default())
                .collect();
            (!values.is_empty()).then(|| revisions(&values.join(",")))
        };
        Ok(Self {
            is: revisions(header::IF_MATCH),
            is_not: revisions(header::IF_NONE_MATCH),
        })
    }
}

/// The entity tags that are ours, of a list; weak ones and those of somebody else match nothing.
fn revisions(list: &str) -> Revisions {
    if list.trim() == "*" {
        return Revisions::Any;
    }
    let tags = list.split(',').map(str::trim);
    let numbers = tags.filter_map(|tag| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    Revisions::Listed(numbers.collect())
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = parts.uri.path().to_owned();
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => {
                let shown = shorten(&path);
                Err(ApiError::NoPath(format!("there is nothing at `{shown}`")))
            }
        }
    }
}

impl FromRequest<Shared> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, control: &Shared) -> Result<Self, ApiError> {
        /// Enough for 1 MiB over a slow line; the connection is needed for others.
        const PATIENCE: Duration = Duration::from_secs(15);
        let large = Arc::clone(&control.workers.large_bodies);
        timeout(PATIENCE, read_whole(request.into_body(), large))
            .await
            .unwrap_or_else(|_| {
                let detail = format!("the body did not come whole within {PATIENCE:?}");
                Err(ApiError::NotJson(detail))
            })
    }
}

/// Reads a body of at most 1 MiB. More is read and forgotten for a while, so that a client that sends all before
/// it looks for an answer gets one.
async fn read_whole(
    mut body: axum::body::Body,
    large_bodies: Arc<Semaphore>,
) -> Result<Body, ApiError> {
    const SMALL_BYTES_MAX: usize = 64 * 1024;
    const KEPT_BYTES_MAX: usize = 1024 * 1024;
    const READ_BYTES_MAX: usize = 16 * 1024 * 1024;
    let mut bytes = Vec::new();
    let mut large = None;
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(ApiError::NotJson("the body was cut short".to_owned()));
        };
        let Some(data) = frame.data_ref() else {
            continue;
        };
        read += data.len();
        if read > SMALL_BYTES_MAX && large.is_none() {
            let permit = Arc::clone(&large_bodies).acquire_owned().await;
            large = Some(permit.map_err(|_| OpError::ShuttingDown)?);
        }
        if read <= KEPT_BYTES_MAX {
            bytes.extend_from_slice(data);
        } else {
            bytes = Vec::new();
        }
        if read > READ_BYTES_MAX {
            break;
        }
    }
    if read > KEPT_BYTES_MAX {
        return Err(ApiError::TooLarge("1 MiB"));
    }
    Ok(Body {
        bytes,
        _large: large,
    })
}
