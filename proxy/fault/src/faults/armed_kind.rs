//! A kind of fault with the state it keeps between requests.

use std::{fmt, time::Instant};

use super::kind::{Draw, FaultKind};
use crate::{
    injection::Injection,
    roll::Roll,
    stream::{Chance, Stage},
    subject::Subject,
};

/// One decision, as the plan hands it to an armed kind.
pub(crate) struct Decision<'a> {
    pub(crate) roll: &'a mut Roll,
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) now: Instant,
    pub(crate) scale: f64,
}

/// A kind with the state it keeps, armed.
pub(crate) trait Inject: fmt::Debug + Send + Sync {
    fn takes(&self, decision: &mut Decision<'_>, into: &mut Injection) -> bool;
    fn inject(&self, decision: &mut Decision<'_>, into: &mut Injection);
    fn stage(&self, chance: Chance<'_>) -> Option<Stage>;
}

pub(super) struct ArmedKind<K: FaultKind> {
    pub(super) kind: K,
    pub(super) state: K::State,
}

impl<K: FaultKind> fmt::Debug for ArmedKind<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<K: FaultKind> ArmedKind<K> {
    fn draw<'a>(&'a self, decision: &'a mut Decision<'_>) -> Draw<'a, K::State> {
        Draw {
            roll: decision.roll,
            subject: decision.subject,
            now: decision.now,
            scale: decision.scale,
            state: &self.state,
        }
    }
}

impl<K: FaultKind> Inject for ArmedKind<K> {
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
