//! The kinds of faults: one file each, and one line in the registry below.

mod accepts;
mod armed_kind;
mod common;
mod deadline;
mod error_code;
mod kind;
mod message;
mod param;
mod retry_after;
mod schema;

pub use self::{
    accepts::Accepts,
    common::CommonFields,
    kind::{AtListener, Draw, FaultKind, KindInfo},
    param::Param,
};
pub(crate) use self::{
    armed_kind::{Decision, Inject},
    schema::object,
};

use std::sync::Arc;

use serde_json::Value;

use self::{armed_kind::ArmedKind, kind::params};
use crate::{phase::Phase, read::Problem, stream::Layer, written::written};

macro_rules! registry {
    ($($module:ident :: $Kind:ident),+ $(,)?) => {
        $(mod $module;)+

        /// The kinds.
        pub mod kinds {
            $(pub use crate::faults::$module::$Kind;)+
        }

        use kinds::{$($Kind),+};

        /// A fault's kind with its parameters.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Fault {
            $(
                #[doc = concat!("See [`", stringify!($Kind), "`](kinds::", stringify!($Kind), ").")]
                $Kind($Kind),
            )+
        }

        impl Fault {
            /// The names of all kinds, in the order of the reference.
            pub const NAMES: &'static [&'static str] = &[$(<$Kind as FaultKind>::NAME),+];

            /// All kinds, in the order of the reference.
            #[must_use]
            pub fn kinds() -> Vec<KindInfo> {
                vec![$(KindInfo {
                    name: <$Kind as FaultKind>::NAME,
                    summary: <$Kind as FaultKind>::SUMMARY,
                    phase: <$Kind as FaultKind>::PHASE,
                    params: <$Kind as FaultKind>::PARAMS,
                    shorthand: <$Kind as FaultKind>::SHORTHAND,
                    example: <$Kind as FaultKind>::EXAMPLE,
                    layers: <$Kind as FaultKind>::LAYERS,
                    stream: <$Kind as FaultKind>::STREAM,
                }),+]
            }

            /// The kind's name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Kind(_) => <$Kind as FaultKind>::NAME),+ }
            }

            /// Where it acts.
            #[must_use]
            pub fn phase(&self) -> Phase {
                match self { $(Self::$Kind(kind) => kind.phase()),+ }
            }

            /// On what it can act.
            #[must_use]
            pub fn layers(&self) -> &'static [Layer] {
                match self { $(Self::$Kind(kind) => kind.layers()),+ }
            }

            pub(crate) fn check_stream(&self) -> Result<(), Problem> {
                match self { $(Self::$Kind(kind) => kind.check_stream()),+ }
            }

            /// What becomes of new connections, if it is the listener that does it.
            #[must_use]
            pub fn at_listener(&self) -> Option<AtListener> {
                match self { $(Self::$Kind(kind) => kind.at_listener()),+ }
            }

            pub(crate) fn ends(&self) -> bool {
                match self { $(Self::$Kind(kind) => kind.ends()),+ }
            }

            pub(crate) fn holds(&self) -> bool {
                match self { $(Self::$Kind(kind) => kind.holds()),+ }
            }

            pub(crate) fn condition(&self) -> Option<&'static str> {
                match self { $(Self::$Kind(kind) => kind.condition()),+ }
            }

            pub(crate) fn rate(&self) -> Option<u64> {
                match self { $(Self::$Kind(kind) => kind.rate()),+ }
            }

            pub(crate) fn scales(&self) -> bool {
                match self { $(Self::$Kind(kind) => kind.scales()),+ }
            }

            pub(crate) fn check(&self, spec: &CommonFields<'_>) -> Result<(), Problem> {
                match self { $(Self::$Kind(kind) => kind.check(spec)),+ }
            }

            /// Reads the value of the key `name`; `None` when no kind has that name.
            pub(crate) fn read(name: &str, value: &Value) -> Option<Result<Self, Problem>> {
                match name {
                    $(<$Kind as FaultKind>::NAME => {
                        Some(<$Kind as FaultKind>::read(value).map(Self::$Kind))
                    })+
                    _ => None,
                }
            }

            /// The parameters with every default written out.
            #[must_use]
            pub fn to_value(&self) -> Value {
                match self { $(Self::$Kind(kind) => kind.to_value()),+ }
            }

            pub(crate) fn arm(&self) -> Arc<dyn Inject> {
                match self {
                    $(Self::$Kind(kind) => Arc::new(ArmedKind {
                        kind: kind.clone(),
                        state: <<$Kind as FaultKind>::State>::default(),
                    })),+
                }
            }
        }
    };
}

registry! {
    latency::Latency,
    abort::Abort,
    reset::Reset,
    close::Close,
    blackhole::Blackhole,
    refuse::Refuse,
    truncate::Truncate,
    stall::Stall,
    dribble::Dribble,
    bandwidth::Bandwidth,
    corrupt::Corrupt,
    malformed::Malformed,
    rate_limit::RateLimit,
    saturate::Saturate,
    duplicate::Duplicate,
    mutate::Mutate,
    redirect::Redirect,
    replay_stale::ReplayStale,
    limit_data::LimitData,
    slow_close::SlowClose,
    slicer::Slicer,
    goaway::GoAway,
    refused_stream::RefusedStream,
    flow_control_stall::FlowControlStall,
    settings::Settings,
    ping_timeout::PingTimeout,
}

/// Kinds that are known and cannot be done yet, with the reason: they are refused, never taken for another.
pub(crate) const NOT_YET: &[(&str, &str)] = &[
    (
        "grpc_abort",
        "is still to come; `abort` ends a gRPC call with a status of gRPC",
    ),
    (
        "tls",
        "is still to come; faults of the layer stream act on the bytes of TLS",
    ),
    ("dns", "needs a resolver of our own, which is still to come"),
];

/// Names that people try, with the kind that they mean: other tools' words, and what it looks like.
const SYNONYMS: &[(&str, &str)] = &[
    ("delay", "`latency`"),
    ("lag", "`latency`"),
    ("slow", "`latency`"),
    ("jitter", "`latency` with min and max"),
    ("timeout", "`blackhole`, which never answers"),
    ("hang", "`blackhole`"),
    ("drop", "`blackhole`, or `reset`"),
    (
        "down",
        "`refuse` for new connections, or `reset` for requests",
    ),
    ("outage", "`reset`, or `refuse` for new connections"),
    ("disconnect", "`reset`, or `close` for a FIN"),
    ("reset_peer", "`reset`"),
    ("error", "`abort`"),
    ("http_error", "`abort`"),
    ("status", "`abort`"),
    ("fail", "`abort`"),
    ("throttle", "`bandwidth`"),
    ("slow_network", "`bandwidth`"),
    (
        "rate",
        "`bandwidth` for bytes, or `rate_limit` for requests",
    ),
    (
        "limit",
        "`rate_limit` for requests, or `limit_data` for bytes",
    ),
    ("overload", "`saturate`"),
];

/// "unknown WHAT `word`", with the kind that it means elsewhere, or as [`read::unknown`](crate::read::unknown) says it of
/// `known`.
#[must_use]
pub fn unknown_kind(what: &str, word: &str, known: &[&str]) -> String {
    match kind_meant(word) {
        Some(meant) => format!("unknown {what} `{word}`; here it is {meant}"),
        None => crate::read::unknown(what, word, known),
    }
}

/// The kind that a word means elsewhere, in words.
pub(crate) fn kind_meant(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let meant = SYNONYMS.iter().find(|(theirs, _)| *theirs == word);
    meant.map(|(_, meant)| *meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_tools_name_a_kind() {
        for (word, _) in SYNONYMS {
            assert!(!Fault::NAMES.contains(word), "{word}");
        }
        assert_eq!(
            unknown_kind("kind of fault", "Delay", Fault::NAMES),
            "unknown kind of fault `Delay`; here it is `latency`"
        );
        assert_eq!(
            unknown_kind("key", "abrot", &["abort"]),
            "unknown key `abrot`; did you mean `abort`?"
        );
    }

    #[test]
    fn every_example_reads_and_writes_back_as_itself() {
        for kind in Fault::kinds() {
            let example: Value = serde_json::from_str(kind.example).unwrap();

            let fault = Fault::read(kind.name, &example).unwrap().unwrap();
            let again = Fault::read(kind.name, &fault.to_value()).unwrap().unwrap();

            assert_eq!(fault, again, "{}", kind.name);
        }
    }

    #[test]
    fn every_kind_refuses_a_key_it_does_not_know_and_says_where() {
        for kind in Fault::kinds() {
            let value = serde_json::json!({ "no_such_key": 1 });

            let problem = Fault::read(kind.name, &value).unwrap().unwrap_err();

            assert_eq!(problem.pointer, "/no_such_key", "{}", kind.name);
        }
    }
}
