//! `slow_close`: the end of a stream comes late.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::Injection,
    read::Problem,
    stream::{Chance, Layer, Stage},
    units::{duration_up_to, show_duration},
};

/// Holds the end of a stream back, and nothing else. A removed fault lets it go at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowClose(Duration);

const DELAY_MAX: Duration = Duration::from_secs(60 * 60);

impl FaultKind for SlowClose {
    const NAME: &'static str = "slow_close";
    const SUMMARY: &'static str = "passes the end of a stream (TCP FIN) on late";
    const PHASE: Phase = Phase::Stream;
    const PARAMS: &'static [Param] = &[
        Param::new("delay", Accepts::Duration("1h"), "1s", "how late; the shorthand \"1s\" means this"),
    ];
    const SHORTHAND: &'static str = "delay";
    const EXAMPLE: &'static str = r#"{"delay":"500ms"}"#;
    const LAYERS: &'static [Layer] = &[Layer::Stream];
    const STREAM: &'static str = "bytes pass at once, and the end of its `direction` so much later";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let delay = duration_up_to(DELAY_MAX);
        if value.is_string() {
            return delay(value).map(Self);
        }
        let given = params::<Self>(value)?.optional("delay", delay)?;
        Ok(Self(given.unwrap_or(Duration::from_secs(1))))
    }

    fn to_value(&self) -> Value {
        written([("delay", Some(json!(show_duration(self.0))))])
    }

    fn scales(&self) -> bool {
        true
    }

    fn stage(&self, chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        let delay = self.0.mul_f64(chance.scale);
        Some(Stage::SlowEnd { delay })
    }

    /// There is no request.
    fn inject(&self, _draw: &mut Draw<'_, ()>, _into: &mut Injection) {}
}
