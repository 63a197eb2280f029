//! `latency`: each request waits.

use serde_json::{Value, json};

use super::{
    Accepts, Draw, FaultKind, Param, Phase,
    deadline::{Deadline, Margin},
    message::header_name,
    params, written,
};
use crate::{
    injection::{Injection, Since},
    read::{Object, Problem, one_of, text},
    stream::{Chance, Layer, Stage},
    wait::Wait,
};

/// Holds each request for a while before it is forwarded, or its answer before it is passed on.
///
/// The wait is drawn once per request, not per chunk of its body. In mode `add` it adds to what the upstream
/// takes itself; in mode `floor` the whole exchange takes at least so long, counted from the request's arrival to
/// the first byte of the answer; in mode `until_deadline` it is held until the caller's own deadline, counted from the
/// arrival, and a request without one is skipped. A removed fault lets held requests continue at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    length: Length,
    place: Place,
}

#[derive(Debug, Clone, PartialEq)]
enum Length {
    Drawn(Wait),
    Until(Deadline),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Connect,
    Request,
    Response,
    Floor,
}

impl Latency {
    fn until_deadline(object: &Object<'_>) -> Result<Self, Problem> {
        let own = ["mode", "margin", "deadline_header"];
        if let Some(other) = object.keys().find(|key| !own.contains(key)) {
            let detail = "does not go with mode \"until_deadline\": the caller says how long";
            return Err(Problem::at(other, detail));
        }
        let header = object.optional("deadline_header", |value| header_name(text(value)?))?;
        let margin = object.optional("margin", Margin::read)?;
        Ok(Self {
            length: Length::Until(Deadline {
                header,
                margin: margin.unwrap_or(Margin::NONE),
            }),
            place: Place::Request,
        })
    }
}

impl FaultKind for Latency {
    const NAME: &'static str = "latency";
    const SUMMARY: &'static str = "holds each request for a while before it is forwarded, or its answer";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("value", Accepts::Duration("1h"), "", "the same wait for every request; the shorthand \"250ms\" means this"),
        Param::new("min", Accepts::Duration("1h"), "", "with max: every wait from min to max is equally likely"),
        Param::new("max", Accepts::Duration("1h"), "", "with min"),
        Param::new("p50", Accepts::Duration("1h"), "", "with p99: log-normal waits, half of them shorter than this"),
        Param::new("p99", Accepts::Duration("1h"), "", "with p50: one wait of a hundred is longer than this"),
        Param::new("median", Accepts::Duration("1h"), "", "with sigma: log-normal waits, half of them shorter than this"),
        Param::new("sigma", Accepts::Above(0, 10), "", "with median: the standard deviation of the logarithm"),
        Param::new("mean", Accepts::Duration("1h"), "", "with sd: normal waits, none below 0; alone: exponential waits"),
        Param::new("sd", Accepts::Duration("1h"), "", "with mean: the standard deviation"),
        Param::new("scale", Accepts::Duration("1h"), "", "with shape: Pareto waits, none shorter than this"),
        Param::new("shape", Accepts::Above(0, 100), "", "with scale: the smaller, the heavier the tail"),
        Param::new("samples", Accepts::Durations(10_000), "", "one of these, each equally likely; the shell reads them from a file: file=PATH"),
        Param::new("times", Accepts::Above(0, 1000), "1", "what samples are multiplied with"),
        Param::new("cap", Accepts::Duration("1h"), "30s", "no log-normal, normal, exponential or Pareto wait is longer: drawn again ten times, then cut"),
        Param::new("mode", Accepts::Words(&["add", "floor", "until_deadline"]), "add", "add the wait to what the upstream takes, let everything take at least so long, or hold the request until the caller's own deadline: grpc-timeout or x-timeout-ms"),
        Param::new("margin", Accepts::Margin, "0s", "with until_deadline: how long behind the deadline, or before it"),
        Param::new("deadline_header", Accepts::Text, "grpc-timeout, else x-timeout-ms", "with until_deadline: the field that says it, in milliseconds or as a duration"),
        Param::new("side", Accepts::Words(&["request", "response", "connect"]), "request", "hold the request before it is forwarded, the answer before its first byte, or the connection before anything is read; with mode add"),
    ];
    const SHORTHAND: &'static str = "value";
    const EXAMPLE: &'static str = r#"{"p50":"120ms","p99":"900ms"}"#;

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];
    const STREAM: &'static str = "every chunk waits, counted from its arrival, with a wait of its own; none overtakes another, and the end of the \
        stream comes right behind the last byte. With `side` \"connect\" each connection waits once before anything of it is read and its upstream \
        is called; the handshake of the kernel is over by then";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        if !value.is_object() {
            return Ok(Self {
                length: Length::Drawn(Wait::fixed(value)?),
                place: Place::Request,
            });
        }
        let object = params::<Self>(value)?;
        let mode = object.optional("mode", one_of("mode", &["add", "floor", "until_deadline"]))?;
        if mode == Some("until_deadline") {
            return Self::until_deadline(&object);
        }
        for key in ["margin", "deadline_header"] {
            if object.has(key) {
                return Err(Problem::at(key, "goes with mode \"until_deadline\""));
            }
        }
        let wait = Wait::from_object(&object)?;
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
        Ok(Self {
            length: Length::Drawn(wait),
            place,
        })
    }

    fn to_value(&self) -> Value {
        let (mode, side) = match self.place {
            Place::Connect => ("add", "connect"),
            Place::Request => ("add", "request"),
            Place::Response => ("add", "response"),
            Place::Floor => ("floor", "response"),
        };
        let place = [("mode", Some(json!(mode))), ("side", Some(json!(side)))];
        match &self.length {
            Length::Drawn(wait) => written(wait.members().chain(place)),
            Length::Until(deadline) => written([
                ("mode", Some(json!("until_deadline"))),
                ("margin", Some(json!(deadline.margin.to_text()))),
                ("deadline_header", deadline.header.as_ref().map(|name| json!(name.as_str()))),
            ]),
        }
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
        if let Length::Until(_) = self.length {
            return Err(Problem::at("mode", "a deadline comes with a request, and a connection has none"));
        }
        match self.place {
            Place::Connect | Place::Request => Ok(()),
            Place::Response => Err(Problem::at("side", "goes with requests; a connection has a `direction`")),
            Place::Floor => Err(Problem::at("mode", "a floor is kept of exchanges, and a connection has none")),
        }
    }

    fn stage(&self, chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        match &self.length {
            Length::Drawn(wait) => Some(Stage::Delay(chance.waits(wait))),
            Length::Until(_) => None,
        }
    }

    fn condition(&self) -> Option<&'static str> {
        match &self.length {
            Length::Drawn(_) => None,
            Length::Until(_) => Some("if the request names a deadline"),
        }
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        match &self.length {
            Length::Drawn(_) => true,
            Length::Until(deadline) => deadline.hold(draw.subject.fields).is_some(),
        }
    }

    fn inject(&self, draw: &mut Draw<'_, ()>, into: &mut Injection) {
        let wait = match &self.length {
            Length::Drawn(wait) => wait.draw(draw.roll).mul_f64(draw.scale),
            Length::Until(deadline) => {
                let hold = deadline.hold(draw.subject.fields).unwrap_or_default();
                return into.delay(hold.mul_f64(draw.scale), Since::Arrival);
            }
        };
        match self.place {
            // Before there is a request.
            Place::Connect => {}
            Place::Request => into.delay(wait, Since::Now),
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
    fn a_deadline_is_the_callers_and_goes_with_no_length_of_ours() {
        let spec = json!({ "mode": "until_deadline", "margin": "-50ms", "deadline_header": "x-budget" });
        assert_eq!(Latency::read(&spec).unwrap().to_value(), spec);
        for (value, pointer) in [
            (json!({ "mode": "until_deadline", "value": "1s" }), "/value"),
            (json!({ "mode": "until_deadline", "side": "response" }), "/side"),
            (json!({ "mode": "until_deadline", "margin": "5" }), "/margin"),
            (json!({ "mode": "until_deadline", "deadline_header": "a b" }), "/deadline_header"),
            (json!({ "value": "1s", "margin": "1s" }), "/margin"),
        ] {
            assert_eq!(Latency::read(&value).unwrap_err().pointer, pointer, "{value}");
        }
    }

    #[test]
    fn a_wrong_word_is_refused_with_the_nearest_right_one() {
        let problem = Latency::read(&json!({ "value": "1s", "mode": "flor" })).unwrap_err();

        assert_eq!(problem.to_string(), "/mode: unknown mode `flor`; did you mean `floor`?");
    }
}
