//! What the API refuses, and how it says so: the one table of statuses (api.md §6).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_fault::read::Problem;
use brownout_wire::{ErrorAnswer, ProblemAnswer};

use crate::{
    answer::Json,
    ops::{OpError, whole_seconds},
};

/// A call that is refused. Nothing was changed.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// 400: the body is not JSON.
    NotJson(String),
    /// 400: the head contradicts itself.
    Malformed(String),
    /// 401: there is no token, or a wrong one.
    Unauthorized(&'static str),
    /// 403: Host or Origin is not allowed, or the token only reads.
    Forbidden(String),
    /// 404: no such path.
    NoPath(String),
    /// 405: the path is known, the method is not.
    Method(String),
    /// 413: the body is larger than so many bytes, told in words.
    TooLarge(&'static str),
    /// 414: the target has so many bytes, more than so many.
    TargetTooLong(usize, usize),
    /// 431: too many header fields, or too long ones.
    TooManyFields(String),
    /// 503: every place of the API is taken by a call.
    Full,
    /// What the operation said.
    Op(OpError),
}

impl From<OpError> for ApiError {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NoPath(_)
            | Self::Op(
                OpError::NoFault(_) | OpError::NoRoute(_) | OpError::NoLease(_) | OpError::NoToxic,
            ) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong(..) => StatusCode::URI_TOO_LONG,
            Self::TooManyFields(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Op(OpError::Taken(_) | OpError::Changed(_)) => StatusCode::CONFLICT,
            Self::Op(OpError::Condition(_)) => StatusCode::PRECONDITION_FAILED,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Op(OpError::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Op(OpError::Locked(_)) => StatusCode::LOCKED,
            Self::Op(OpError::TooMany(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Full | Self::Op(OpError::ShuttingDown) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotJson(detail)
            | Self::Malformed(detail)
            | Self::TooManyFields(detail)
            | Self::Forbidden(detail)
            | Self::NoPath(detail)
            | Self::Method(detail) => detail.clone(),
            Self::Unauthorized(detail) => (*detail).to_owned(),
            Self::TooLarge(limit) => format!("the body is over {limit}"),
            Self::TargetTooLong(bytes, max) => {
                format!("the target has {bytes} bytes; at most {max} are read")
            }
            Self::Full => "the API serves as many calls as it can; only POST /halt and GET /healthz are served \
                           beside them"
                .to_owned(),
            Self::Op(OpError::Invalid(problems)) => match problems.len() {
                1 => "the request was understood, but there is a problem with it".to_owned(),
                count @ ..=PROBLEMS_MAX => {
                    format!("the request was understood, but there are {count} problems with it")
                }
                count => format!(
                    "the request was understood, but there are {count} problems with it; the first \
                     {PROBLEMS_MAX} follow"
                ),
            },
            Self::Op(error) => error.to_string(),
        }
    }

    /// The status and the words, for a front with a form of its own.
    pub(crate) fn told(&self) -> (StatusCode, String) {
        (self.status(), cut(self.detail()))
    }

    /// One problem with the input.
    pub(crate) fn invalid(problem: Problem) -> Self {
        OpError::invalid(problem).into()
    }
}

/// So many problems are told of one call.
const PROBLEMS_MAX: usize = 50;
/// Where a pointer or a text of one problem is cut.
const PROBLEM_CHARS_MAX: usize = 500;

fn told(problem: Problem) -> ErrorAnswer {
    ErrorAnswer {
        pointer: cut(problem.pointer),
        detail: cut(problem.detail),
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(PROBLEM_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let detail = cut(self.detail());
        let retry_after = match &self {
            Self::Op(OpError::Locked(rest)) => Some(HeaderValue::from(whole_seconds(*rest))),
            _ => None,
        };
        let challenge = matches!(self, Self::Unauthorized(_))
            .then(|| HeaderValue::from_static("Bearer realm=\"brownout\""));
        let errors = match self {
            Self::Op(OpError::Invalid(problems)) => {
                problems.into_iter().take(PROBLEMS_MAX).map(told).collect()
            }
            _ => Vec::new(),
        };
        let problem = ProblemAnswer {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail,
            errors,
        };
        let mut response = (status, Json(problem)).into_response();
        let content_type = HeaderValue::from_static("application/problem+json");
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        if let Some(challenge) = challenge {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(retry_after) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}
