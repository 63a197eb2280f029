//! `abort`: the proxy answers with an error in the upstream's place.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    Accepts, Draw, FaultKind, Param, Phase,
    message::{FieldValues, flat, headers, headers_value, status},
    params,
    retry_after::RetryAfter,
    written,
};
use crate::{
    edits::Field,
    injection::{Answer, GrpcStatus, Injection, RequestEnding, ResponseEnding, has_no_body},
    read::{Object, Problem, one_of, text, whole},
};

/// Answers each request with a status of your choice.
///
/// With `at` "before" the upstream never sees the request; its body is read and discarded, up to 1 MiB. With
/// "after" the upstream does its work and its answer is replaced, which is how a client finds out whether it may
/// repeat a request. Without a body of its own the answer names the status, as problem+json (RFC 9457) when the
/// request's `Accept` names JSON, as text otherwise. A call of gRPC gets trailers alone, with `grpc_status` or else the
/// status that gRPC makes of that of HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Abort {
    statuses: Statuses,
    body: Option<String>,
    content_type: Option<String>,
    headers: FieldValues,
    retry_after: Option<RetryAfter>,
    grpc_status: Option<GrpcStatus>,
    after: bool,
    /// All of the above, made ready once: weights that add up, and the answers.
    answers: Vec<(u64, Arc<Answer>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Statuses {
    One(StatusCode),
    Weighted(Vec<(StatusCode, u64)>),
}

/// The longest body that an abort may carry: 64 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Fields with parameters of their own.
const OWN_FIELDS: &[(HeaderName, &str)] = &[
    (header::CONTENT_TYPE, "content_type"),
    (header::RETRY_AFTER, "retry_after"),
];

impl Abort {
    fn from_object(object: &Object<'_>) -> Result<Self, Problem> {
        let one = object.optional("status", status)?;
        let weighted = object.optional("statuses", weighted)?;
        let statuses = match (one, weighted) {
            (Some(_), Some(_)) => {
                return Err(Problem::at("statuses", "does not go with `status`"));
            }
            (one, None) => Statuses::One(one.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)),
            (None, Some(weighted)) => Statuses::Weighted(weighted),
        };
        let body = object.optional("body", |value| text(value).map(str::to_owned))?;
        let content_type = object.optional("content_type", |value| text(value).map(str::to_owned))?;
        let headers = object
            .optional("headers", headers(OWN_FIELDS))?
            .unwrap_or_default();
        let retry_after = object.optional("retry_after", RetryAfter::read)?;
        let grpc_status = object.optional("grpc_status", one_of("status of gRPC", GrpcStatus::NAMES))?;
        let at = object.optional("at", one_of("moment", &["before", "after"]))?;

        if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err(Problem::at("body", "is longer than 64 KiB"));
        }
        if content_type.is_some() && body.is_none() {
            return Err(Problem::at("content_type", "goes with a `body` only"));
        }
        let mut made = Self {
            statuses,
            body,
            content_type,
            headers,
            retry_after,
            grpc_status: grpc_status.and_then(GrpcStatus::named),
            after: at == Some("after"),
            answers: Vec::new(),
        };
        made.answers = made.make_answers()?;
        Ok(made)
    }

    fn make_answers(&self) -> Result<Vec<(u64, Arc<Answer>)>, Problem> {
        let mut fields: Vec<Field> = flat(&self.headers).collect();
        let mut retry_date = None;
        match self.retry_after {
            None => {}
            Some(told) => match told.date() {
                Some(date) => retry_date = Some(date),
                None => fields.push(Field::new("retry-after", told.after.as_secs().to_string())),
            },
        }
        let answer = |status: StatusCode| {
            let Some(body) = &self.body else {
                return Ok(Answer::plain(status, fields.clone()));
            };
            if has_no_body(status) {
                let detail = format!("a {} answer never has a body", status.as_u16());
                return Err(Problem::at("body", detail));
            }
            let named = self.content_type.as_deref();
            let content_type = HeaderValue::from_str(named.unwrap_or("text/plain; charset=utf-8"))
                .map_err(|_| Problem::at("content_type", "is not a header value"))?;
            let content_type = Bytes::copy_from_slice(content_type.as_bytes());
            let body = Bytes::from(body.clone());
            Ok(Answer::with_body(status, fields.clone(), content_type, body))
        };
        let weighted = match &self.statuses {
            Statuses::One(status) => &vec![(*status, 1)],
            Statuses::Weighted(weighted) => weighted,
        };
        let mut upto = 0;
        weighted
            .iter()
            .map(|(status, weight)| {
                upto += weight;
                let answer = answer(*status)?.with_retry_date(retry_date);
                Ok((upto, Arc::new(answer.with_grpc_status(self.grpc_status))))
            })
            .collect()
    }

    fn answer(&self, draw: &mut Draw<'_, ()>) -> &Arc<Answer> {
        let (all, last) = self.answers.last().expect("there is at least one status");
        let lot = draw.roll.up_to(all - 1);
        let mut drawn = self.answers.iter().filter(|(upto, _)| lot < *upto);
        drawn.next().map_or(last, |(_, answer)| answer)
    }
}

fn weighted(value: &Value) -> Result<Vec<(StatusCode, u64)>, Problem> {
    let object = Object::new(value)?;
    let read = |code: &str, weight: &Value| {
        let number: u64 = code
            .parse()
            .map_err(|_| Problem::here("is not a status; write it like { \"503\": 3, \"500\": 1 }"))?;
        Ok((status(&json!(number))?, whole(1, 1_000_000)(weight)?))
    };
    let weighted: Vec<(StatusCode, u64)> = object
        .iter()
        .map(|(code, weight)| read(code, weight).map_err(|problem: Problem| problem.under(code)))
        .collect::<Result<_, _>>()?;
    if weighted.is_empty() {
        return Err(Problem::here("is empty; there is nothing to answer"));
    }
    Ok(weighted)
}

impl FaultKind for Abort {
    const NAME: &'static str = "abort";
    const SUMMARY: &'static str = "answers with an error status in the upstream's place";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("status", Accepts::Whole(200, 599), "503", "the answer's status; the shorthand 503 means this"),
        Param::new("statuses", Accepts::Weights, "", "one of these, drawn for each request: {\"503\": 3, \"500\": 1}"),
        Param::new("body", Accepts::TextUpTo(64), "names the status, as problem+json or text after the request's Accept", "the answer's content"),
        Param::new("content_type", Accepts::Text, "text/plain; charset=utf-8", "of the body given"),
        Param::new("headers", Accepts::Fields, "{}", "further header fields of the answer"),
        Param::new("retry_after", Accepts::Any(&[Accepts::Seconds, Accepts::Date]), "", "the answer's Retry-After, in seconds or as a date; with \"-\" a date that has passed"),
        Param::new("grpc_status", Accepts::Words(GrpcStatus::NAMES), "what gRPC makes of `status`", "the status that a call of gRPC gets, which is trailers alone; other requests get `status`"),
        Param::new("at", Accepts::Words(&["before", "after"]), "before", "before the upstream sees the request, or after it did the work"),
    ];
    const SHORTHAND: &'static str = "status";
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
        let (one, weighted) = match &self.statuses {
            Statuses::One(status) => (Some(json!(status.as_u16())), None),
            Statuses::Weighted(weighted) => {
                let members = weighted
                    .iter()
                    .map(|(status, weight)| (status.as_str().to_owned(), json!(weight)));
                (None, Some(Value::Object(members.collect::<Map<_, _>>())))
            }
        };
        let at = if self.after { "after" } else { "before" };
        written([
            ("status", one),
            ("statuses", weighted),
            ("body", self.body.as_ref().map(|body| json!(body))),
            ("content_type", self.content_type.as_ref().map(|name| json!(name))),
            ("headers", Some(headers_value(&self.headers))),
            ("retry_after", self.retry_after.map(|after| json!(after.to_text()))),
            ("grpc_status", self.grpc_status.map(|status| json!(status.name()))),
            ("at", Some(json!(at))),
        ])
    }

    fn phase(&self) -> Phase {
        if self.after {
            Phase::ResponseHead
        } else {
            Phase::Request
        }
    }

    fn ends(&self) -> bool {
        true
    }

    fn inject(&self, draw: &mut Draw<'_, ()>, into: &mut Injection) {
        let answer = Arc::clone(self.answer(draw));
        if self.after {
            into.end_answer(ResponseEnding::Answer(answer));
        } else {
            into.end(RequestEnding::Answer(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::injection::RetryDate;

    #[test]
    fn the_shorthand_is_a_status() {
        let abort = Abort::read(&json!(418)).unwrap();

        let written = abort.to_value();
        assert_eq!(written, json!({ "status": 418, "headers": {}, "at": "before" }));
    }

    #[test]
    fn left_out_everything_is_a_503() {
        let abort = Abort::read(&json!({})).unwrap();

        assert_eq!(abort.answers[0].1.status, 503);
        assert!(abort.answers[0].1.fields.is_empty());
    }

    #[test]
    fn a_body_headers_and_retry_after_of_the_users_own_are_kept() {
        let spec = json!({
            "status": 429,
            "body": "{\"code\":17}",
            "content_type": "application/json",
            "headers": { "x-reason": ["a", "b"] },
            "retry_after": "2m",
            "grpc_status": "RESOURCE_EXHAUSTED",
            "at": "after",
        });

        let abort = Abort::read(&spec).unwrap();

        assert_eq!(abort.to_value(), spec);
        let answer = &abort.answers[0].1;
        assert_eq!(answer.fields[2], Field::new("retry-after", "120"));
        assert_eq!(answer.grpc_status.unwrap().number(), 8);
        let content = answer.body(&http::HeaderMap::new()).unwrap();
        assert_eq!(content.content_type.unwrap(), "application/json");
        assert_eq!(content.bytes, "{\"code\":17}");
    }

    #[test]
    fn a_date_is_told_by_the_one_who_has_a_clock() {
        let abort = Abort::read(&json!({ "retry_after": "date:2m" })).unwrap();

        assert_eq!(abort.to_value()["retry_after"], "date:2m");
        let answer = &abort.answers[0].1;
        assert_eq!(answer.retry_date, Some(RetryDate::Ahead(Duration::from_secs(120))));
        assert!(answer.fields.is_empty());
    }

    #[test]
    fn a_retry_after_may_be_zero_or_over_already() {
        let told = |written: &str| {
            let abort = Abort::read(&json!({ "retry_after": written })).unwrap();
            assert_eq!(abort.to_value()["retry_after"], written);
            let answer = &abort.answers[0].1;
            (answer.fields.first().cloned(), answer.retry_date)
        };

        assert_eq!(told("0s"), (Some(Field::new("retry-after", "0")), None));
        assert_eq!(told("date:0s"), (None, Some(RetryDate::Ahead(Duration::ZERO))));
        assert_eq!(told("date:-10s"), (None, Some(RetryDate::Ago(Duration::from_secs(10)))));
    }

    #[test]
    fn weights_add_up_in_the_order_given() {
        let spec = json!({ "statuses": { "503": 3, "500": 1 }, "headers": {}, "at": "before" });

        let abort = Abort::read(&spec).unwrap();

        assert_eq!(abort.to_value(), spec);
        let upto: Vec<(u64, u16)> = abort
            .answers
            .iter()
            .map(|(upto, answer)| (*upto, answer.status.as_u16()))
            .collect();
        assert_eq!(upto, [(3, 503), (4, 500)]);
    }

    #[test]
    fn what_could_not_be_sent_is_refused_with_its_place() {
        let cases = [
            (json!(99), ""),
            (json!({ "status": 600 }), "/status"),
            (json!({ "status": "503" }), "/status"),
            (json!({ "status": 503, "statuses": { "500": 1 } }), "/statuses"),
            (json!({ "statuses": {} }), "/statuses"),
            (json!({ "statuses": { "99": 1 } }), "/statuses/99"),
            (json!({ "statuses": { "503": 0 } }), "/statuses/503"),
            (json!({ "status": 204, "body": "x" }), "/body"),
            (json!({ "content_type": "a/b" }), "/content_type"),
            (json!({ "headers": { "content-length": "3" } }), "/headers/content-length"),
            (json!({ "headers": { "retry-after": "3" } }), "/headers/retry-after"),
            (json!({ "headers": { "x": "a\nb" } }), "/headers/x"),
            (json!({ "headers": { "x": ["a", 1] } }), "/headers/x/1"),
            (json!({ "retry_after": "1500ms" }), "/retry_after"),
            (json!({ "retry_after": 2 }), "/retry_after"),
            (json!({ "retry_after": "date:" }), "/retry_after"),
            (json!({ "retry_after": "-10s" }), "/retry_after"),
            (json!({ "retry_after": "date:--10s" }), "/retry_after"),
            (json!({ "retry_after": "date:1500ms" }), "/retry_after"),
            (json!({ "grpc_status": 14 }), "/grpc_status"),
            (json!({ "grpc_status": "OK" }), "/grpc_status"),
            (json!({ "at": "during" }), "/at"),
        ];
        for (value, pointer) in cases {
            assert_eq!(Abort::read(&value).unwrap_err().pointer, pointer, "{value}");
        }
    }
}
