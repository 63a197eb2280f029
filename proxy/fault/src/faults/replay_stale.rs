//! `replay_stale`: old answers are given again.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    edits::Field,
    injection::{RequestEnding, Injection, ResponseCache},
    read::Problem,
    units::{duration_up_to, show_duration},
};

/// Gives the first answer to each GET again and again, as a cache or a replica that lags does.
///
/// From the moment it is armed the fault keeps answers of status 200 and up to 64 KiB, at most 1,000. A kept answer is
/// given only for the same route, host and target, the same values of the fields that its `Vary` names (RFC 9111 §4.1),
/// and the same fields that tell who asks: those whose names have `auth`, `cookie`, `token`, `api-key`, `session`,
/// `secret`, `credential`, `user` (but not `User-Agent`), `tenant` or `account` in them. An answer with `Cache-Control:
/// private` is given only for a request with the same fields, besides those of tracing. `Set-Cookie` is never given
/// again. Any other request is `skipped` and goes to the upstream.
/// The answer's own fields stay as they were, `Date` included, with `Age` beside them (RFC 9111 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayStale {
    age: Duration,
}

impl FaultKind for ReplayStale {
    const NAME: &'static str = "replay_stale";
    const SUMMARY: &'static str = "gives old answers again, as a replica that lags does";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[Param::new(
        "age",
        Accepts::Duration("24h"),
        "5m",
        "how old an answer may get before the next request goes to the upstream; an answer is given again only for the same route, host, target, fields that `Vary` names and fields that tell who asks, such as `Authorization`, `Cookie`, `X-Api-Key` or `X-User-Id`; one with `Cache-Control: private` only for a request with the same fields; `Set-Cookie` never; kept are answers to GET with status 200, up to 64 KiB, at most 1,000",
    )];
    const EXAMPLE: &'static str = r#"{"age":"5m"}"#;

    type State = Arc<ResponseCache>;

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let age = object.optional("age", duration_up_to(Duration::from_secs(24 * 60 * 60)))?;
        Ok(Self {
            age: age.unwrap_or(Duration::from_secs(5 * 60)),
        })
    }

    fn to_value(&self) -> Value {
        written([("age", Some(json!(show_duration(self.age))))])
    }

    fn ends(&self) -> bool {
        true
    }

    fn takes(&self, draw: &mut Draw<'_, Arc<ResponseCache>>, into: &mut Injection) -> bool {
        if draw.subject.method != "GET" {
            return false;
        }
        let kept = draw.state.find(draw.subject, self.age, draw.now);
        if kept.is_none() {
            into.keep(draw.state.keep(draw.subject));
        }
        kept.is_some()
    }

    fn inject(&self, draw: &mut Draw<'_, Arc<ResponseCache>>, into: &mut Injection) {
        if let Some((answer, age)) = draw.state.find(draw.subject, self.age, draw.now) {
            let age = [Field::new("age", age.as_secs().to_string())];
            into.end(RequestEnding::Answer(Arc::new(answer.with_fields(age))));
        }
    }
}
