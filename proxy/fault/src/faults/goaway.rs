//! `goaway`: a connection with HTTP/2 takes no further streams.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, error_code, params, written};
use crate::{
    injection::{ErrorCode, GoAway as Frame, Http2Fault, Injection, LastStream, RequestEnding, ResetScope},
    read::{Problem, one_of, whole},
    units::{duration_up_to, show_duration},
};

/// Sends a GOAWAY on the connection of each request over HTTP/2, once for a connection. It acts on the whole connection.
///
/// Streams above the last one that it names are refused (`RST_STREAM` with `REFUSED_STREAM`) and never reach the upstream; those that
/// were open before end as they should. The connection is closed with its last stream, or when `grace` is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoAway(Frame);

const LAST_STREAMS: &[&str] = &["current", "before"];
/// The highest number of a stream.
const STREAM_MAX: u64 = (1 << 31) - 1;
const GRACE_MAX: Duration = Duration::from_secs(60 * 60);

impl FaultKind for GoAway {
    const NAME: &'static str = "goaway";
    const SUMMARY: &'static str = "ends connections with HTTP/2 by a GOAWAY; skips requests with HTTP/1";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("code", error_code::ACCEPTS, "NO_ERROR", "its error code"),
        Param::new(
            "last_stream",
            Accepts::Any(&[Accepts::Words(LAST_STREAMS), Accepts::Whole(0, STREAM_MAX)]),
            "current",
            "the last stream that was processed, as it says: that of the request, which goes on; the one before, and the request is refused; or this number, whatever was processed",
        ),
        Param::new("grace", Accepts::Duration("1h"), "", "when the connection is closed though streams are in progress; left out, it waits for them"),
    ];
    const EXAMPLE: &'static str = r#"{"code":"NO_ERROR","last_stream":"current"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let last_stream = object.optional("last_stream", |value| {
            if value.is_number() {
                let number = whole(0, STREAM_MAX)(value)?;
                return Ok(LastStream::Number(u32::try_from(number).unwrap_or(0)));
            }
            Ok(match one_of("stream", LAST_STREAMS)(value)? {
                "before" => LastStream::Before,
                _ => LastStream::Current,
            })
        })?;
        Ok(Self(Frame {
            code: object.optional("code", error_code::error_code)?.unwrap_or(ErrorCode::NO_ERROR),
            last_stream: last_stream.unwrap_or(LastStream::Current),
            grace: object.optional("grace", duration_up_to(GRACE_MAX))?,
        }))
    }

    fn to_value(&self) -> Value {
        let last_stream = match self.0.last_stream {
            LastStream::Current => json!("current"),
            LastStream::Before => json!("before"),
            LastStream::Number(number) => json!(number),
        };
        written([
            ("code", Some(error_code::to_value(self.0.code))),
            ("last_stream", Some(last_stream)),
            ("grace", self.0.grace.map(|grace| json!(show_duration(grace)))),
        ])
    }

    fn ends(&self) -> bool {
        self.0.last_stream != LastStream::Current
    }

    fn condition(&self) -> Option<&'static str> {
        Some(error_code::ON_HTTP2)
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        draw.subject.is_http2
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.on_connection(Http2Fault::GoAway(self.0));
        if self.0.last_stream == LastStream::Before {
            into.end(RequestEnding::Reset(ResetScope::Stream(ErrorCode::REFUSED_STREAM)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stream_is_a_word_or_a_number() {
        let read = |value: Value| GoAway::read(&value).map(|it| it.to_value());

        assert_eq!(read(json!({})), Ok(json!({ "code": "NO_ERROR", "last_stream": "current" })));
        let chosen = json!({ "code": "ENHANCE_YOUR_CALM", "last_stream": 7, "grace": "2s" });
        assert_eq!(read(chosen.clone()), Ok(chosen));
        for wrong in [json!("last"), json!(2_147_483_648_u64), json!(-1)] {
            let problem = GoAway::read(&json!({ "last_stream": wrong })).unwrap_err();
            assert_eq!(problem.pointer, "/last_stream");
        }
        let long = GoAway::read(&json!({ "grace": "2h" }));
        assert_eq!(long.unwrap_err().pointer, "/grace");
    }
}
