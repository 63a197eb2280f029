//! `dribble`: the answer's body comes in pieces with gaps.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Dribble as Pieces, Injection, Shape},
    read::{Problem, boolean, whole},
    units::{duration_up_to, show_duration, show_size, byte_count},
};

/// Sends the answer's body in small pieces with gaps between, each on its own. The first goes at once.
///
/// Each read of the client succeeds, so only a time-out for the whole ends it. A removed fault lets the rest go
/// at full speed.
#[derive(Debug, Clone, PartialEq)]
pub struct Dribble {
    pieces: Pieces,
    includes_head: bool,
}

const SPAN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl FaultKind for Dribble {
    const NAME: &'static str = "dribble";
    const SUMMARY: &'static str = "sends the answer's body in small pieces with gaps between";
    const PHASE: Phase = Phase::ResponseBody;
    const PARAMS: &'static [Param] = &[
        Param::new("chunks", Accepts::Whole(2, 1_000_000), "5", "pieces of even size; of 1 KiB where the length is unknown"),
        Param::new("duration", Accepts::Duration("24h"), "5s", "from the first piece to the last"),
        Param::new("chunk_size", Accepts::Size, "", "the size of a piece, instead of chunks"),
        Param::new("gap", Accepts::Duration("24h"), "", "between two pieces, with chunk_size"),
        Param::new("include_head", Accepts::Truth, "false", "send the head in pieces too, of the same size: pieces of even size are then counted over head and body, one more at most"),
    ];
    const EXAMPLE: &'static str = r#"{"chunks":5,"duration":"2s"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let span = duration_up_to(SPAN_MAX);
        let includes_head = object.optional("include_head", boolean)?.unwrap_or(false);
        if object.has("chunk_size") || object.has("gap") {
            for other in ["chunks", "duration"] {
                if object.has(other) {
                    let detail = "does not go with `chunk_size` and `gap`";
                    return Err(Problem::at(other, detail));
                }
            }
            let pieces = Pieces::Sized {
                piece_bytes: object.required("chunk_size", |value| match byte_count(value)? {
                    0 => Err(Problem::here("must be above 0B")),
                    size => Ok(size),
                })?,
                gap: object.required("gap", span)?,
            };
            return Ok(Self { pieces, includes_head });
        }
        let pieces = Pieces::Over {
            pieces: object
                .optional("chunks", whole(2, 1_000_000))?
                .unwrap_or(5),
            span: object
                .optional("duration", span)?
                .unwrap_or(Duration::from_secs(5)),
        };
        Ok(Self { pieces, includes_head })
    }

    fn to_value(&self) -> Value {
        let head = ("include_head", Some(json!(self.includes_head)));
        match self.pieces {
            Pieces::Over { pieces, span } => written([
                ("chunks", Some(json!(pieces))),
                ("duration", Some(json!(show_duration(span)))),
                head,
            ]),
            Pieces::Sized { piece_bytes, gap } => written([
                ("chunk_size", Some(json!(show_size(piece_bytes)))),
                ("gap", Some(json!(show_duration(gap)))),
                head,
            ]),
        }
    }

    fn holds(&self) -> bool {
        true
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.shape(Shape::Dribble {
            pieces: self.pieces,
            includes_head: self.includes_head,
        });
    }
}
