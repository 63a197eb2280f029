//! `abort`: the proxy answers with an error; the upstream never sees the request.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Answer, Ending, Injection, has_no_body},
    matcher::single_or_list,
    read::{Object, Problem, one_or_many, text, whole},
    units::{duration, show_duration},
};

/// Answers each request with a status of your choice; the upstream never sees it.
///
/// Without a body of its own the answer names the status, as problem+json (RFC 9457) when the request's
/// `Accept` names JSON, as text otherwise. The request's own body is read and discarded, up to 1 MiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Abort {
    status: StatusCode,
    body: Option<String>,
    content_type: Option<String>,
    headers: Vec<(HeaderName, Vec<HeaderValue>)>,
    retry_after: Option<std::time::Duration>,
    /// All of the above, made ready once.
    answer: Arc<Answer>,
}

/// The longest body that an abort may carry: 64 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Fields that say how the message is framed or carried: the proxy writes those itself.
const FRAMING: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::RETRY_AFTER,
];

impl Abort {
    fn from_object(object: &Object<'_>) -> Result<Self, Problem> {
        let status = object
            .optional("status", status)?
            .unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let body = object.optional("body", |value| text(value).map(str::to_owned))?;
        let content_type = object.optional("content_type", |value| text(value).map(str::to_owned))?;
        let headers = object.optional("headers", headers)?.unwrap_or_default();
        let retry_after = object.optional("retry_after", retry_after)?;

        if body.is_some() && has_no_body(status) {
            let detail = format!("a {} answer never has a body", status.as_u16());
            return Err(Problem::at("body", detail));
        }
        if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err(Problem::at("body", "is longer than 64 KiB"));
        }
        if content_type.is_some() && body.is_none() {
            return Err(Problem::at("content_type", "goes with a `body` only"));
        }

        let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, values) in &headers {
            fields.extend(values.iter().map(|value| (name.clone(), value.clone())));
        }
        if let Some(after) = retry_after {
            fields.push((header::RETRY_AFTER, HeaderValue::from(after.as_secs())));
        }
        let answer = match &body {
            None => Answer::plain(status, fields),
            Some(body) => {
                let named = content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
                let content_type = HeaderValue::from_str(named)
                    .map_err(|_| Problem::at("content_type", "is not a header value"))?;
                Answer::with_body(status, fields, content_type, Bytes::from(body.clone()))
            }
        };
        Ok(Self {
            status,
            body,
            content_type,
            headers,
            retry_after,
            answer: Arc::new(answer),
        })
    }
}

fn status(value: &Value) -> Result<StatusCode, Problem> {
    let code = whole(200, 599)(value)?;
    Ok(u16::try_from(code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .expect("200 to 599 are status codes"))
}

fn retry_after(value: &Value) -> Result<std::time::Duration, Problem> {
    let after = duration(value)?;
    // RFC 9110 §10.2.3: a number of whole seconds.
    if after.subsec_nanos() != 0 {
        return Err(Problem::here("must be whole seconds, as the header has no finer unit"));
    }
    Ok(after)
}

fn headers(value: &Value) -> Result<Vec<(HeaderName, Vec<HeaderValue>)>, Problem> {
    let field = |name: &str, values: &Value| {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Problem::here("is not a header name"))?;
        if FRAMING.contains(&name) {
            return Err(Problem::here(match name {
                header::CONTENT_TYPE => "is said by `content_type`",
                header::RETRY_AFTER => "is said by `retry_after`",
                _ => "is written by the proxy, as it frames the answer",
            }));
        }
        let values = one_or_many(|value| {
            HeaderValue::from_str(text(value)?).map_err(|_| Problem::here("is not a header value"))
        })(values)?;
        Ok((name, values))
    };
    Object::new(value)?
        .iter()
        .map(|(name, values)| field(name, values).map_err(|problem| problem.under(name)))
        .collect()
}

impl FaultKind for Abort {
    const NAME: &'static str = "abort";
    const SUMMARY: &'static str = "answers with an error status; the upstream never sees the request";
    const PHASE: Phase = Phase::Request;
    const ENDS: bool = true;
    const HOLDS: bool = false;
    const PARAMS: &'static [Param] = &[
        Param {
            name: "status",
            accepts: "whole number, 200 to 599",
            default: "503",
            help: "the answer's status; the shorthand 503 means this",
        },
        Param {
            name: "body",
            accepts: "text, up to 64 KiB",
            default: "names the status, as problem+json or text after the request's Accept",
            help: "the answer's content",
        },
        Param {
            name: "content_type",
            accepts: "text",
            default: "text/plain; charset=utf-8",
            help: "of the body given",
        },
        Param {
            name: "headers",
            accepts: "object of texts or lists of texts",
            default: "{}",
            help: "further header fields of the answer",
        },
        Param {
            name: "retry_after",
            accepts: "duration in whole seconds",
            default: "",
            help: "the answer's Retry-After",
        },
    ];
    const EXAMPLE: &'static str = r#"{"status":503,"retry_after":"2s"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        if value.is_number() {
            status(value)?;
            return Self::read(&json!({ "status": value }));
        }
        Self::from_object(&params::<Self>(value)?)
    }

    fn to_value(&self) -> Value {
        let fields = self.headers.iter().map(|(name, values)| {
            let texts: Vec<&str> = values.iter().filter_map(|value| value.to_str().ok()).collect();
            (name.to_string(), single_or_list(texts.into_iter()))
        });
        written([
            ("status", Some(json!(self.status.as_u16()))),
            ("body", self.body.as_ref().map(|body| json!(body))),
            ("content_type", self.content_type.as_ref().map(|name| json!(name))),
            ("headers", Some(Value::Object(fields.collect()))),
            ("retry_after", self.retry_after.map(|after| json!(show_duration(after)))),
        ])
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.end(Ending::Answer(Arc::clone(&self.answer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorthand_is_a_status() {
        let abort = Abort::read(&json!(418)).unwrap();

        assert_eq!(abort.to_value(), json!({ "status": 418, "headers": {} }));
    }

    #[test]
    fn left_out_everything_is_a_503() {
        let abort = Abort::read(&json!({})).unwrap();

        assert_eq!(abort.answer.status, 503);
        assert!(abort.answer.headers.is_empty());
    }

    #[test]
    fn a_body_headers_and_retry_after_of_the_users_own_are_kept() {
        let spec = json!({
            "status": 429,
            "body": "{\"code\":17}",
            "content_type": "application/json",
            "headers": { "x-reason": ["a", "b"] },
            "retry_after": "2m",
        });

        let abort = Abort::read(&spec).unwrap();

        assert_eq!(abort.to_value(), spec);
        assert_eq!(abort.answer.headers[2], (header::RETRY_AFTER, HeaderValue::from(120)));
        let (content_type, body) = abort.answer.body(&http::HeaderMap::new()).unwrap();
        assert_eq!(content_type, "application/json");
        assert_eq!(body, "{\"code\":17}");
    }

    #[test]
    fn what_could_not_be_sent_is_refused_with_its_place() {
        let cases = [
            (json!(99), ""),
            (json!({ "status": 600 }), "/status"),
            (json!({ "status": "503" }), "/status"),
            (json!({ "status": 204, "body": "x" }), "/body"),
            (json!({ "content_type": "a/b" }), "/content_type"),
            (json!({ "headers": { "content-length": "3" } }), "/headers/content-length"),
            (json!({ "headers": { "x": "a\nb" } }), "/headers/x"),
            (json!({ "headers": { "x": ["a", 1] } }), "/headers/x/1"),
            (json!({ "retry_after": "1500ms" }), "/retry_after"),
            (json!({ "retry_after": 2 }), "/retry_after"),
        ];
        for (value, pointer) in cases {
            assert_eq!(Abort::read(&value).unwrap_err().pointer, pointer, "{value}");
        }
    }
}
