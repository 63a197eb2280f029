//! `slicer`: bytes come in small pieces.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::Injection,
    read::Problem,
    stream::{Chance, Layer, Stage},
    units::{duration, show_duration, show_size, byte_count},
};

/// Cuts what passes into pieces that are sent one by one, with a pause behind each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slicer {
    size: u64,
    variation: u64,
    gap: Duration,
}

const GAP_MAX: Duration = Duration::from_secs(60 * 60);
const SIZE: u64 = 64;

fn gap(value: &Value) -> Result<Duration, Problem> {
    match duration(value)? {
        gap if gap > GAP_MAX => Err(Problem::here("is longer than 1h")),
        gap => Ok(gap),
    }
}

impl FaultKind for Slicer {
    const NAME: &'static str = "slicer";
    const SUMMARY: &'static str = "cuts what passes into small pieces, with a pause behind each";
    const PHASE: Phase = Phase::Stream;
    const PARAMS: &'static [Param] = &[
        Param::new("size", Accepts::SizeWith("1B or more"), "64B", "bytes of a piece; the last one of what came at once may be smaller"),
        Param::new("variation", Accepts::SizeWith("less than `size`"), "0B", "pieces are by up to so much smaller or larger, each size equally likely"),
        Param::new("gap", Accepts::Duration("1h"), "10ms", "the pause behind each piece"),
    ];
    const EXAMPLE: &'static str = r#"{"size":"200B","gap":"150ms"}"#;
    const LAYERS: &'static [Layer] = &[Layer::Stream];
    const STREAM: &'static str = "the bytes of its `direction` come in pieces, each sent by itself";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let average = object.optional("size", byte_count)?.unwrap_or(SIZE);
        if average == 0 {
            return Err(Problem::at("size", "must be at least 1B"));
        }
        let variation = object.optional("variation", byte_count)?.unwrap_or(0);
        if variation >= average {
            let detail = format!("must be less than size ({}), or a piece may be empty", show_size(average));
            return Err(Problem::at("variation", detail));
        }
        Ok(Self {
            size: average,
            variation,
            gap: object.optional("gap", gap)?.unwrap_or(Duration::from_millis(10)),
        })
    }

    fn to_value(&self) -> Value {
        written([
            ("size", Some(json!(show_size(self.size)))),
            ("variation", Some(json!(show_size(self.variation)))),
            ("gap", Some(json!(show_duration(self.gap)))),
        ])
    }

    fn stage(&self, chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        let gap = self.gap;
        Some(Stage::Slice {
            pieces: chance.pieces(self.size, self.variation),
            gap,
        })
    }

    /// There is no request.
    fn inject(&self, _draw: &mut Draw<'_, ()>, _into: &mut Injection) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_could_be_empty_are_refused_with_their_place() {
        for (value, pointer) in [
            (json!({ "size": "0B" }), "/size"),
            (json!({ "size": "10B", "variation": "10B" }), "/variation"),
            (json!({ "gap": "2h" }), "/gap"),
        ] {
            assert_eq!(Slicer::read(&value).unwrap_err().pointer, pointer);
        }
        assert!(Slicer::read(&json!({ "gap": "0s" })).is_ok());
    }
}
