//! One revision of a fault, armed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::group_position::GroupPosition;
use crate::{
    counters::{FaultCounters, OnRoute},
    faults::Inject,
    hold::Hold,
    identity::FaultIdentity,
    matcher::Choice,
    origin::Origin,
    phase::Phase,
    roll::Dice,
    schedule::{Burst, BurstState, Intensity, Lifetime, State},
    spec::FaultSpec,
};

/// One revision of a fault, armed.
#[derive(Debug)]
pub(crate) struct ArmedFault {
    identity: Arc<FaultIdentity>,
    spec: FaultSpec,
    kind: Arc<dyn Inject>,
    /// The fault's own, or that of its group.
    dice: Dice,
    lifetime: Lifetime,
    /// Whether it has full strength during all of its lifetime.
    is_steady: bool,
    /// The state of bursts by match. Its lock also keeps the count of matches in step with it.
    burst_state: Mutex<BurstState>,
}

/// What an [`ArmedFault`] is made of besides its spec.
#[derive(Debug)]
pub(crate) struct Arming {
    pub(crate) id: String,
    /// What the kind keeps, if the fault was armed before with the same parameters.
    pub(crate) kind: Option<Arc<dyn Inject>>,
    pub(crate) seed: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) counters: Arc<FaultCounters>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) revision: u64,
    pub(crate) origin: Option<Origin>,
}

impl ArmedFault {
    pub(crate) fn new(spec: FaultSpec, arming: Arming) -> Self {
        let Arming {
            id,
            kind,
            seed,
            lifetime,
            counters,
            hold,
            revision,
            origin,
        } = arming;
        let seed = spec.seed.unwrap_or(seed);
        let dice = match &spec.group {
            Some(group) => Dice::new(seed, &format!("group {group}")),
            None => Dice::new(seed, &id),
        };
        let (name, phase) = (spec.fault.name(), spec.fault.phase());
        let marker = format!("{id}; type={name}; phase={}", phase.name());
        Self {
            kind: kind.unwrap_or_else(|| spec.fault.arm()),
            dice,
            is_steady: spec.schedule.is_steady(),
            burst_state: Mutex::default(),
            identity: Arc::new(FaultIdentity {
                id,
                kind: name,
                phase,
                choice: Choice::of(&spec.matching, spec.percent),
                marker: (!spec.stealth).then_some(marker),
                revision,
                limit: spec.limit,
                origin,
                counters,
                hold,
            }),
            spec,
            lifetime,
        }
    }

    pub(crate) fn identity(&self) -> &Arc<FaultIdentity> {
        &self.identity
    }

    pub(crate) fn id(&self) -> &str {
        &self.identity.id
    }

    pub(crate) fn spec(&self) -> &FaultSpec {
        &self.spec
    }

    pub(crate) fn armed_kind(&self) -> &Arc<dyn Inject> {
        &self.kind
    }

    /// The name of its kind.
    pub(crate) fn kind(&self) -> &'static str {
        self.identity.kind
    }

    pub(crate) fn phase(&self) -> Phase {
        self.identity.phase
    }

    pub(crate) fn dice(&self) -> &Dice {
        &self.dice
    }

    pub(crate) fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    pub(crate) fn is_steady(&self) -> bool {
        self.is_steady
    }

    pub(crate) fn counters(&self) -> &Arc<FaultCounters> {
        &self.identity.counters
    }

    /// The counters of `route`, where the fault names several.
    pub(crate) fn on_route(&self, route: &str) -> Option<Arc<OnRoute>> {
        if self.spec.route.is_one() {
            return None;
        }
        self.counters().on_route(route)
    }

    pub(crate) fn hold(&self) -> &Arc<Hold> {
        &self.identity.hold
    }

    pub(crate) fn revision(&self) -> u64 {
        self.identity.revision
    }

    pub(crate) fn state(&self, now: Instant) -> State {
        if self.lifetime.is_over(now) {
            State::Expired
        } else if self.counters().is_spent(self.spec.limit) {
            State::Spent
        } else if self.lifetime.is_on(now) {
            State::Active
        } else {
            State::Waiting
        }
    }

    /// How strong the fault is; `None` while its schedule keeps it off.
    pub(crate) fn intensity(&self, now: Instant, position: &GroupPosition) -> Option<Intensity> {
        if !self.lifetime.is_on(now) {
            return None;
        }
        if self.is_steady {
            return Some(Intensity::FULL);
        }
        let at = now.saturating_duration_since(position.begin);
        let left = self.lifetime.left(now);
        self.spec
            .schedule
            .intensity(at, left, &self.dice, position.index)
    }

    /// The number of the match, and whether it falls into a burst.
    pub(crate) fn count_match(&self) -> (u64, bool) {
        let Some(burst @ Burst::Matches { .. }) = self.spec.schedule.burst else {
            return (self.counters().count_match(), true);
        };
        // Each state follows from the one before, so matches are counted one after the other here.
        let mut state = self
            .burst_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = self.counters().count_match();
        (count, state.step(burst, &self.dice, count))
    }
}
