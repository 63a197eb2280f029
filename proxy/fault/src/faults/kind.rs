//! What every kind of fault must say and do.

use std::{fmt, time::Instant};

use serde_json::Value;

use super::{common::CommonFields, param::Param};
use crate::{
    injection::Injection,
    phase::Phase,
    read::{Object, Problem},
    roll::Roll,
    stream::{Chance, Layer, Stage},
    subject::Subject,
};

/// What a kind may look at to decide what it does to one request.
#[derive(Debug)]
pub struct Draw<'a, S> {
    /// Random numbers: the same for the same seed, fault and match.
    pub roll: &'a mut Roll,
    /// The request, or the connection, that is decided on.
    pub subject: &'a Subject<'a>,
    /// The time of the decision.
    pub now: Instant,
    /// The factor by which a ramp scales its magnitude now, from 0 to 1.
    pub scale: f64,
    /// What the kind keeps between requests, from arming to removal.
    pub state: &'a S,
}

/// What a route's listening sockets do to those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtListener {
    /// The sockets are closed: the kernel answers a SYN with a reset.
    Refuse,
    /// They drop what comes, so that nobody answers.
    Ignore,
}

/// One kind of fault: its parameters, and what they put into an [`Injection`].
pub trait FaultKind: Clone + PartialEq + fmt::Debug + Send + Sync + Sized + 'static {
    /// The key under which it is written.
    const NAME: &'static str;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// Where it acts, unless its parameters say otherwise.
    const PHASE: Phase;
    /// Its parameters, in the order of the reference.
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

    /// What becomes of new connections, if it is the listener that does it.
    fn at_listener(&self) -> Option<AtListener> {
        None
    }

    /// Where it acts with these parameters.
    fn phase(&self) -> Phase {
        Self::PHASE
    }

    /// Whether it may end the exchange: of those, only the first acts.
    fn ends(&self) -> bool {
        false
    }

    /// Whether it holds requests: their number is limited, and they are released when the fault is removed.
    fn holds(&self) -> bool {
        false
    }

    /// The bytes a second it lets through, if that is what it does.
    fn rate(&self) -> Option<u64> {
        None
    }

    /// When alone it acts on a request that everything else lets through to it, as words behind "only"; `None` for always.
    fn condition(&self) -> Option<&'static str> {
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
    fn check(&self, _spec: &CommonFields<'_>) -> Result<(), Problem> {
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

/// Takes `value` as the parameters of `K`: an object with none but its keys.
pub(super) fn params<K: FaultKind>(value: &Value) -> Result<Object<'_>, Problem> {
    let object = Object::new(value)?;
    let known: Vec<&str> = K::PARAMS.iter().map(|param| param.name).collect();
    object.only(&known)?;
    Ok(object)
}
