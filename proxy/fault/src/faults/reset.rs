//! `reset`: the client's connection, or its stream, is reset.

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, error_code, params, written};
use crate::{
    injection::{Break, Cut, CutAt, CutFraming, ErrorCode, Injection, RequestEnding, ResetScope, ResponseEnding, Shape},
    read::{Problem, one_of},
    stream::{Chance, Layer, Stage},
    units::{show_size, byte_count},
};

/// Resets the client's connection: a real RST, no FIN. With HTTP/2 the stream is reset (`RST_STREAM`), unless `scope` is
/// "connection".
///
/// Before the request is forwarded, once the upstream has answered (both without a byte of an answer), or after
/// so many bytes of the answer's body. Whatever was sent before, be it an earlier answer on the connection or
/// the bytes up to the reset, is first acknowledged by the client, for at most two seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    at: At,
    code: Option<ErrorCode>,
    is_of_connection: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Request,
    ResponseHead,
    ResponseBody(u64),
}

const SCOPES: &[&str] = &["auto", "connection"];

impl Reset {
    fn scope(&self) -> ResetScope {
        match (self.is_of_connection, self.code) {
            (true, _) => ResetScope::Connection,
            (false, code) => code.map_or(ResetScope::AUTO, ResetScope::Stream),
        }
    }
}

impl FaultKind for Reset {
    const NAME: &'static str = "reset";
    const SUMMARY: &'static str = "resets the client's connection (TCP RST), or its stream of HTTP/2 (RST_STREAM)";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("at", Accepts::Words(&["request", "response_head", "response_body"]), "request", "before the request is forwarded, once the upstream has answered, or in the answer's body"),
        Param::new("after_bytes", Accepts::Size, "0B", "bytes of the body that arrive before; means at response_body"),
        Param::new("scope", Accepts::Words(SCOPES), "auto", "with HTTP/2: the stream alone, or the connection with all of its streams; with HTTP/1 it is always the connection"),
        Param::new("code", error_code::ACCEPTS, "INTERNAL_ERROR", "with HTTP/2: the error code of RST_STREAM; a TCP reset has none, so it does not go with scope \"connection\""),
    ];
    const EXAMPLE: &'static str = "{}";

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];
    const STREAM: &'static str = "the connection is reset on both sides: at once, or once `after_bytes` have passed in its `direction`";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let words = ["request", "response_head", "response_body"];
        let at = object.optional("at", one_of("moment", &words))?;
        let after = object.optional("after_bytes", byte_count)?;
        let scope = object.optional("scope", one_of("scope", SCOPES))?;
        let code = object.optional("code", error_code::error_code)?;
        let is_of_connection = scope == Some("connection");
        if is_of_connection && code.is_some() {
            return Err(Problem::at("code", "does not go with scope \"connection\": a TCP reset has no code"));
        }
        let at = match (at, after) {
            (Some("request" | "response_head"), Some(_)) => {
                return Err(Problem::at("after_bytes", "goes with at \"response_body\""));
            }
            (Some("response_head"), None) => At::ResponseHead,
            (Some("response_body"), after) => At::ResponseBody(after.unwrap_or(0)),
            (_, Some(after)) => At::ResponseBody(after),
            (_, None) => At::Request,
        };
        Ok(Self { at, code, is_of_connection })
    }

    fn to_value(&self) -> Value {
        let (at, after) = match self.at {
            At::Request => ("request", None),
            At::ResponseHead => ("response_head", None),
            At::ResponseBody(after) => ("response_body", Some(json!(show_size(after)))),
        };
        written([
            ("at", Some(json!(at))),
            ("after_bytes", after),
            ("scope", self.is_of_connection.then(|| json!("connection"))),
            ("code", self.code.map(error_code::to_value)),
        ])
    }

    /// A connection has neither a code nor streams.
    fn layers(&self) -> &'static [Layer] {
        match self.code.is_some() || self.is_of_connection {
            true => &[Layer::Request],
            false => Self::LAYERS,
        }
    }

    fn phase(&self) -> Phase {
        match self.at {
            At::Request => Phase::Request,
            At::ResponseHead => Phase::ResponseHead,
            At::ResponseBody(_) => Phase::ResponseBody,
        }
    }

    fn ends(&self) -> bool {
        true
    }

    fn check_stream(&self) -> Result<(), Problem> {
        match self.at {
            At::Request | At::ResponseBody(_) => Ok(()),
            At::ResponseHead => Err(Problem::at("at", "a connection has no response; give `after_bytes`, or nothing")),
        }
    }

    fn stage(&self, _chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        let after = match self.at {
            At::Request | At::ResponseHead => 0,
            At::ResponseBody(after) => after,
        };
        Some(Stage::Reset { after })
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        let scope = self.scope();
        match self.at {
            At::Request => into.end(RequestEnding::Reset(scope)),
            At::ResponseHead => into.end_answer(ResponseEnding::Reset(scope)),
            At::ResponseBody(after) => into.shape(Shape::Cut(Cut {
                at: CutAt::Bytes(after),
                how: Break::Reset(scope),
                framing: CutFraming::AsItCame,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_mean_the_body_and_go_with_nothing_else() {
        let read = |value: Value| Reset::read(&value).map(|reset| reset.to_value());

        assert_eq!(read(json!({})), Ok(json!({ "at": "request" })));
        assert_eq!(
            read(json!({ "after_bytes": "1KiB" })),
            Ok(json!({ "at": "response_body", "after_bytes": "1KiB" }))
        );
        let problem = read(json!({ "at": "request", "after_bytes": "1KiB" })).unwrap_err();
        assert_eq!(problem.pointer, "/after_bytes");
    }

    #[test]
    fn a_code_is_that_of_a_stream_and_no_connection_has_one() {
        let coded = Reset::read(&json!({ "code": 8 })).unwrap();
        assert_eq!(coded.to_value(), json!({ "at": "request", "code": "CANCEL" }));
        assert_eq!(coded.layers(), [Layer::Request]);

        let whole = Reset::read(&json!({ "scope": "connection" })).unwrap();
        assert_eq!(whole.scope(), ResetScope::Connection);
        assert_eq!(whole.layers(), [Layer::Request]);

        let both = Reset::read(&json!({ "scope": "connection", "code": "CANCEL" }));
        assert_eq!(both.unwrap_err().pointer, "/code");
    }
}
