//! Faults that callers ask for by header fields, on routes that allow it.
//!
//! Nothing of them is armed: each lasts as long as the request that asks for it. They are what a test takes to break its
//! own requests and nobody else's.

mod asked;
mod explain;
mod may_ask;

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;

use self::asked::{Asked, KINDS, Reading};
pub(crate) use self::explain::{CallersAllowed, explain_callers};
pub use self::{asked::CALLER_FIELDS, may_ask::MayAsk};
use crate::{
    counters::{Counters, FaultCounters},
    faults::Decision,
    hold::Hold,
    identity::FaultIdentity,
    injection::{Considered, Fired, Injection, MatchOutcome},
    matcher::Choice,
    phase::Phase,
    roll::Dice,
    spec::FaultSpec,
    subject::Subject,
    told::Asker,
};

/// What the caller faults of all routes share.
#[derive(Debug)]
pub(crate) struct Callers {
    seed: u64,
    /// Requests held in the whole process.
    held: Arc<AtomicU64>,
    /// Until when nobody is given what he asks for: somebody has halted.
    halted_until: Mutex<Option<Instant>>,
    routes: Mutex<Vec<Weak<CallerFaults>>>,
}

impl Callers {
    pub(crate) fn new(seed: u64, held: Arc<AtomicU64>) -> Self {
        Self {
            seed,
            held,
            halted_until: Mutex::default(),
            routes: Mutex::default(),
        }
    }

    /// Releases what the faults of callers hold. With `until` no caller is given any before then.
    pub(crate) fn halt(&self, until: Option<Instant>) {
        if until.is_some() {
            *lock(&self.halted_until) = until;
        }
        let mut routes = lock(&self.routes);
        routes.retain(|route| route.strong_count() > 0);
        for route in routes.iter().filter_map(Weak::upgrade) {
            route.release();
        }
    }

    /// The caller faults of a new route.
    pub(crate) fn on_route(self: &Arc<Self>, route: &str) -> Arc<CallerFaults> {
        let faults = Arc::new(CallerFaults {
            is_on: AtomicBool::new(false),
            may_ask: ArcSwap::default(),
            kinds: KINDS.map(|kind| CallerKind::new(kind, route, self)),
            callers: Arc::clone(self),
        });
        let mut routes = lock(&self.routes);
        routes.retain(|route| route.strong_count() > 0);
        routes.push(Arc::downgrade(&faults));
        faults
    }

    pub(crate) fn are_halted(&self, now: Instant) -> bool {
        lock(&self.halted_until).is_some_and(|until| now < until)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The faults that callers may ask for on one route. Nobody may until it is [said](Self::set) who may.
#[derive(Debug)]
pub struct CallerFaults {
    /// Whether anybody may.
    is_on: AtomicBool,
    may_ask: ArcSwap<MayAsk>,
    /// In the order of [`KINDS`].
    kinds: [CallerKind; KINDS.len()],
    callers: Arc<Callers>,
}

/// One kind on one route.
#[derive(Debug)]
struct CallerKind {
    dice: Dice,
    counters: Arc<FaultCounters>,
    /// Another each time that what it holds is released.
    identity: ArcSwap<FaultIdentity>,
}

impl CallerKind {
    fn new((kind, phase): (&'static str, Phase), route: &str, callers: &Callers) -> Self {
        let counters = Arc::<FaultCounters>::default();
        let identity = identity(kind, phase, &counters, &callers.held);
        Self {
            dice: Dice::new(callers.seed, &format!("{} {route}", identity.id)),
            identity: ArcSwap::from_pointee(identity),
            counters,
        }
    }

    fn release(&self, held: &Arc<AtomicU64>) {
        let before = self.identity.load_full();
        let next = identity(before.kind, before.phase, &self.counters, held);
        self.identity.swap(Arc::new(next)).hold.release();
    }
}

/// The id has a `:`, which no id of an armed fault has.
fn identity(
    kind: &'static str,
    phase: Phase,
    counters: &Arc<FaultCounters>,
    held: &Arc<AtomicU64>,
) -> FaultIdentity {
    let id = format!("caller:{kind}");
    FaultIdentity {
        marker: Some(format!("{id}; type={kind}; phase={}", phase.name())),
        id,
        kind,
        phase,
        choice: Choice::Header,
        revision: 0,
        limit: None,
        origin: None,
        counters: Arc::clone(counters),
        hold: Hold::new(Arc::clone(counters), Arc::clone(held)),
    }
}

/// What a request asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerAsked {
    /// It has one of the [`CALLER_FIELDS`], which are not to go on to the upstream.
    pub has_fields: bool,
    /// Something in them could not be understood, or is not allowed, and was ignored.
    pub was_ignored: bool,
}

impl CallerFaults {
    /// The longest wait that a caller gets: a longer one is cut to this.
    pub const LATENCY_MAX: std::time::Duration = asked::LATENCY_MAX;
    /// The most requests of one kind that are held on one route; over it they pass and count as overflow.
    pub const HELD_MAX: u64 = FaultSpec::MAX_ACTIVE;

    /// Whether any callers are given what they ask for.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Who is given what he asks for.
    #[must_use]
    pub fn may_ask(&self) -> Arc<MayAsk> {
        self.may_ask.load_full()
    }

    /// Says who is given what he asks for from now on. If those are others than before, what is held is released.
    pub fn set(&self, may_ask: MayAsk) {
        let is_on = !may_ask.is_nobody();
        let before = self.may_ask.swap(Arc::new(may_ask));
        let was_on = self.is_on.swap(is_on, Ordering::SeqCst);
        if was_on && *before != **self.may_ask.load() {
            self.release();
        }
    }

    /// Releases what is held.
    pub fn release(&self) {
        for kind in &self.kinds {
            kind.release(&self.callers.held);
        }
    }

    /// What callers got of one kind; `None` for a kind that they cannot ask for.
    #[must_use]
    pub fn counters(&self, kind: &str) -> Option<Counters> {
        let index = KINDS.iter().position(|(name, _)| *name == kind)?;
        Some(self.kinds[index].counters.counters())
    }

    /// Adds what the request asks for to what is armed, which goes first. To be called once for each request, and only while
    /// it [is on](Self::is_on).
    pub fn decide(&self, subject: &Subject<'_>, now: Instant, into: &mut Injection) -> CallerAsked {
        let Reading {
            has_fields,
            mut was_ignored,
            asked,
        } = asked::read(subject.fields);
        if !asked.is_empty() {
            // Taken before anybody is asked: a halt, or a route that is switched off, says so first and then releases what
            // these hold. Whoever misses the word has identities that hold nothing any more.
            let identities = self.identities();
            let most = || {
                let is_on = self.is_on.load(Ordering::SeqCst);
                let may_ask = self.may_ask.load();
                (is_on && may_ask.includes(subject.peer.ip())).then(|| may_ask.percent())
            };
            match most() {
                Some(most) if !self.callers.are_halted(now) => {
                    for mut asked in asked {
                        asked.percent = asked.percent.at_most(most);
                        self.consider(&asked, &identities, subject, now, into);
                    }
                }
                Some(_) | None => was_ignored = true,
            }
        }
        CallerAsked {
            has_fields,
            was_ignored,
        }
    }

    /// Those of this moment, in the order of [`KINDS`].
    fn identities(&self) -> [Arc<FaultIdentity>; KINDS.len()] {
        std::array::from_fn(|index| self.kinds[index].identity.load_full())
    }

    fn consider(
        &self,
        asked: &Asked,
        identities: &[Arc<FaultIdentity>; KINDS.len()],
        subject: &Subject<'_>,
        now: Instant,
        into: &mut Injection,
    ) {
        let Some(index) = (KINDS.iter()).position(|(name, _)| *name == asked.fault.name()) else {
            return;
        };
        let kind = &self.kinds[index];
        let count = kind.counters.count_match();
        let outcome = kind.attempt(count, asked, &identities[index], subject, now, into);
        match outcome {
            MatchOutcome::Injected => {}
            MatchOutcome::Skipped => kind.counters.count_skipped(),
            MatchOutcome::Overflow => kind.counters.count_overflow(),
        }
        into.considered.push(Considered {
            kind: asked.fault.name(),
            outcome,
        });
    }
}

impl CallerKind {
    fn attempt(
        &self,
        count: u64,
        asked: &Asked,
        identity: &Arc<FaultIdentity>,
        subject: &Subject<'_>,
        now: Instant,
        into: &mut Injection,
    ) -> MatchOutcome {
        let mut roll = self.dice.roll(count);
        let fault = &asked.fault;
        if into.is_over(fault.phase(), fault.ends()) || !asked.percent.hits(roll.draw()) {
            return MatchOutcome::Skipped;
        }
        let held = match fault.holds() {
            false => None,
            true => match identity.hold.enter(CallerFaults::HELD_MAX) {
                None => return MatchOutcome::Overflow,
                held => held,
            },
        };
        self.counters.take_injection(None);
        into.fired
            .push(Fired::new(identity, held, Asker::of(subject)));
        let mut decision = Decision {
            roll: &mut roll,
            subject,
            now,
            scale: 1.0,
        };
        fault.arm().inject(&mut decision, into);
        if into.fired.last().is_some_and(|fired| !fired.is_undecided()) {
            self.counters.note_strike(None, now);
        }
        MatchOutcome::Injected
    }
}

impl Drop for CallerFaults {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a beginning of time for tests")]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_request_that_begins_while_somebody_halts_is_not_held() {
        let callers = Arc::new(Callers::new(1, Arc::default()));
        let faults = callers.on_route("web");
        faults.set(MayAsk::Anybody);
        let mut fields = HeaderMap::new();
        fields.insert("x-brownout-fault", HeaderValue::from_static("latency=30s"));
        let subject = Subject {
            route: "web",
            method: "GET",
            path: "/",
            query: None,
            host: None,
            fields: &fields,
            peer: ([127, 0, 0, 1], 1).into(),
            connection: 0,
            request: 0,
            is_http2: false,
        };
        let now = Instant::now();
        let asked = asked::read(&fields).asked;
        // The request has taken the identities, and is about to look whether somebody has halted.
        let identities = faults.identities();

        callers.halt(Some(now + Duration::from_secs(60)));
        let mut missed_the_word = Injection::default();
        faults.consider(&asked[0], &identities, &subject, now, &mut missed_the_word);
        let mut comes_later = Injection::default();
        let told = faults.decide(&subject, now, &mut comes_later);

        assert!(missed_the_word.fired.is_empty());
        assert!(comes_later.fired.is_empty());
        assert!(told.was_ignored);
    }

    #[test]
    fn a_request_that_begins_while_its_route_is_switched_off_is_not_held() {
        let callers = Arc::new(Callers::new(1, Arc::default()));
        let faults = callers.on_route("web");
        faults.set(MayAsk::Anybody);
        let before = faults.identities();

        faults.set(MayAsk::Nobody);

        assert!(before.iter().all(|one| one.hold.enter(1).is_none()));
    }
}
