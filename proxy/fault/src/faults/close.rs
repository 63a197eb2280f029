//! `close`: the connection is closed in good order, without an answer.

use serde_json::{Value, json};

use super::{Draw, FaultKind, Param, Phase, params};
use crate::{
    injection::{RequestEnding, Injection},
    read::Problem,
};

/// Reads each request whole, at most 1 MiB or one second of it, and closes the connection (FIN) without a byte:
/// the "empty reply". The upstream never sees the request.
///
/// The request is read first because a close with unread bytes turns into a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close;

impl FaultKind for Close {
    const NAME: &'static str = "close";
    const SUMMARY: &'static str = "closes the connection (TCP FIN) without a byte of an answer";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[];
    const EXAMPLE: &'static str = "{}";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        params::<Self>(value).map(|_| Self)
    }

    fn to_value(&self) -> Value {
        json!({})
    }

    fn ends(&self) -> bool {
        true
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.end(RequestEnding::Close);
    }
}
