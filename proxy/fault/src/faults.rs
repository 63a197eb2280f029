//! The kinds of faults: one file each, and one line in the registry below.

use std::{fmt, sync::Arc, time::Instant};

use serde_json::{Map, Value};

pub use self::accepts::Accepts;
pub(crate) use self::accepts::object;

use crate::{
    injection::Injection,
    ledger::Ledger,
    matcher::Subject,
    read::{Object, Problem},
    roll::Roll,
    spec::FaultSpec,
    stream::{Chance, Layer, Stage},
};

/// Where in an exchange a fault acts. Faults act in this order; inside a phase by priority, then by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before a request comes: the connection itself.
    Connect,
    /// Before the request is forwarded.
    Request,
    /// Once the upstream has answered, before a byte of it is passed on.
    ResponseHead,
    /// While the answer's body streams.
    ResponseBody,
    /// While bytes pass, whatever they mean.
    Stream,
}

impl Phase {
    /// The word used in answers, traces and the marker header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Request => "request",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Stream => "stream",
        }
    }
}

/// One parameter of a kind, for reading and for reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    /// The key.
    pub name: &'static str,
    /// What may stand there, with its unit.
    pub accepts: Accepts,
    /// What is taken when it is left out.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

impl Param {
    pub(crate) const fn new(
        name: &'static str,
        accepts: Accepts,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            accepts,
            default,
            help,
        }
    }
}

/// What a kind may use to decide what it does to one request.
#[derive(Debug)]
pub struct Draw<'a, S> {
    /// Chance, the same for the same seed, fault and match.
    pub roll: &'a mut Roll,
    /// The request.
    pub subject: &'a Subject<'a>,
    /// The time of the decision.
    pub now: Instant,
    /// How much of its magnitude a ramp lets through, from 0 to 1.
    pub scale: f64,
    /// What the kind keeps between requests.
    pub state: &'a S,
    ledger: &'a Ledger,
}

impl<S> Draw<'_, S> {
    /// Notes that a client came back before the time it was told.
    pub fn note_early_return(&self) {
        self.ledger.note_early_return();
    }
}

/// One kind of fault: its parameters, and what they put into an [`Injection`].
pub trait FaultKind: Clone + PartialEq + fmt::Debug + Send + Sync + Sized + 'static {
    /// The key under which it is written.
    const NAME: &'static str;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// Where it acts, unless its parameters say otherwise.
    const PHASE: Phase;
    /// Its parameters.
    const PARAMS: &'static [Param];
    /// The parameter that a bare value stands for; empty when there is none.
    const SHORTHAND: &'static str = "";
    /// A value for its key, as JSON, to show and to try.
    const EXAMPLE: &'static str;
    /// On what it can act.
    const LAYERS: &'static [Layer] = &[Layer::Request];
    /// What it does to the bytes of a connection, as a sentence; empty when it does nothing to them.
    const STREAM: &'static str = "";

    /// What it keeps between requests, from arming to removal.
    type State: Default + Send + Sync;

    /// Reads the value of its key.
    ///
    /// # Errors
    /// The first thing wrong with it, with its place.
    fn read(value: &Value) -> Result<Self, Problem>;

    /// The parameters with every default written out.
    fn to_value(&self) -> Value;

    /// On what it can act with these parameters.
    fn layers(&self) -> &'static [Layer] {
        Self::LAYERS
    }

    /// Whether it is the listener that does it: new connections are refused.
    fn refuses(&self) -> bool {
        false
    }

    /// Where it acts with these parameters.
    fn phase(&self) -> Phase {
        Self::PHASE
    }

    /// Whether it may end the exchange: of those, only the first acts.
    fn ends(&self) -> bool {
        false
    }

    /// Whether it holds requests: those are limited, and let go when the fault is removed.
    fn holds(&self) -> bool {
        false
    }

    /// The bytes a second it lets through, if that is what it does.
    fn rate(&self) -> Option<u64> {
        None
    }

    /// Whether a ramp may scale its magnitude.
    fn scales(&self) -> bool {
        false
    }

    /// Checks the fields beside its parameters.
    ///
    /// # Errors
    /// What does not go with it, with its place in the fault.
    fn check(&self, _spec: &FaultSpec) -> Result<(), Problem> {
        Ok(())
    }

    /// Whether it acts on a request that everything else lets through to it; if not, the request is skipped.
    /// May fill slots that leave the request as it is. For kinds that depend on what came before.
    fn takes(&self, _draw: &mut Draw<'_, Self::State>, _into: &mut Injection) -> bool {
        true
    }

    /// Checks that its parameters mean something for the bytes of a connection. Asked only of kinds that act there.
    ///
    /// # Errors
    /// The first parameter that goes with requests only, with its place.
    fn check_stream(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// What it does to the bytes of one direction of one connection; `None` when it leaves them alone.
    fn stage(&self, _chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        None
    }

    /// Says what is done to one request. Does no I/O and reads no clock; what is done before the request is
    /// forwarded it says without allocating.
    fn inject(&self, draw: &mut Draw<'_, Self::State>, into: &mut Injection);
}

/// What can be said of a kind without an instance.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The key under which it is written.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Where it acts, unless its parameters say otherwise.
    pub phase: Phase,
    /// Its parameters.
    pub params: &'static [Param],
    /// The parameter that a bare value stands for; empty when there is none.
    pub shorthand: &'static str,
    /// A value for its key, as JSON.
    pub example: &'static str,
    /// On what it can act.
    pub layers: &'static [Layer],
    /// What it does to the bytes of a connection; empty when it does nothing to them.
    pub stream: &'static str,
}

/// One decision, as the plan hands it to an armed kind.
pub(crate) struct Decision<'a> {
    pub(crate) roll: &'a mut Roll,
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) now: Instant,
    pub(crate) scale: f64,
    pub(crate) ledger: &'a Ledger,
}

/// A kind with the state it keeps, armed.
pub(crate) trait Inject: fmt::Debug + Send + Sync {
    fn takes(&self, decision: &mut Decision<'_>, into: &mut Injection) -> bool;
    fn inject(&self, decision: &mut Decision<'_>, into: &mut Injection);
    fn stage(&self, chance: Chance<'_>) -> Option<Stage>;
}

struct Armed<K: FaultKind> {
    kind: K,
    state: K::State,
}

impl<K: FaultKind> fmt::Debug for Armed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<K: FaultKind> Armed<K> {
    fn draw<'a>(&'a self, decision: &'a mut Decision<'_>) -> Draw<'a, K::State> {
        Draw {
            roll: decision.roll,
            subject: decision.subject,
            now: decision.now,
            scale: decision.scale,
            state: &self.state,
            ledger: decision.ledger,
        }
    }
}

impl<K: FaultKind> Inject for Armed<K> {
    fn takes(&self, decision: &mut Decision<'_>, into: &mut Injection) -> bool {
        self.kind.takes(&mut self.draw(decision), into)
    }

    fn inject(&self, decision: &mut Decision<'_>, into: &mut Injection) {
        self.kind.inject(&mut self.draw(decision), into);
    }

    fn stage(&self, chance: Chance<'_>) -> Option<Stage> {
        self.kind.stage(chance, &self.state)
    }
}

mod accepts;
mod deadline;
mod fields;
mod retry_after;

macro_rules! registry {
    ($($module:ident :: $Kind:ident),+ $(,)?) => {
        $(mod $module;)+

        /// The kinds.
        pub mod kinds {
            $(pub use super::$module::$Kind;)+
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

            pub(crate) fn refuses(&self) -> bool {
                match self { $(Self::$Kind(kind) => kind.refuses()),+ }
            }

            pub(crate) fn ends(&self) -> bool {
                match self { $(Self::$Kind(kind) => kind.ends()),+ }
            }

            pub(crate) fn holds(&self) -> bool {
                match self { $(Self::$Kind(kind) => kind.holds()),+ }
            }

            pub(crate) fn rate(&self) -> Option<u64> {
                match self { $(Self::$Kind(kind) => kind.rate()),+ }
            }

            pub(crate) fn scales(&self) -> bool {
                match self { $(Self::$Kind(kind) => kind.scales()),+ }
            }

            pub(crate) fn check(&self, spec: &FaultSpec) -> Result<(), Problem> {
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
                    $(Self::$Kind(kind) => Arc::new(Armed {
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
}

/// Kinds that are known and cannot be done yet, with the reason: they are refused, never taken for another.
pub(crate) const NOT_YET: &[(&str, &str)] = &[
    ("grpc_abort", "needs HTTP/2, which routes do not speak yet"),
    ("goaway", "needs HTTP/2, which routes do not speak yet"),
    ("tls", "needs TLS, which routes do not end yet"),
    ("dns", "needs a resolver of our own, which is still to come"),
];

/// Takes `value` as the parameters of `K`: an object with none but its keys.
fn params<K: FaultKind>(value: &Value) -> Result<Object<'_>, Problem> {
    let object = Object::new(value)?;
    let known: Vec<&str> = K::PARAMS.iter().map(|param| param.name).collect();
    object.only(&known)?;
    Ok(object)
}

/// An object of the members that are there.
pub(crate) fn written(members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let members = members.into_iter();
    let present = members.filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

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
