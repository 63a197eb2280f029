//! `flow_control_stall`: a client gets no credit for its content.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Http2Fault, Injection},
    read::Problem,
    units::{hold_up_to, show_hold},
};

/// Withholds the credit of flow control (`WINDOW_UPDATE`) for the content of each request over HTTP/2.
///
/// What the client may send without it, 64 KiB at the beginning of a connection, passes at once; then the client has to wait.
/// Credit for all of it comes when `for` is over or the fault is removed. A request without content is skipped; what a client sends
/// behind an extended CONNECT is content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowControlStall(Option<Duration>);

const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl FaultKind for FlowControlStall {
    const NAME: &'static str = "flow_control_stall";
    const SUMMARY: &'static str = "withholds the credit for the content of requests over HTTP/2; skips those with HTTP/1 or without content";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[Param::new(
        "for",
        Accepts::Any(&[Accepts::Duration("24h"), Accepts::Words(&["until_removed"])]),
        "30s",
        "how long each request gets none",
    )];
    const SHORTHAND: &'static str = "for";
    const EXAMPLE: &'static str = r#"{"for":"5s"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        if value.is_string() {
            return hold_up_to(HOLD_MAX)(value).map(Self);
        }
        let hold = params::<Self>(value)?.optional("for", hold_up_to(HOLD_MAX))?;
        Ok(Self(hold.unwrap_or(Some(Duration::from_secs(30)))))
    }

    fn to_value(&self) -> Value {
        written([("for", Some(json!(show_hold(self.0))))])
    }

    fn condition(&self) -> Option<&'static str> {
        Some("if it comes over HTTP/2 and has content")
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        let fields = draw.subject.fields;
        let length = fields.first("content-length");
        let has_content = fields.first("transfer-encoding").is_some() || length.is_some_and(|it| it != b"0");
        // What follows a CONNECT on its stream is no content, and needs credit as well (RFC 8441 §5).
        let is_tunnel = draw.subject.method == "CONNECT";
        draw.subject.is_http2 && (has_content || is_tunnel)
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.on_connection(Http2Fault::WithholdCredit(self.0));
    }
}
