//! `latency`: each request waits.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Injection, Since},
    read::{Problem, one_of},
    stream::{Chance, Layer, Stage},
    wait::Wait,
};

/// Holds each request for a while before it is forwarded, or its answer before it is passed on.
///
/// The wait is drawn once per request, not per chunk of its body. In mode `add` it adds to what the upstream
/// takes itself; in mode `floor` the whole exchange takes at least so long, counted from the request's arrival to
/// the first byte of the answer. A removed fault lets held requests continue at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    wait: Wait,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Connect,
    Request,
    Response,
    Floor,
}

impl FaultKind for Latency {
    const NAME: &'static str = "latency";
    const SUMMARY: &'static str = "holds each request for a while before it is forwarded, or its answer";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("value", "duration, up to 1h", "", "the same wait for every request; the shorthand \"250ms\" means this"),
        Param::new("min", "duration, up to 1h", "", "with max: every wait from min to max is equally likely"),
        Param::new("max", "duration, up to 1h", "", "with min"),
        Param::new("p50", "duration, up to 1h", "", "with p99: log-normal waits, half of them shorter than this"),
        Param::new("p99", "duration, up to 1h", "", "with p50: one wait of a hundred is longer than this"),
        Param::new("median", "duration, up to 1h", "", "with sigma: log-normal waits, half of them shorter than this"),
        Param::new("sigma", "number above 0, up to 10", "", "with median: the standard deviation of the logarithm"),
        Param::new("mean", "duration, up to 1h", "", "with sd: normal waits, none below 0; alone: exponential waits"),
        Param::new("sd", "duration, up to 1h", "", "with mean: the standard deviation"),
        Param::new("scale", "duration, up to 1h", "", "with shape: Pareto waits, none shorter than this"),
        Param::new("shape", "number above 0, up to 100", "", "with scale: the smaller, the heavier the tail"),
        Param::new("samples", "list of up to 10000 durations", "", "one of these, each equally likely; the shell reads them from a file: file=PATH"),
        Param::new("times", "number above 0, up to 1000", "1", "what samples are multiplied with"),
        Param::new("cap", "duration, up to 1h", "30s", "no log-normal, normal, exponential or Pareto wait is longer: drawn again ten times, then cut"),
        Param::new("mode", "\"add\" or \"floor\"", "add", "add the wait to what the upstream takes, or let everything take at least so long"),
        Param::new("side", "\"request\", \"response\" or \"connect\"", "request", "hold the request before it is forwarded, the answer before its first byte, or the connection before anything is read; with mode add"),
    ];
    const EXAMPLE: &'static str = r#"{"p50":"120ms","p99":"900ms"}"#;

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];
    const STREAM: &'static str = "every chunk waits, counted from its arrival, with a wait of its own; none overtakes another, and the end of the \
        stream comes right behind the last byte. With `side` \"connect\" each connection waits once before anything of it is read and its upstream \
        is called; the handshake of the kernel is over by then";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        if !value.is_object() {
            return Ok(Self {
                wait: Wait::fixed(value)?,
                place: Place::Request,
            });
        }
        let object = params::<Self>(value)?;
        let wait = Wait::from_object(&object)?;
        let mode = object.optional("mode", one_of("mode", &["add", "floor"]))?;
        let side = object.optional("side", one_of("side", &["request", "response", "connect"]))?;
        let place = match (mode, side) {
            (Some("floor"), Some("request" | "connect")) => {
                let detail = "a floor is kept on the response side, as it counts the whole exchange";
                return Err(Problem::at("side", detail));
            }
            (Some("floor"), _) => Place::Floor,
            (_, Some("connect")) => Place::Connect,
            (_, Some("response")) => Place::Response,
            (_, _) => Place::Request,
        };
        Ok(Self { wait, place })
    }

    fn to_value(&self) -> Value {
        let (mode, side) = match self.place {
            Place::Connect => ("add", "connect"),
            Place::Request => ("add", "request"),
            Place::Response => ("add", "response"),
            Place::Floor => ("floor", "response"),
        };
        let place = [("mode", Some(json!(mode))), ("side", Some(json!(side)))];
        written(self.wait.members().chain(place))
    }

    fn layers(&self) -> &'static [Layer] {
        match self.place {
            Place::Connect => &[Layer::Stream],
            Place::Request | Place::Response | Place::Floor => Self::LAYERS,
        }
    }

    fn phase(&self) -> Phase {
        match self.place {
            Place::Connect => Phase::Connect,
            Place::Request => Phase::Request,
            Place::Response | Place::Floor => Phase::ResponseHead,
        }
    }

    fn holds(&self) -> bool {
        true
    }

    fn scales(&self) -> bool {
        true
    }

    fn check_stream(&self) -> Result<(), Problem> {
        match self.place {
            Place::Connect | Place::Request => Ok(()),
            Place::Response => Err(Problem::at("side", "goes with requests; a connection has a `direction`")),
            Place::Floor => Err(Problem::at("mode", "a floor is kept of exchanges, and a connection has none")),
        }
    }

    fn stage(&self, chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        Some(Stage::Delay(chance.waits(&self.wait)))
    }

    fn inject(&self, draw: &mut Draw<'_, ()>, into: &mut Injection) {
        let wait: Duration = self.wait.draw(draw.roll).mul_f64(draw.scale);
        match self.place {
            // Before there is a request.
            Place::Connect => {}
            Place::Request => into.delay(wait),
            Place::Response => into.delay_answer(wait, Since::Now),
            Place::Floor => into.delay_answer(wait, Since::Arrival),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorthand_is_a_fixed_wait_before_the_upstream() {
        let latency = Latency::read(&json!("250ms")).unwrap();

        let written = latency.to_value();
        assert_eq!(written, json!({ "value": "250ms", "mode": "add", "side": "request" }));
        assert_eq!(latency.phase(), Phase::Request);
    }

    #[test]
    fn a_floor_and_the_response_side_act_once_the_upstream_has_answered() {
        for spec in [
            json!({ "value": "1s", "mode": "floor" }),
            json!({ "mean": "1s", "side": "response" }),
        ] {
            let latency = Latency::read(&spec).unwrap();
            assert_eq!(latency.phase(), Phase::ResponseHead);
            assert_eq!(Latency::read(&latency.to_value()), Ok(latency));
        }
        let both = json!({ "value": "1s", "mode": "floor", "side": "request" });
        assert_eq!(Latency::read(&both).unwrap_err().pointer, "/side");
    }

    #[test]
    fn a_wrong_word_is_refused_with_the_nearest_right_one() {
        let problem = Latency::read(&json!({ "value": "1s", "mode": "flor" })).unwrap_err();

        assert_eq!(problem.to_string(), "/mode: unknown mode `flor`; did you mean `floor`?");
    }
}
