//! `reset`: the client's connection is reset.

use serde_json::{Value, json};

use super::{Draw, FaultKind, Param, Phase, params};
use crate::{
    injection::{Ending, Injection},
    read::Problem,
};

/// Resets the client's connection before the request is forwarded: a real RST, zero bytes, no FIN.
///
/// An answer to an earlier request on the same connection is first sent whole and acknowledged, for at most
/// two seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset;

impl FaultKind for Reset {
    const NAME: &'static str = "reset";
    const SUMMARY: &'static str = "resets the client's connection (TCP RST) without a byte of an answer";
    const PHASE: Phase = Phase::Request;
    const ENDS: bool = true;
    const HOLDS: bool = false;
    const PARAMS: &'static [Param] = &[];
    const EXAMPLE: &'static str = "{}";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        params::<Self>(value).map(|_| Self)
    }

    fn to_value(&self) -> Value {
        json!({})
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.end(Ending::Reset);
    }
}
