//! `blackhole`: the request is taken and never answered.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Accepts, AtListener, CommonFields, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{RequestEnding, Injection, Then},
    read::{Problem, one_of, text, unknown},
    stream::{Chance, DiscardFrom, Layer, Stage},
    units::{duration_up_to, show_duration},
};

/// Reads each request whole and never answers it; the upstream never sees it.
///
/// At `syn` nobody can connect, and nobody is told so: the listening sockets drop what comes. Connections that were open, or whose
/// handshake was over, stay. What is held ends with `then` when `hold` is over or the fault is removed, expires or is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blackhole {
    at: At,
    hold: Option<Duration>,
    idle: Option<Duration>,
    from: DiscardFrom,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Syn,
    Connect,
    Request,
}

impl At {
    const WORDS: &'static [&'static str] = &["request", "connect", "syn"];
}

const FROM: &[&str] = &["start", "first_data"];

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
            name: "at",
            accepts: Accepts::Words(At::WORDS),
            default: "request",
            help: "take requests, or connections: of those nothing is read and no upstream is called; or let nobody connect: the SYN is not answered",
        },
        Param {
            name: "hold",
            accepts: Accepts::Any(&[Accepts::Duration("24h"), Accepts::Words(&["until_removed"])]),
            default: UNTIL_REMOVED,
            help: "how long a request or a connection is held",
        },
        Param {
            name: "idle",
            accepts: Accepts::Duration("24h"),
            default: "",
            help: "on connections: it ends earlier, once nothing has come for so long",
        },
        Param {
            name: "from",
            accepts: Accepts::Words(FROM),
            default: "start",
            help: "on connections: when it begins and `hold` is counted from: when the fault meets the connection, or with the first bytes or the end of its `direction` after that",
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
    const STREAM: &'static str = "everything in its `direction` is swallowed, the end of the stream included; the connection ends with `then` when `hold` is over, once nothing has come \
        for `idle`, once both sides have said all, or when the fault is removed, as bytes were lost. With `at` \"connect\" nothing of a new connection is read and \
        its upstream is not called; a client that closes is let go; the handshake of the kernel completes all the same, so the client believes that it is connected. \
        With `at` \"syn\" not even the kernel answers those who connect to the route: they hang until their own time-out. Open connections stay; once the fault ends, \
        connecting works at once, and who was trying is let in by its kernel's next SYN (1, 3, 7 s behind the first). `matched` and `injected` count how often a route stopped \
        answering, and `unanswered_syns` of the route counts what was dropped. It goes with nothing that looks at requests or counts them";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let at = match object.optional("at", one_of("moment", At::WORDS))? {
            Some("syn") => At::Syn,
            Some("connect") => At::Connect,
            _ => At::Request,
        };
        let of_held = ["hold", "idle", "then"].into_iter().find(|key| object.has(key));
        if let (At::Syn, Some(key)) = (at, of_held) {
            return Err(Problem::at(key, "goes with at \"request\" or \"connect\": before that nothing is held"));
        }
        let idle = object.optional("idle", duration_up_to(HOLD_MAX))?;
        if at == At::Connect && idle.is_some() {
            return Err(Problem::at("idle", "goes with at \"request\": before that nothing is read"));
        }
        let from = match object.optional("from", one_of("moment", FROM))? {
            Some("first_data") => DiscardFrom::FirstData,
            _ => DiscardFrom::Start,
        };
        if at != At::Request && from != DiscardFrom::Start {
            return Err(Problem::at("from", "goes with at \"request\": before that nothing is read"));
        }
        Ok(Self {
            at,
            idle,
            from,
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
        let at = match self.at {
            At::Syn => return json!({ "at": "syn" }),
            At::Connect => "connect",
            At::Request => "request",
        };
        written([
            ("at", Some(json!(at))),
            ("hold", Some(json!(hold))),
            ("idle", self.idle.map(|idle| json!(show_duration(idle)))),
            ("from", (self.from == DiscardFrom::FirstData).then(|| json!("first_data"))),
            ("then", Some(json!(then))),
        ])
    }

    fn layers(&self) -> &'static [Layer] {
        match (self.at, self.idle, self.from) {
            (At::Syn, ..) | (At::Request, None, DiscardFrom::Start) => Self::LAYERS,
            (At::Connect, ..) | (_, Some(_), _) | (_, _, DiscardFrom::FirstData) => &[Layer::Stream],
        }
    }

    fn phase(&self) -> Phase {
        match self.at {
            At::Syn | At::Connect => Phase::Connect,
            At::Request => Phase::Request,
        }
    }

    fn ends(&self) -> bool {
        true
    }

    fn holds(&self) -> bool {
        self.at != At::Syn
    }

    fn at_listener(&self) -> Option<AtListener> {
        (self.at == At::Syn).then_some(AtListener::Ignore)
    }

    fn check(&self, common: &CommonFields<'_>) -> Result<(), Problem> {
        match self.at {
            At::Syn => common.check_listener("are not answered", "blackhole\" with at \"connect"),
            At::Connect | At::Request => Ok(()),
        }
    }

    fn stage(&self, _chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        Some(Stage::Discard {
            hold: self.hold,
            idle: self.idle,
            from: self.from,
            then: self.then,
        })
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.end(RequestEnding::Hang {
            hold: self.hold,
            then: self.then,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::FaultSpec;

    #[test]
    fn left_out_it_holds_until_removed_and_then_resets() {
        let blackhole = Blackhole::read(&json!({})).unwrap();

        assert_eq!(
            blackhole.to_value(),
            json!({ "at": "request", "hold": "until_removed", "then": "reset" })
        );
    }

    #[test]
    fn what_only_a_connection_has_acts_on_connections_alone() {
        for value in [json!({ "at": "connect" }), json!({ "idle": "1s" }), json!({ "from": "first_data" })] {
            let blackhole = Blackhole::read(&value).unwrap();
            assert_eq!(blackhole.layers(), [Layer::Stream]);
            assert_eq!(Blackhole::read(&blackhole.to_value()), Ok(blackhole));
        }
        let both = Blackhole::read(&json!({ "at": "connect", "idle": "1s" }));
        assert_eq!(both.unwrap_err().pointer, "/idle");
    }

    #[test]
    fn before_the_handshake_nothing_is_held_and_nothing_is_seen() {
        let syn = Blackhole::read(&json!({ "at": "syn" })).unwrap();
        assert_eq!(Blackhole::read(&syn.to_value()), Ok(syn));
        for key in ["hold", "idle", "then"] {
            let problem = Blackhole::read(&json!({ "at": "syn", key: "1s" })).unwrap_err();
            assert_eq!(problem.pointer, format!("/{key}"));
        }
        for (key, value) in [("percent", json!(50)), ("match", json!({ "path": "/" })), ("limit", json!(1))] {
            let mut spec = json!({ "route": "web", "blackhole": { "at": "syn" } });
            spec[key] = value;
            assert_eq!(FaultSpec::read(&spec).unwrap_err()[0].pointer, format!("/{key}"));
        }
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
