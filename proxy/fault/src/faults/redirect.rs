//! `redirect`: the client is sent elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, message::value_text, params, written};
use crate::{
    edits::Field,
    injection::{Answer, RequestEnding, Injection},
    read::{Problem, boolean, expected, text},
};

/// Answers each request with a redirect, elsewhere or to itself; the upstream never sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    status: StatusCode,
    /// `None` for the request's own target.
    to: Option<HeaderValue>,
}

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

fn status(value: &Value) -> Result<StatusCode, Problem> {
    let code = value.as_u64().and_then(|code| u16::try_from(code).ok());
    match code {
        Some(code) if STATUSES.contains(&code) => StatusCode::from_u16(code)
            .map_err(|_| expected("a status", value)),
        _ => Err(Problem::here("must be one of 301, 302, 303, 307 and 308")),
    }
}

impl FaultKind for Redirect {
    const NAME: &'static str = "redirect";
    const SUMMARY: &'static str = "answers with a redirect; the upstream never sees the request";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("status", Accepts::OneOf(&[301, 302, 303, 307, 308]), "302", "the answer's status"),
        Param::new("to", Accepts::Location, "", "where to; the shorthand \"/elsewhere\" means this"),
        Param::new("loop", Accepts::Truth, "false", "to the same URL again, instead of to"),
    ];
    const SHORTHAND: &'static str = "to";
    const EXAMPLE: &'static str = r#"{"to":"/elsewhere"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let to = |value: &Value| {
            let location = text(value)?;
            if location.is_empty() {
                return Err(Problem::here("is empty"));
            }
            HeaderValue::from_str(location).map_err(|_| Problem::here("is not a header value"))
        };
        if value.is_string() {
            return Ok(Self {
                status: StatusCode::FOUND,
                to: Some(to(value)?),
            });
        }
        let object = params::<Self>(value)?;
        let status = object.optional("status", status)?;
        let to = object.optional("to", to)?;
        let again = object.optional("loop", boolean)?.unwrap_or(false);
        match (&to, again) {
            (Some(_), true) => return Err(Problem::at("loop", "does not go with `to`")),
            (None, false) => {
                return Err(Problem::at("to", "is required, unless `loop` is true"));
            }
            (Some(_), false) | (None, true) => {}
        }
        Ok(Self {
            status: status.unwrap_or(StatusCode::FOUND),
            to,
        })
    }

    fn to_value(&self) -> Value {
        let to = self.to.as_ref().map(value_text);
        written([
            ("status", Some(json!(self.status.as_u16()))),
            ("to", to.as_ref().map(|to| json!(to))),
            ("loop", Some(json!(to.is_none()))),
        ])
    }

    fn ends(&self) -> bool {
        true
    }

    fn inject(&self, draw: &mut Draw<'_, ()>, into: &mut Injection) {
        let location = match &self.to {
            Some(to) => Bytes::copy_from_slice(to.as_bytes()),
            None => Bytes::from(draw.subject.target()),
        };
        let answer = Answer::plain(self.status, vec![Field::new("location", location)]);
        into.end(RequestEnding::Answer(Arc::new(answer)));
    }
}
