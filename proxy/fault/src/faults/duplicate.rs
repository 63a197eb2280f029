//! `duplicate`: the upstream gets a request more than once.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    fields::Fields,
    injection::{COPIED_BYTES_MAX, Copies, Injection},
    matcher::method,
    read::{Problem, one_or_many, whole},
    units::{DURATION_MAX, duration, show_duration},
    written::single_or_list,
};

/// Sends each request to the upstream more than once, as an impatient client or a network does. The client gets
/// the answer to the first; the answers to the copies are read and forgotten.
///
/// Requests with a longer body than 64 KiB, of unknown length, that ask for an upgrade or wait for a 100 are
/// skipped: to be sent again a body must be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    copies: u32,
    gap: Duration,
    methods: Vec<Method>,
}

impl FaultKind for Duplicate {
    const NAME: &'static str = "duplicate";
    const SUMMARY: &'static str = "sends each request to the upstream more than once";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("copies", Accepts::Whole(1, 10), "1", "further requests beside the first"),
        Param::new("gap", Accepts::Duration("1m"), "0s", "how long after the one before each is sent"),
        Param::new("methods", Accepts::Methods, "GET, HEAD, PUT, DELETE, OPTIONS and TRACE", "which requests; POST and PATCH must be named, as they may not be repeatable"),
    ];
    const EXAMPLE: &'static str = r#"{"copies":1}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let copies = object.optional("copies", whole(1, 10))?.unwrap_or(1);
        let gap = object.optional("gap", |value| match duration(value)? {
            gap if gap > Duration::from_secs(60).min(DURATION_MAX) => {
                Err(Problem::here(format!("{} is above 1m", show_duration(gap))))
            }
            gap => Ok(gap),
        })?;
        let idempotent = || {
            let methods = [
                Method::GET,
                Method::HEAD,
                Method::PUT,
                Method::DELETE,
                Method::OPTIONS,
                Method::TRACE,
            ];
            methods.to_vec()
        };
        let methods = object.optional("methods", one_or_many(method))?;
        Ok(Self {
            copies: u32::try_from(copies).unwrap_or(1),
            gap: gap.unwrap_or_default(),
            methods: methods.unwrap_or_else(idempotent),
        })
    }

    fn to_value(&self) -> Value {
        let methods = self.methods.iter().map(|method| method.as_str().to_owned());
        written([
            ("copies", Some(json!(self.copies))),
            ("gap", Some(json!(show_duration(self.gap)))),
            ("methods", Some(single_or_list(methods))),
        ])
    }

    fn condition(&self) -> Option<&'static str> {
        Some("if its method is one of `methods` and its content may be kept")
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        let mut methods = self.methods.iter();
        methods.any(|method| method.as_str() == draw.subject.method) && can_be_kept(draw.subject.fields)
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.copy(Copies {
            count: self.copies,
            gap: self.gap,
        });
    }
}

fn can_be_kept(fields: &dyn Fields) -> bool {
    let special = ["transfer-encoding", "upgrade", "expect"];
    if special.iter().any(|name| fields.has(name)) {
        return false;
    }
    let Some(length) = fields.first("content-length") else {
        return true; // Without either there is no body (RFC 9112 §6.3).
    };
    let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
    length.is_some_and(|length: u64| length <= COPIED_BYTES_MAX)
}
