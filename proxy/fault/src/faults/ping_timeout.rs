//! `ping_timeout`: the PINGs of a client are not answered.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, error_code::ON_HTTP2, params, written};
use crate::{
    injection::{Http2Fault, Injection},
    read::Problem,
    units::{hold_up_to, show_hold},
};

/// Answers no PING on the connection of each request over HTTP/2, from that request on. It acts on the whole connection.
///
/// Requests pass. A client that keeps its connections alive by PINGs takes this one for dead. PINGs that came meanwhile are not
/// answered later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingTimeout(Option<Duration>);

const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl FaultKind for PingTimeout {
    const NAME: &'static str = "ping_timeout";
    const SUMMARY: &'static str = "answers no PING on connections with HTTP/2; skips requests with HTTP/1";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[Param::new(
        "for",
        Accepts::Any(&[Accepts::Duration("24h"), Accepts::Words(&["until_removed"])]),
        "until_removed",
        "how long after the request",
    )];
    const SHORTHAND: &'static str = "for";
    const EXAMPLE: &'static str = r#"{"for":"until_removed"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        if value.is_string() {
            return hold_up_to(HOLD_MAX)(value).map(Self);
        }
        let hold = params::<Self>(value)?.optional("for", hold_up_to(HOLD_MAX))?;
        Ok(Self(hold.flatten()))
    }

    fn to_value(&self) -> Value {
        written([("for", Some(json!(show_hold(self.0))))])
    }

    fn condition(&self) -> Option<&'static str> {
        Some(ON_HTTP2)
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        draw.subject.is_http2
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.on_connection(Http2Fault::IgnorePings(self.0));
    }
}
