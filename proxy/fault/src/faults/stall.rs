//! `stall`: the answer's body stops for a while.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Break, Injection, Shape, Stall as Stop, ResetScope},
    read::{Problem, one_of},
    stream::{Chance, Layer, Stage},
    units::{duration_up_to, show_duration, show_size, byte_count},
};

/// Stops the answer's body after so many bytes, for a while, and then goes on or ends the connection.
///
/// It shows whether a client has a time-out between two reads, not only one for the whole. A removed fault lets
/// the body go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Stall(Stop);

const UNTIL_REMOVED: &str = "until_removed";
/// The longest stall that can be asked for, besides until the fault is removed.
const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl FaultKind for Stall {
    const NAME: &'static str = "stall";
    const SUMMARY: &'static str = "stops the answer's body for a while, in the middle";
    const PHASE: Phase = Phase::ResponseBody;
    const PARAMS: &'static [Param] = &[
        Param::new("after_bytes", Accepts::Size, "0B", "bytes of the body that arrive before"),
        Param::new("for", Accepts::Any(&[Accepts::Duration("24h"), Accepts::Words(&["until_removed"])]), "30s", "how long it stops"),
        Param::new("then", Accepts::Words(&["continue", "fin", "rst"]), "continue", "go on, close or reset"),
    ];
    const EXAMPLE: &'static str = r#"{"after_bytes":"4B","for":"1s"}"#;

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];
    const STREAM: &'static str = "everything in its `direction` stops once `after_bytes` have passed, for `for`; a removed fault lets it go on";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let hold = object.optional("for", |value| {
            if value == UNTIL_REMOVED {
                return Ok(None);
            }
            duration_up_to(HOLD_MAX)(value).map(Some)
        })?;
        let then = object.optional("then", one_of("ending", &["continue", "fin", "rst"]))?;
        Ok(Self(Stop {
            after_bytes: object.optional("after_bytes", byte_count)?.unwrap_or(0),
            hold: hold.unwrap_or(Some(Duration::from_secs(30))),
            then: match then {
                Some("fin") => Some(Break::Fin),
                Some("rst") => Some(Break::Reset(ResetScope::AUTO)),
                _ => None,
            },
        }))
    }

    fn to_value(&self) -> Value {
        let hold = self.0.hold.map_or(UNTIL_REMOVED.to_owned(), show_duration);
        let then = self.0.then.map_or("continue", Break::name);
        written([
            ("after_bytes", Some(json!(show_size(self.0.after_bytes)))),
            ("for", Some(json!(hold))),
            ("then", Some(json!(then))),
        ])
    }

    fn ends(&self) -> bool {
        self.0.then.is_some()
    }

    fn holds(&self) -> bool {
        true
    }

    fn stage(&self, _chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        Some(Stage::Stall {
            after: self.0.after_bytes,
            hold: self.0.hold,
            then: self.0.then,
        })
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.shape(Shape::Stall(self.0));
    }
}
