//! `refused_stream`: a stream is refused.

use serde_json::{Value, json};

use super::{Draw, FaultKind, Param, Phase, error_code::ON_HTTP2, params};
use crate::{
    injection::{ErrorCode, Injection, RequestEnding, ResetScope},
    read::Problem,
};

/// Refuses each request over HTTP/2 with `RST_STREAM`(`REFUSED_STREAM`): it was not processed, and a client may send it again,
/// whatever its method is (RFC 9113 §8.7). The upstream never sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedStream;

impl FaultKind for RefusedStream {
    const NAME: &'static str = "refused_stream";
    const SUMMARY: &'static str = "refuses requests over HTTP/2 (RST_STREAM with REFUSED_STREAM); skips those with HTTP/1";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[];
    const EXAMPLE: &'static str = "{}";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        params::<Self>(value)?;
        Ok(Self)
    }

    fn to_value(&self) -> Value {
        json!({})
    }

    fn ends(&self) -> bool {
        true
    }

    fn condition(&self) -> Option<&'static str> {
        Some(ON_HTTP2)
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        draw.subject.is_http2
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        let scope = ResetScope::Stream(ErrorCode::REFUSED_STREAM);
        into.end(RequestEnding::Reset(scope));
    }
}
