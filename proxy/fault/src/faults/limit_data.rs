//! `limit_data`: a connection carries so many bytes and no more.

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::Injection,
    read::Problem,
    stream::{Chance, Layer, Stage},
    units::{show_size, byte_count},
};

/// Closes a connection in good order once so many bytes have passed: exactly those arrive.
///
/// They are counted from when the fault meets the connection, and a patch keeps the count. With `0B` the first
/// byte closes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitData(u64);

impl FaultKind for LimitData {
    const NAME: &'static str = "limit_data";
    const SUMMARY: &'static str = "closes a connection (TCP FIN) once so many bytes have passed";
    const PHASE: Phase = Phase::Stream;
    const PARAMS: &'static [Param] = &[
        Param::new("bytes", Accepts::Size, "0B", "bytes that arrive before; the shorthand \"1KiB\" means this"),
    ];
    const SHORTHAND: &'static str = "bytes";
    const EXAMPLE: &'static str = r#"{"bytes":"100B"}"#;
    const LAYERS: &'static [Layer] = &[Layer::Stream];
    const STREAM: &'static str = "exactly so many bytes pass in its `direction`, counted from when the fault meets the connection, then both sides are closed";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        if value.is_string() || value.is_number() {
            return byte_count(value).map(Self);
        }
        let object = params::<Self>(value)?;
        Ok(Self(object.optional("bytes", byte_count)?.unwrap_or(0)))
    }

    fn to_value(&self) -> Value {
        written([("bytes", Some(json!(show_size(self.0))))])
    }

    fn stage(&self, _chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        Some(Stage::Limit { bytes: self.0 })
    }

    /// There is no request.
    fn inject(&self, _draw: &mut Draw<'_, ()>, _into: &mut Injection) {}
}
