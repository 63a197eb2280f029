//! What this API answers: JSON without a newline, and errors as Go's error helper writes them.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_proxy::RouteStatus;
use serde_json::{Map, Value, json};

use crate::{
    ops::{OpError, Toxic},
    problem::ApiError,
};

/// A call that is refused.
#[derive(Debug)]
pub(super) struct ToxicError {
    status: StatusCode,
    text: String,
}

impl ToxicError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn no_proxy() -> Self {
        Self::new(StatusCode::NOT_FOUND, "proxy not found")
    }

    /// The words that an update has for an address that is none.
    pub(super) fn of_an_update(self) -> Self {
        let text = match self.text.strip_prefix("listen tcp: ") {
            Some(text) => text.to_owned(),
            None => self.text,
        };
        Self { text, ..self }
    }

    pub(super) fn to_value(&self) -> Value {
        json!({ "error": self.text, "status": self.status.as_u16() })
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<OpError> for ToxicError {
    fn from(error: OpError) -> Self {
        let status = match &error {
            OpError::Invalid(_) => StatusCode::BAD_REQUEST,
            OpError::Taken(_) | OpError::Changed(_) => StatusCode::CONFLICT,
            OpError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            OpError::NoFault(_) | OpError::NoLease(_) => StatusCode::NOT_FOUND,
            OpError::NoRoute(_) => return Self::no_proxy(),
            OpError::NoToxic => return Self::new(StatusCode::NOT_FOUND, "toxic not found"),
            OpError::Condition(_) => StatusCode::PRECONDITION_FAILED,
            OpError::Locked(_) => StatusCode::LOCKED,
            OpError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        let text = error.to_string();
        Self::new(status, text.trim_start_matches(": "))
    }
}

/// What goes wrong before a call is understood.
impl From<ApiError> for ToxicError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Op(error) => error.into(),
            other => {
                let (status, text) = other.told();
                Self::new(status, text)
            }
        }
    }
}

impl IntoResponse for ToxicError {
    fn into_response(self) -> Response {
        let mut body = escaped(&self.to_value());
        body.push('\n');
        let fields = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (HeaderName::from_static("x-content-type-options"), "nosniff"),
        ];
        (self.status, fields, body).into_response()
    }
}

/// An answer.
pub(super) fn ok(status: StatusCode, value: &Value) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    (
        status,
        [(header::CONTENT_TYPE, content_type)],
        escaped(value),
    )
        .into_response()
}

/// As Go writes it. These characters stand in texts alone.
fn escaped(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&']) {
        return text;
    }
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// Stands for an upstream of no text, which an update may ask for: no TCP connection can be made to it.
pub(super) const NOWHERE: &str = "255.255.255.255:1";

/// A proxy, which listens where its route does unless `listen` says otherwise.
pub(super) fn proxy(route: &RouteStatus, listen: Option<String>, toxics: &[Toxic]) -> Value {
    let upstream = match route.upstream.trim_start_matches("tcp://") {
        NOWHERE => "",
        upstream => upstream,
    };
    let listen = listen.unwrap_or_else(|| route.listen.to_string());
    json!({
        "name": route.name, "listen": listen, "upstream": upstream, "enabled": route.enabled,
        "toxics": toxics.iter().map(toxic).collect::<Vec<_>>(),
    })
}

pub(super) fn toxic(toxic: &Toxic) -> Value {
    let attributes: Map<String, Value> = toxic
        .attributes
        .iter()
        .map(|(key, number)| ((*key).to_owned(), json!(number)))
        .collect();
    json!({
        "attributes": attributes, "name": toxic.name, "type": toxic.kind.name(), "stream": toxic.stream,
        "toxicity": number(toxic.toxicity),
    })
}

/// As short as a 32-bit float can be written, and whole numbers without a point.
fn number(float: f32) -> Value {
    let text = float.to_string();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Twenty letters and digits, another for each answer.
pub(super) fn request_id() -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().hash_one(count);
    let bits = (u128::from(random) << 64) | u128::from(count);
    let letter = |place: u32| char::from(LETTERS[(bits >> (place * 5)) as usize & 31]);
    (0..20).map(letter).collect()
}
