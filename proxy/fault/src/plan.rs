//! What is armed, compiled: immutable, read by every exchange.

use std::{collections::HashMap, sync::Arc, time::Instant};

use http::HeaderValue;

use crate::{
    faults::{Inject, Phase},
    injection::{Considered, Fired, Injection, Outcome},
    ledger::{Hold, Ledger},
    matcher::Subject,
    roll::Dice,
    schedule::{Schedule, State},
    spec::FaultSpec,
};

/// One fault in one form, armed.
#[derive(Debug)]
pub(crate) struct ArmedFault {
    id: String,
    spec: FaultSpec,
    kind: Box<dyn Inject>,
    dice: Dice,
    schedule: Schedule,
    ledger: Arc<Ledger>,
    hold: Arc<Hold>,
    marker: Option<HeaderValue>,
    revision: u64,
}

/// What an [`ArmedFault`] is made of besides its spec.
#[derive(Debug)]
pub(crate) struct Arming {
    pub(crate) id: String,
    pub(crate) seed: u64,
    pub(crate) schedule: Schedule,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) revision: u64,
}

impl ArmedFault {
    pub(crate) fn new(spec: FaultSpec, arming: Arming) -> Self {
        let Arming {
            id,
            seed,
            schedule,
            ledger,
            hold,
            revision,
        } = arming;
        let marker = format!(
            "{id}; type={}; phase={}",
            spec.fault.name(),
            spec.fault.phase().name()
        );
        let marker = HeaderValue::try_from(marker).expect("ids and names are plain ASCII");
        Self {
            kind: spec.fault.arm(),
            dice: Dice::new(spec.seed.unwrap_or(seed), &id),
            marker: (!spec.stealth).then_some(marker),
            id,
            spec,
            schedule,
            ledger,
            hold,
            revision,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn spec(&self) -> &FaultSpec {
        &self.spec
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.spec.fault.name()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.spec.fault.phase()
    }

    pub(crate) fn schedule(&self) -> Schedule {
        self.schedule
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(crate) fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    pub(crate) fn marker(&self) -> Option<&HeaderValue> {
        self.marker.as_ref()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn state(&self, now: Instant) -> State {
        if self.schedule.is_over(now) {
            State::Expired
        } else if self.ledger.is_spent(self.spec.limit) {
            State::Spent
        } else if self.schedule.is_on(now) {
            State::Active
        } else {
            State::Waiting
        }
    }

    /// Decides for one request, counts it, and fills the slots if the fault acts.
    fn consider(self: &Arc<Self>, subject: &Subject<'_>, now: Instant, into: &mut Injection) {
        if !self.schedule.is_on(now) || !self.spec.matching.matches(subject) {
            return;
        }
        let count = self.ledger.count_match();
        let outcome = self.attempt(count, subject, now, into);
        match outcome {
            Outcome::Injected => {}
            Outcome::Skipped => self.ledger.count_skipped(),
            Outcome::Overflow => self.ledger.count_overflow(),
        }
        into.considered.push(Considered {
            kind: self.kind(),
            outcome,
        });
    }

    fn attempt(
        self: &Arc<Self>,
        count: u64,
        subject: &Subject<'_>,
        now: Instant,
        into: &mut Injection,
    ) -> Outcome {
        let mut roll = self.dice.roll(count);
        let loses = self.spec.fault.ends() && into.ending.is_some();
        if loses
            || !self.spec.counts_in(count)
            || !self.spec.percent.hits(roll.draw())
            || self.ledger.is_spent(self.spec.limit)
        {
            return Outcome::Skipped;
        }
        let held = if self.spec.fault.holds() {
            match self.hold.enter(self.spec.max_active) {
                Some(held) => Some(held),
                None => return Outcome::Overflow,
            }
        } else {
            None
        };
        if !self.ledger.take_injection(self.spec.limit) {
            return Outcome::Skipped;
        }
        into.fired.push(Fired {
            fault: Arc::clone(self),
            held,
        });
        self.kind.inject(&mut roll, subject, now, into);
        Outcome::Injected
    }
}

/// Everything that is armed, as one immutable value.
///
/// Requests on a route look only at the faults of that route.
#[derive(Debug, Default)]
pub struct FaultPlan {
    revision: u64,
    /// The faults of each route that some fault names, those for all routes included.
    named: HashMap<String, Vec<Arc<ArmedFault>>>,
    /// The faults of every other route.
    elsewhere: Vec<Arc<ArmedFault>>,
}

impl FaultPlan {
    /// Compiles `faults`, given in the order of their creation.
    pub(crate) fn new(revision: u64, faults: &[Arc<ArmedFault>]) -> Self {
        let mut sorted = faults.to_vec();
        // Stable: inside a phase and a priority the order of creation stays.
        sorted.sort_by_key(|fault| (fault.phase(), -fault.spec().priority));

        let names = sorted.iter().flat_map(|fault| match &fault.spec().route {
            crate::Routes::All => &[],
            crate::Routes::Named(names) => names.as_slice(),
        });
        let on = |name: &String| {
            let here = sorted
                .iter()
                .filter(|fault| fault.spec().route.include(name));
            (name.clone(), here.cloned().collect())
        };
        let everywhere = sorted
            .iter()
            .filter(|fault| fault.spec().route == crate::Routes::All);
        Self {
            revision,
            named: names.map(on).collect(),
            elsewhere: everywhere.cloned().collect(),
        }
    }

    /// The number of the change that made this plan; grows by one with each.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Says what is done to one request.
    ///
    /// Does no I/O, reads no clock and, as long as at most two faults of the route match, allocates nothing.
    /// Its one side effect is in the ledgers of the faults: matches are counted and injections taken.
    /// To be called once for each request.
    #[must_use]
    pub fn decide(&self, subject: &Subject<'_>, now: Instant) -> Injection {
        let mut injection = Injection::default();
        if self.named.is_empty() && self.elsewhere.is_empty() {
            return injection;
        }
        for fault in self.named.get(subject.route).unwrap_or(&self.elsewhere) {
            fault.consider(subject, now, &mut injection);
        }
        injection
    }
}
