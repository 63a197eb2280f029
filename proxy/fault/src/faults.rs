//! The kinds of faults: one file each, and one line in the registry below.

use std::{fmt, time::Instant};

use serde_json::{Map, Value};

use crate::{
    injection::Injection,
    matcher::Subject,
    read::{Object, Problem},
    roll::Roll,
};

/// Where in an exchange a kind acts. Faults act in this order; inside a phase by priority, then by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the request is forwarded.
    Request,
}

impl Phase {
    /// The word used in answers, traces and the marker header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
        }
    }
}

/// One parameter of a kind, for reading and for reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// The key.
    pub name: &'static str,
    /// What may stand there, with its unit.
    pub accepts: &'static str,
    /// What is taken when it is left out.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
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
    /// What the kind keeps between requests.
    pub state: &'a S,
}

/// One kind of fault: its parameters, and what they put into an [`Injection`].
pub trait FaultKind: Clone + PartialEq + fmt::Debug + Send + Sync + Sized + 'static {
    /// The key under which it is written.
    const NAME: &'static str;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// Where it acts.
    const PHASE: Phase;
    /// Whether it ends the exchange: of those, only the first acts.
    const ENDS: bool;
    /// Whether it holds requests: those are limited, and let go when the fault is removed.
    const HOLDS: bool;
    /// Its parameters.
    const PARAMS: &'static [Param];
    /// A value for its key, as JSON, to show and to try.
    const EXAMPLE: &'static str;

    /// What it keeps between requests, from arming to removal.
    type State: Default + Send + Sync;

    /// Reads the value of its key.
    ///
    /// # Errors
    /// The first thing wrong with it, with its place.
    fn read(value: &Value) -> Result<Self, Problem>;

    /// The parameters with every default written out.
    fn to_value(&self) -> Value;

    /// Says what is done to one request. Does no I/O, reads no clock and allocates nothing.
    fn inject(&self, draw: &mut Draw<'_, Self::State>, into: &mut Injection);
}

/// What can be said of a kind without an instance.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The key under which it is written.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Where it acts.
    pub phase: Phase,
    /// Its parameters.
    pub params: &'static [Param],
    /// A value for its key, as JSON.
    pub example: &'static str,
}

/// A kind with the state it keeps, armed.
pub(crate) trait Inject: fmt::Debug + Send + Sync {
    fn inject(&self, roll: &mut Roll, subject: &Subject<'_>, now: Instant, into: &mut Injection);
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

impl<K: FaultKind> Inject for Armed<K> {
    fn inject(&self, roll: &mut Roll, subject: &Subject<'_>, now: Instant, into: &mut Injection) {
        let mut draw = Draw {
            roll,
            subject,
            now,
            state: &self.state,
        };
        self.kind.inject(&mut draw, into);
    }
}

macro_rules! registry {
    ($($module:ident :: $Kind:ident),+ $(,)?) => {
        $(
            mod $module;
            pub use $module::$Kind;
        )+

        /// A fault's kind with its parameters.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Fault {
            $(
                #[doc = concat!("See [`", stringify!($Kind), "`].")]
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
                    example: <$Kind as FaultKind>::EXAMPLE,
                }),+]
            }

            /// The kind's name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Kind(_) => <$Kind as FaultKind>::NAME),+ }
            }

            /// Where the kind acts.
            #[must_use]
            pub fn phase(&self) -> Phase {
                match self { $(Self::$Kind(_) => <$Kind as FaultKind>::PHASE),+ }
            }

            pub(crate) fn ends(&self) -> bool {
                match self { $(Self::$Kind(_) => <$Kind as FaultKind>::ENDS),+ }
            }

            pub(crate) fn holds(&self) -> bool {
                match self { $(Self::$Kind(_) => <$Kind as FaultKind>::HOLDS),+ }
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

            pub(crate) fn arm(&self) -> Box<dyn Inject> {
                match self {
                    $(Self::$Kind(kind) => Box::new(Armed {
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
    blackhole::Blackhole,
}

/// Takes `value` as the parameters of `K`: an object with none but its keys.
fn params<K: FaultKind>(value: &Value) -> Result<Object<'_>, Problem> {
    let object = Object::new(value)?;
    let known: Vec<&str> = K::PARAMS.iter().map(|param| param.name).collect();
    object.only(&known)?;
    Ok(object)
}

/// An object of the members that are there.
fn written(members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
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
