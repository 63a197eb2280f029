//! Answers that are given in an upstream's place.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::{edits::Field, fields::Fields};

/// An answer that the proxy gives in the upstream's place.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub status: StatusCode,
    /// Its header fields besides `content-type`; with it, if [`body`](Self::body) names none.
    pub fields: Vec<Field>,
    /// Its `Retry-After`, if it has one that is a date.
    pub retry_date: Option<RetryDate>,
    /// What a call of gRPC gets in place of the status that gRPC makes of [`status`](Self::status).
    pub grpc_status: Option<GrpcStatus>,
    body: AnswerBody,
}

/// A status of gRPC that is an error ("Status codes and their use in gRPC").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrpcStatus(usize);

impl GrpcStatus {
    /// The names, in the order of their numbers, which begin with 1: 0 is OK.
    pub(crate) const NAMES: &'static [&'static str] = &[
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|it| *it == name).map(Self)
    }

    /// The one of this number.
    pub(crate) fn numbered(number: u64) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        (index < Self::NAMES.len()).then_some(Self(index))
    }

    /// Its number, 1 to 16.
    #[must_use]
    pub fn number(self) -> usize {
        self.0 + 1
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.0]
    }
}

/// A date in whole seconds, seen from when it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDate {
    /// So far ahead, rounded up: who waits until then is not early.
    Ahead(Duration),
    /// So long ago.
    Ago(Duration),
}

#[derive(Debug, Clone, PartialEq)]
enum AnswerBody {
    Given(Bytes, Bytes),
    ByAccept {
        text: Bytes,
        json: Bytes,
    },
    /// Its type is among the headers.
    Whole(Bytes),
    None,
}

impl Answer {
    /// An answer with the body the user gave.
    pub(crate) fn with_body(
        status: StatusCode,
        fields: Vec<Field>,
        content_type: Bytes,
        body: Bytes,
    ) -> Self {
        Self {
            status,
            fields,
            retry_date: None,
            grpc_status: None,
            body: AnswerBody::Given(content_type, body),
        }
    }

    /// An answer that was given before, as it was.
    pub(crate) fn whole(status: StatusCode, fields: Vec<Field>, body: Bytes) -> Self {
        Self {
            status,
            fields,
            retry_date: None,
            grpc_status: None,
            body: AnswerBody::Whole(body),
        }
    }

    /// The same with further header fields.
    pub(crate) fn with_fields(&self, fields: impl IntoIterator<Item = Field>) -> Self {
        let mut made = self.clone();
        made.fields.extend(fields);
        made
    }

    /// The same with a `Retry-After` that is this date; `None` for none.
    pub(crate) fn with_retry_date(self, retry_date: Option<RetryDate>) -> Self {
        Self { retry_date, ..self }
    }

    /// The same with another status for calls of gRPC.
    pub(crate) fn with_grpc_status(self, grpc_status: Option<GrpcStatus>) -> Self {
        Self {
            grpc_status,
            ..self
        }
    }

    /// An answer whose body names the status, as problem+json or text; none where a status has no body.
    pub(crate) fn plain(status: StatusCode, fields: Vec<Field>) -> Self {
        let reason = status.canonical_reason().unwrap_or("Unknown");
        let code = status.as_u16();
        let body = if has_no_body(status) {
            AnswerBody::None
        } else {
            AnswerBody::ByAccept {
                text: Bytes::from(format!("{code} {reason}\n")),
                json: Bytes::from(format!(
                    "{{\"type\":\"about:blank\",\"title\":\"{reason}\",\"status\":{code}}}\n"
                )),
            }
        };
        Self {
            status,
            fields,
            retry_date: None,
            grpc_status: None,
            body,
        }
    }

    /// The content for a request with these header fields: problem+json (RFC 9457) when its `Accept` names JSON, text
    /// otherwise, or what the user gave. `None` where the status has no content.
    #[must_use]
    pub fn body(&self, request: &dyn Fields) -> Option<Content> {
        let (content_type, bytes) = match &self.body {
            AnswerBody::None => return None,
            AnswerBody::Whole(body) => (None, body),
            AnswerBody::Given(content_type, body) => (Some(content_type.clone()), body),
            AnswerBody::ByAccept { json, .. } if accepts_json(request) => {
                (Some(Bytes::from_static(b"application/problem+json")), json)
            }
            AnswerBody::ByAccept { text, .. } => {
                (Some(Bytes::from_static(b"text/plain; charset=utf-8")), text)
            }
        };
        Some(Content {
            content_type,
            bytes: bytes.clone(),
        })
    }
}

/// What an answer contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The value of its `content-type`; `None` where that is among [`Answer::fields`].
    pub content_type: Option<Bytes>,
    /// Its bytes, not encoded.
    pub bytes: Bytes,
}

/// Statuses that never carry content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
pub(crate) fn has_no_body(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

fn accepts_json(request: &dyn Fields) -> bool {
    request.any("accept", |value| {
        let mut words = value.windows(4);
        words.any(|word| word.eq_ignore_ascii_case(b"json"))
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn content(accept: &'static str) -> Content {
        let mut request = HeaderMap::new();
        request.insert("accept", HeaderValue::from_static(accept));
        let answer = Answer::plain(StatusCode::SERVICE_UNAVAILABLE, Vec::new());
        answer.body(&request).unwrap()
    }

    #[test]
    fn the_body_follows_accept() {
        assert_eq!(content("*/*").bytes, "503 Service Unavailable\n");
        let json = content("text/html, application/JSON;q=0.9");

        assert_eq!(json.content_type.unwrap(), "application/problem+json");
        let value: serde_json::Value = serde_json::from_slice(&json.bytes).unwrap();
        assert_eq!(value["status"], 503);
    }

    #[test]
    fn a_status_without_content_gets_no_body() {
        let answer = Answer::plain(StatusCode::NO_CONTENT, Vec::new());

        assert_eq!(answer.body(&HeaderMap::new()), None);
    }
}
