//! What is armed, compiled: immutable, read by every exchange.

mod beginning;
mod by_route;
mod streams;

pub use self::streams::{Acting, Look, StreamFaults};

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderValue;
use smallvec::SmallVec;

use self::{
    beginning::{Beginning, PathStart},
    by_route::ByRoute,
};
use crate::{
    faults::{Decision, Inject, Phase},
    injection::{Considered, Fired, Injection, Outcome},
    ledger::{Hold, Ledger},
    matcher::{Per, Subject},
    origin::Origin,
    roll::{Dice, Roll},
    schedule::{Burst, Force, Schedule, Seat, State, Walk},
    spec::FaultSpec,
};

/// One fault in one form, armed.
#[derive(Debug)]
pub(crate) struct ArmedFault {
    id: String,
    spec: FaultSpec,
    kind: Arc<dyn Inject>,
    /// The fault's own, or its group's.
    dice: Dice,
    schedule: Schedule,
    /// Whether its percent and schedule leave nothing to look at.
    is_steady: bool,
    /// Where bursts by match are; also keeps the count of matches in step with it.
    walk: Mutex<Walk>,
    ledger: Arc<Ledger>,
    hold: Arc<Hold>,
    marker: Option<HeaderValue>,
    revision: u64,
    origin: Option<Origin>,
}

/// What an [`ArmedFault`] is made of besides its spec.
#[derive(Debug)]
pub(crate) struct Arming {
    pub(crate) id: String,
    /// What the kind keeps, if the fault was armed before with the same parameters.
    pub(crate) kind: Option<Arc<dyn Inject>>,
    pub(crate) seed: u64,
    pub(crate) schedule: Schedule,
    pub(crate) ledger: Arc<Ledger>,
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
            schedule,
            ledger,
            hold,
            revision,
            origin,
        } = arming;
        let seed = spec.seed.unwrap_or(seed);
        let dice = match &spec.group {
            Some(group) => Dice::new(seed, &format!("group {group}")),
            None => Dice::new(seed, &id),
        };
        let marker = format!(
            "{id}; type={}; phase={}",
            spec.fault.name(),
            spec.fault.phase().name()
        );
        let marker = HeaderValue::try_from(marker).expect("ids and names are plain ASCII");
        Self {
            kind: kind.unwrap_or_else(|| spec.fault.arm()),
            dice,
            is_steady: spec.course.is_steady(),
            walk: Mutex::default(),
            marker: (!spec.stealth).then_some(marker),
            id,
            spec,
            schedule,
            ledger,
            hold,
            revision,
            origin,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn spec(&self) -> &FaultSpec {
        &self.spec
    }

    pub(crate) fn armed_kind(&self) -> &Arc<dyn Inject> {
        &self.kind
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

    pub(crate) fn origin(&self) -> Option<Origin> {
        self.origin
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

    /// How strong the fault is; `None` while its schedule says nothing is to happen.
    pub(crate) fn force(&self, now: Instant, place: &Place) -> Option<Force> {
        if !self.schedule.is_on(now) {
            return None;
        }
        if self.is_steady {
            return Some(Force::FULL);
        }
        let at = now.saturating_duration_since(place.begin);
        let left = self.schedule.left(now);
        self.spec.course.force(at, left, &self.dice, place.seat)
    }

    /// Decides for one request, counts it, and fills the slots if the fault acts.
    fn consider(
        self: &Arc<Self>,
        place: &Place,
        subject: &Subject<'_>,
        now: Instant,
        into: &mut Injection,
    ) {
        if !self.spec.matching.matches(subject) {
            return;
        }
        let Some(force) = self.force(now, place) else {
            return;
        };
        let (count, is_bad) = self.count_match();
        let outcome = if is_bad {
            self.attempt(count, force, subject, now, into)
        } else {
            Outcome::Skipped
        };
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

    /// The number of the match, and whether it falls into a burst.
    fn count_match(&self) -> (u64, bool) {
        let Some(burst @ Burst::Matches { .. }) = self.spec.course.burst else {
            return (self.ledger.count_match(), true);
        };
        // Each state follows from the one before, so matches are counted one after the other here.
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.ledger.count_match();
        (count, walk.step(burst, &self.dice, count))
    }

    /// The chance of this match: its own, or that of its key.
    fn roll(&self, count: u64, subject: &Subject<'_>) -> Roll {
        let keyed = match &self.spec.per {
            Per::Request => None,
            per => per.key(subject, |key| self.dice.keyed_roll(key)),
        };
        keyed.unwrap_or_else(|| self.dice.roll(count))
    }

    fn attempt(
        self: &Arc<Self>,
        count: u64,
        force: Force,
        subject: &Subject<'_>,
        now: Instant,
        into: &mut Injection,
    ) -> Outcome {
        let mut roll = self.roll(count, subject);
        if into.is_over(self.phase(), self.spec.fault.ends())
            || !self.spec.counts_in(count)
            || !self.spec.percent.hits_scaled(roll.draw(), force.percent)
            || self.ledger.is_spent(self.spec.limit)
        {
            return Outcome::Skipped;
        }
        let mut decision = Decision {
            roll: &mut roll,
            subject,
            now,
            scale: force.value,
            ledger: &self.ledger,
        };
        if !self.kind.takes(&mut decision, into) {
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
        into.fired.push(Fired::new(self, held));
        self.kind.inject(&mut decision, into);
        Outcome::Injected
    }
}

/// A fault in a plan, with its place among those of its group.
#[derive(Debug, Clone)]
struct Placed {
    /// Looked at first, and mostly alone.
    beginning: Beginning,
    fault: Arc<ArmedFault>,
    place: Place,
}

/// See [`Placed`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    seat: Seat,
    /// From when its schedule is counted: its start, or the earliest of its group.
    begin: Instant,
}

impl Placed {
    fn all(faults: &[Arc<ArmedFault>]) -> Vec<Self> {
        let group = |fault: &Arc<ArmedFault>| fault.spec().group.clone();
        let begin = |fault: &Arc<ArmedFault>| fault.schedule().starts_at.instant;
        let place = |fault: &Arc<ArmedFault>| {
            let Some(name) = group(fault) else {
                return Place {
                    seat: Seat::ALONE,
                    begin: begin(fault),
                };
            };
            let members: Vec<_> = faults
                .iter()
                .filter(|other| group(other).as_ref() == Some(&name))
                .collect();
            let index = members
                .iter()
                .filter(|other| other.id() < fault.id())
                .count();
            Place {
                seat: Seat {
                    index: index as u64,
                    of: members.len() as u64,
                },
                begin: members
                    .iter()
                    .map(|other| begin(other))
                    .min()
                    .unwrap_or_else(|| begin(fault)),
            }
        };
        let placed = faults.iter().map(|fault| Self {
            beginning: Beginning::of(&fault.spec().matching),
            fault: Arc::clone(fault),
            place: place(fault),
        });
        placed.collect()
    }
}

/// Everything that is armed, as one immutable value.
///
/// Requests on a route look only at the faults of that route.
#[derive(Debug, Default)]
pub struct FaultPlan {
    revision: u64,
    requests: ByRoute,
    streams: ByRoute,
    /// Those that act on listeners and so on no request.
    listening: Vec<Placed>,
}

impl FaultPlan {
    /// Compiles `faults`, given in the order of their creation.
    pub(crate) fn new(revision: u64, faults: &[Arc<ArmedFault>]) -> Self {
        let (listening, mut sorted): (Vec<Placed>, Vec<Placed>) = Placed::all(faults)
            .into_iter()
            .partition(|placed| placed.fault.spec().fault.refuses());
        // Stable: inside a phase and a priority the order of creation stays.
        let mut streams: Vec<Placed> = sorted
            .iter()
            .filter(|placed| placed.fault.spec().acts_on_streams())
            .cloned()
            .collect();
        streams.sort_by_key(|placed| -placed.fault.spec().priority);
        sorted.retain(|placed| placed.fault.spec().acts_on_requests());
        sorted.sort_by_key(|placed| (placed.fault.phase(), -placed.fault.spec().priority));
        Self {
            revision,
            requests: ByRoute::new(sorted),
            streams: ByRoute::new(streams),
            listening,
        }
    }

    /// Whether new connections to a route are refused.
    #[must_use]
    pub fn refuses(&self, route: &str, now: Instant) -> bool {
        let mut here = self
            .listening
            .iter()
            .filter(|placed| placed.fault.spec().route.include(route));
        here.any(|placed| placed.fault.force(now, &placed.place).is_some())
    }

    /// Counts that a route stopped listening, for the faults that refuse its connections. Which were counted.
    pub fn note_refused(&self, route: &str, now: Instant) -> SmallVec<[Considered; 2]> {
        let mut considered = SmallVec::new();
        for placed in &self.listening {
            let fault = &placed.fault;
            if fault.spec().route.include(route) && fault.force(now, &placed.place).is_some() {
                fault.ledger().count_match();
                fault.ledger().take_injection(None);
                considered.push(Considered {
                    kind: fault.kind(),
                    outcome: Outcome::Injected,
                });
            }
        }
        considered
    }

    /// When the answer of [`refuses`](Self::refuses) may change by itself; `None` if it does not.
    pub(crate) fn look_again(&self, now: Instant) -> Option<Instant> {
        /// How exactly a wave of refusals is kept.
        const STEP: Duration = Duration::from_millis(10);
        let next = |placed: &Placed| {
            let starts_at = placed.fault.schedule().starts_at.instant;
            if starts_at > now {
                Some(starts_at)
            } else {
                (!placed.fault.is_steady).then_some(now + STEP)
            }
        };
        self.listening.iter().filter_map(next).min()
    }

    /// The number of the change that made this plan; grows by one with each.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Says what is done to one request.
    ///
    /// Does no I/O and reads no clock. It allocates nothing as long as at most two faults of the route match, and
    /// those that act do so before the request is forwarded.
    /// Its one side effect is in the ledgers of the faults: matches are counted and injections taken.
    /// To be called once for each request.
    #[must_use]
    pub fn decide(&self, subject: &Subject<'_>, now: Instant) -> Injection {
        let mut injection = Injection::default();
        if self.requests.is_empty() {
            return injection;
        }
        let path = PathStart::of(subject.uri.path());
        for placed in self.requests.on(subject.route) {
            if placed.beginning.may_fit(path) {
                placed
                    .fault
                    .consider(&placed.place, subject, now, &mut injection);
            }
        }
        injection
    }
}
