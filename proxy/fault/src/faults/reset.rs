//! `reset`: the client's connection is reset.

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Break, Cut, CutAt, CutFraming, Injection, RequestEnding, ResponseEnding, Shape},
    read::{Problem, one_of},
    stream::{Chance, Layer, Stage},
    units::{show_size, byte_count},
};

/// Resets the client's connection: a real RST, no FIN.
///
/// Before the request is forwarded, once the upstream has answered (both without a byte of an answer), or after
/// so many bytes of the answer's body. Whatever was sent before, be it an earlier answer on the connection or
/// the bytes up to the reset, is first acknowledged by the client, for at most two seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset(At);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Request,
    ResponseHead,
    ResponseBody(u64),
}

impl FaultKind for Reset {
    const NAME: &'static str = "reset";
    const SUMMARY: &'static str = "resets the client's connection (TCP RST)";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("at", Accepts::Words(&["request", "response_head", "response_body"]), "request", "before the request is forwarded, once the upstream has answered, or in the answer's body"),
        Param::new("after_bytes", Accepts::Size, "0B", "bytes of the body that arrive before; means at response_body"),
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
        match (at, after) {
            (Some("request" | "response_head"), Some(_)) => {
                Err(Problem::at("after_bytes", "goes with at \"response_body\""))
            }
            (Some("response_head"), None) => Ok(Self(At::ResponseHead)),
            (Some("response_body"), after) => Ok(Self(At::ResponseBody(after.unwrap_or(0)))),
            (_, Some(after)) => Ok(Self(At::ResponseBody(after))),
            (_, None) => Ok(Self(At::Request)),
        }
    }

    fn to_value(&self) -> Value {
        let (at, after) = match self.0 {
            At::Request => ("request", None),
            At::ResponseHead => ("response_head", None),
            At::ResponseBody(after) => ("response_body", Some(json!(show_size(after)))),
        };
        written([("at", Some(json!(at))), ("after_bytes", after)])
    }

    fn phase(&self) -> Phase {
        match self.0 {
            At::Request => Phase::Request,
            At::ResponseHead => Phase::ResponseHead,
            At::ResponseBody(_) => Phase::ResponseBody,
        }
    }

    fn ends(&self) -> bool {
        true
    }

    fn check_stream(&self) -> Result<(), Problem> {
        match self.0 {
            At::Request | At::ResponseBody(_) => Ok(()),
            At::ResponseHead => Err(Problem::at("at", "a connection has no response; give `after_bytes`, or nothing")),
        }
    }

    fn stage(&self, _chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        let after = match self.0 {
            At::Request | At::ResponseHead => 0,
            At::ResponseBody(after) => after,
        };
        Some(Stage::Reset { after })
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        match self.0 {
            At::Request => into.end(RequestEnding::Reset),
            At::ResponseHead => into.end_answer(ResponseEnding::Reset),
            At::ResponseBody(after) => into.shape(Shape::Cut(Cut {
                at: CutAt::Bytes(after),
                how: Break::Reset,
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
}
