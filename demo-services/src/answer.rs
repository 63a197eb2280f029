//! What a service answers with: JSON, or a problem body (RFC 9457).

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use http_body_util::Full;
use serde::Serialize;

pub(crate) type Answer = Response<Full<Bytes>>;

/// What credentials are wanted: `Authorization: Token 0x132`.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Token realm=\"demo\"");

/// 200 with `content`.
pub(crate) fn json(content: &impl Serialize) -> Answer {
    json_with(StatusCode::OK, content)
}

/// This status with `content`.
pub(crate) fn json_with(status: StatusCode, content: &impl Serialize) -> Answer {
    with_body(status, "application/json", content)
}

/// A failure, and why.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Answer {
    #[derive(Serialize)]
    struct Problem<'a> {
        title: &'static str,
        status: u16,
        detail: &'a str,
    }
    let problem = Problem {
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
    };
    with_body(status, "application/problem+json", &problem)
}

/// Why there is no answer but a failure.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) detail: Cow<'static, str>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        problem(refused.status, &refused.detail)
    }
}

/// 401, and what would help.
pub(crate) fn unauthorized(detail: &str) -> Answer {
    let mut answer = problem(StatusCode::UNAUTHORIZED, detail);
    answer.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    answer
}

/// 405, and what is allowed.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Answer {
    let detail = format!("this resource takes {allowed}");
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &detail);
    let allowed = HeaderValue::from_static(allowed);
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

fn with_body(status: StatusCode, media_type: &'static str, content: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(content).expect("numbers, texts, and lists and maps of them");
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}
