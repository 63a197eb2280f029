//! `blackhole`: the request is taken and never answered.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Ending, Injection, Then},
    read::{Problem, text, unknown},
    stream::{Chance, Layer, Stage},
    units::{duration_up_to, show_duration},
};

/// Reads each request whole and never answers it; the upstream never sees it.
///
/// What is held ends with `then` when `hold` is over or the fault is removed, expires or is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blackhole {
    hold: Option<Duration>,
    then: Then,
}

const UNTIL_REMOVED: &str = "until_removed";
/// The longest hold that can be asked for, besides until the fault is removed.
const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

fn hold(value: &Value) -> Result<Option<Duration>, Problem> {
    if value == UNTIL_REMOVED {
        return Ok(None);
    }
    match duration_up_to(HOLD_MAX)(value) {
        Ok(hold) => Ok(Some(hold)),
        Err(problem) => Err(Problem::here(format!(
            "{}, or \"{UNTIL_REMOVED}\"",
            problem.detail
        ))),
    }
}

fn then(value: &Value) -> Result<Then, Problem> {
    match text(value)? {
        "reset" => Ok(Then::Reset),
        "close" => Ok(Then::Close),
        other => Err(Problem::here(unknown("ending", other, &["reset", "close"]))),
    }
}

impl FaultKind for Blackhole {
    const NAME: &'static str = "blackhole";
    const SUMMARY: &'static str = "takes each request and never answers it";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param {
            name: "hold",
            accepts: Accepts::Any(&[Accepts::Duration("24h"), Accepts::Words(&["until_removed"])]),
            default: UNTIL_REMOVED,
            help: "how long a request is held",
        },
        Param {
            name: "then",
            accepts: Accepts::Words(&["reset", "close"]),
            default: "reset",
            help: "how the connection ends after that: a TCP reset, or an orderly close without a byte",
        },
    ];
    const EXAMPLE: &'static str = r#"{"hold":"30s","then":"close"}"#;

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];
    const STREAM: &'static str = "everything in its `direction` is swallowed, the end of the stream included; the connection ends with `then` when `hold` is over or the \
        fault is removed, as bytes were lost";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        Ok(Self {
            hold: object.optional("hold", hold)?.flatten(),
            then: object.optional("then", then)?.unwrap_or(Then::Reset),
        })
    }

    fn to_value(&self) -> Value {
        let hold = self.hold.map_or(UNTIL_REMOVED.to_owned(), show_duration);
        let then = match self.then {
            Then::Reset => "reset",
            Then::Close => "close",
        };
        written([("hold", Some(json!(hold))), ("then", Some(json!(then)))])
    }

    fn ends(&self) -> bool {
        true
    }

    fn holds(&self) -> bool {
        true
    }

    fn stage(&self, _chance: Chance) -> Option<Stage> {
        let (hold, then) = (self.hold, self.then);
        Some(Stage::Discard { hold, then })
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.end(Ending::Hang {
            hold: self.hold,
            then: self.then,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_out_it_holds_until_removed_and_then_resets() {
        let blackhole = Blackhole::read(&json!({})).unwrap();

        assert_eq!(
            blackhole.to_value(),
            json!({ "hold": "until_removed", "then": "reset" })
        );
    }

    #[test]
    fn a_wrong_ending_is_refused_with_the_nearest_right_one() {
        let problem = Blackhole::read(&json!({ "then": "rest" })).unwrap_err();

        assert_eq!(problem.pointer, "/then");
        assert_eq!(problem.detail, "unknown ending `rest`; did you mean `reset`?");
    }

    #[test]
    fn a_wrong_hold_is_refused() {
        for value in [json!("forever"), json!(5), json!("25h"), json!("0s")] {
            let problem = Blackhole::read(&json!({ "hold": value })).unwrap_err();
            assert_eq!(problem.pointer, "/hold");
        }
    }
}
