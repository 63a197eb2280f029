//! Answers that are given in an upstream's place.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// An answer that the proxy gives in the upstream's place.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub status: StatusCode,
    /// Header fields besides `content-type`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How far off the date of its `Retry-After` is, where it says one.
    pub retry_date: Option<Duration>,
    body: AnswerBody,
}

#[derive(Debug, Clone, PartialEq)]
enum AnswerBody {
    Given(HeaderValue, Bytes),
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
        headers: Vec<(HeaderName, HeaderValue)>,
        content_type: HeaderValue,
        body: Bytes,
    ) -> Self {
        Self {
            status,
            headers,
            retry_date: None,
            body: AnswerBody::Given(content_type, body),
        }
    }

    /// An answer that was given before, as it was.
    pub(crate) fn whole(
        status: StatusCode,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Self {
        Self {
            status,
            headers,
            retry_date: None,
            body: AnswerBody::Whole(body),
        }
    }

    /// The same with further header fields.
    pub(crate) fn with_fields(
        &self,
        fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Self {
        let mut made = self.clone();
        made.headers.extend(fields);
        made
    }

    /// The same with a `Retry-After` that is a date so far off; `None` for none.
    pub(crate) fn with_retry_date(self, retry_date: Option<Duration>) -> Self {
        Self { retry_date, ..self }
    }

    /// An answer whose body names the status, as problem+json or text; none where a status has no body.
    pub(crate) fn plain(status: StatusCode, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
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
            headers,
            retry_date: None,
            body,
        }
    }

    /// The content type and body for a request with these header fields: problem+json (RFC 9457) when its
    /// `Accept` names JSON, text otherwise, or what the user gave. `None` where a status has no body; the type
    /// is `None` where it is among the headers.
    #[must_use]
    pub fn body(&self, request: &HeaderMap) -> Option<(Option<HeaderValue>, Bytes)> {
        let of_type = |name, body: &Bytes| (Some(HeaderValue::from_static(name)), body.clone());
        match &self.body {
            AnswerBody::None => None,
            AnswerBody::Whole(body) => Some((None, body.clone())),
            AnswerBody::Given(content_type, body) => {
                Some((Some(content_type.clone()), body.clone()))
            }
            AnswerBody::ByAccept { json, .. } if accepts_json(request) => {
                Some(of_type("application/problem+json", json))
            }
            AnswerBody::ByAccept { text, .. } => Some(of_type("text/plain; charset=utf-8", text)),
        }
    }
}

/// Statuses that never carry content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
pub(crate) fn has_no_body(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

fn accepts_json(request: &HeaderMap) -> bool {
    let mut values = request.get_all(header::ACCEPT).iter();
    values.any(|value| {
        value
            .as_bytes()
            .windows(4)
            .any(|word| word.eq_ignore_ascii_case(b"json"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(accept: &str) -> (HeaderValue, Bytes) {
        let request = http::Request::get("/")
            .header("accept", accept)
            .body(())
            .unwrap();
        let answer = Answer::plain(StatusCode::SERVICE_UNAVAILABLE, Vec::new());
        let (content_type, body) = answer.body(request.headers()).unwrap();
        (content_type.unwrap(), body)
    }

    #[test]
    fn the_body_follows_accept() {
        assert_eq!(body("*/*").1, "503 Service Unavailable\n");
        let (content_type, json) = body("text/html, application/JSON;q=0.9");

        assert_eq!(content_type, "application/problem+json");
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["status"], 503);
    }

    #[test]
    fn a_status_without_content_gets_no_body() {
        let answer = Answer::plain(StatusCode::NO_CONTENT, Vec::new());

        assert_eq!(answer.body(&HeaderMap::new()), None);
    }
}
