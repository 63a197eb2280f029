//! What the API refuses, and how it says so: the one table of statuses (api.md §6).

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use brownout_fault::{ArmError, FaultWriter, read::Problem};
use brownout_proxy::RouteError;
use brownout_wire::ProblemAnswer;

use crate::answer::Json;

/// A call that is refused. Nothing was changed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 400: the body is not JSON.
    NotJson(String),
    /// 403: Host or Origin is not allowed.
    Forbidden(String),
    /// 404: no such fault, route or path.
    NotFound(String),
    /// 405: the path is known, the method is not.
    Method(String),
    /// 409: an id, name or address is taken.
    Taken(String),
    /// 413: the body is over 1 MiB.
    TooLarge,
    /// 422: understood and refused.
    Invalid(Vec<Problem>),
    /// 423: halted; arming is locked for this long.
    Locked(Duration),
    /// 429: too many faults or routes.
    TooMany(String),
    /// 503: shutting down.
    ShuttingDown,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Taken(_) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Locked(_) => StatusCode::LOCKED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotJson(detail)
            | Self::Forbidden(detail)
            | Self::NotFound(detail)
            | Self::Method(detail)
            | Self::Taken(detail)
            | Self::TooMany(detail) => detail.clone(),
            Self::TooLarge => "the body is over 1 MiB".to_owned(),
            Self::Invalid(problems) if problems.len() == 1 => {
                "the request was understood, but there is a problem with it".to_owned()
            }
            Self::Invalid(problems) => format!(
                "the request was understood, but there are {} problems with it",
                problems.len()
            ),
            Self::Locked(rest) => format!(
                "everything was halted, and nothing may be armed for another {} s; \
                 lift that with POST /halt {{\"rearm_after\":\"0s\"}}",
                whole_seconds(*rest)
            ),
            Self::ShuttingDown => "the proxy is shutting down".to_owned(),
        }
    }

    /// One problem with the input.
    pub(crate) fn invalid(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }

    /// No fault of that id.
    pub(crate) fn no_fault(id: &str) -> Self {
        Self::NotFound(format!("there is no fault `{id}`; it may have expired"))
    }

    /// No route of that name.
    pub(crate) fn no_route(name: &str) -> Self {
        Self::NotFound(format!("there is no route `{name}`"))
    }
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let detail = self.detail();
        let retry_after = match &self {
            Self::Locked(rest) => Some(HeaderValue::from(whole_seconds(*rest))),
            _ => None,
        };
        let errors = match self {
            Self::Invalid(problems) => problems.into_iter().map(Into::into).collect(),
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
        if let Some(retry_after) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}

impl From<ArmError> for Refusal {
    fn from(error: ArmError) -> Self {
        match error {
            ArmError::Taken { .. } => Self::Taken(error.to_string()),
            ArmError::TooManyExpressions { .. } => {
                Self::invalid(Problem::at("match", error.to_string()))
            }
            ArmError::TooMany => {
                let max = FaultWriter::FAULTS_MAX;
                Self::TooMany(format!("{error}; that would be more than {max}"))
            }
        }
    }
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        match &error {
            RouteError::NameTaken { .. } | RouteError::AddressTaken { .. } => {
                Self::Taken(error.to_string())
            }
            RouteError::Unknown { name } => Self::no_route(name),
            RouteError::Listen { source, .. } => {
                Self::invalid(Problem::at("listen", format!("{error}: {source}")))
            }
            RouteError::OtherProtocol { .. } | RouteError::Loop { .. } => {
                Self::invalid(Problem::at("upstream", error.to_string()))
            }
            RouteError::TooMany => Self::TooMany(error.to_string()),
            RouteError::ShuttingDown => Self::ShuttingDown,
        }
    }
}
