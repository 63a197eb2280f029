//! What is armed: one writer, many readers.

pub(crate) mod behalf;
mod ended;
mod errors;
mod expressions;
pub(crate) mod patch;

pub use self::{
    ended::{EndedFault, News},
    errors::{ArmError, PatchError},
};

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use crate::{
    caller::{CallerFaults, Callers, CallersAllowed, MayAsk, explain_callers},
    counters::{Counters, FaultCounters, Magnitude, RouteCounters},
    faults::Fault,
    fields::Fields,
    hold::Hold,
    matcher::Knowledge,
    origin::Origin,
    plan::{ArmedFault, Arming, Explained, FaultPlan},
    schedule::{Lifetime, Moment, State},
    spec::FaultSpec,
    strikes::Strikes,
    subject::Subject,
};

/// Makes an empty store. Draws repeat for the same `seed`.
///
/// The writer goes to whoever may change what is armed, readers to everybody else: the types say who may.
#[must_use]
pub fn store(seed: u64) -> (FaultWriter, FaultReader) {
    let plan = Arc::new(ArcSwap::from_pointee(FaultPlan::default()));
    let watchers = Arc::new(Watchers::default());
    let (changes, changed) = watch::channel(0);
    let held = Arc::<AtomicU64>::default();
    let callers = Arc::new(Callers::new(seed, Arc::clone(&held)));
    let writer = FaultWriter {
        seed,
        callers: Arc::clone(&callers),
        plan: Arc::clone(&plan),
        watchers: Arc::clone(&watchers),
        changes,
        entries: Vec::new(),
        made: HashMap::new(),
        held,
        news: Arc::default(),
        revision: 0,
        origin: None,
    };
    let reader = FaultReader {
        plan,
        callers,
        watchers,
        changed,
    };
    (writer, reader)
}

/// Sees what is armed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FaultReader {
    plan: Arc<ArcSwap<FaultPlan>>,
    callers: Arc<Callers>,
    watchers: Arc<Watchers>,
    changed: watch::Receiver<u64>,
}

/// Who is called when what is armed has changed.
#[derive(Default)]
struct Watchers(Mutex<Vec<Watcher>>);

type Watcher = Box<dyn Fn(&FaultPlan) + Send>;

impl Watchers {
    fn call(&self, plan: &FaultPlan) {
        let watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for watcher in watchers.iter() {
            watcher(plan);
        }
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers").finish_non_exhaustive()
    }
}

impl FaultReader {
    /// What is armed now. A change made before this call is seen by it.
    #[must_use]
    pub fn plan(&self) -> impl std::ops::Deref<Target = Arc<FaultPlan>> + use<> {
        self.plan.load()
    }

    /// What callers may ask for on a new route, switched off.
    #[must_use]
    pub fn caller_faults(&self, route: &str) -> Arc<CallerFaults> {
        self.callers.on_route(route)
    }

    /// The revision of the plan, to wait for the next change from now on: those made before are not told. Whoever makes a
    /// change never waits for those who follow.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        // A clone remembers what this one has seen, which is nothing.
        let mut changes = self.changed.clone();
        changes.mark_unchanged();
        changes
    }

    /// Calls `watcher` with each new plan, on the thread of the change and before the change returns: what it does
    /// is done when the one who made the change is told so. It must not change what is armed.
    pub fn watch(&self, watcher: impl Fn(&FaultPlan) + Send + 'static) {
        let mut watchers = self
            .watchers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        watchers.push(Box::new(watcher));
    }
}

/// A fault with its state and counters, at one moment.
#[derive(Debug, Clone)]
pub struct FaultStatus {
    /// Its id.
    pub id: String,
    /// The spec as understood.
    pub spec: FaultSpec,
    /// What it is doing.
    pub state: State,
    /// When it was armed first.
    pub created_at: Moment,
    /// When its ttl is over; `None` for ever.
    pub expires_at: Option<Moment>,
    /// The number of the change that gave it this form.
    pub revision: u64,
    /// What it did.
    pub counters: Counters,
    /// What it did on each route since it names several.
    pub by_route: BTreeMap<String, RouteCounters>,
    /// What it was to do and achieved.
    pub magnitude: Magnitude,
    /// When it struck.
    pub strikes: Strikes,
}

struct Entry {
    fault: Arc<ArmedFault>,
    created_at: Moment,
}

impl Entry {
    fn status(&self, now: Instant) -> FaultStatus {
        let fault = &self.fault;
        FaultStatus {
            id: fault.id().to_owned(),
            spec: fault.spec().clone(),
            state: fault.state(now),
            created_at: self.created_at,
            expires_at: fault.lifetime().expires_at,
            revision: fault.revision(),
            counters: fault.counters().counters(),
            by_route: fault.counters().by_route(),
            magnitude: fault.counters().magnitude(fault.spec().fault.rate()),
            strikes: fault.counters().strikes(),
        }
    }
}

/// Changes what is armed. There is one; whoever shares it puts it behind a mutex.
///
/// Every change makes a new plan that the next request sees. Requests that a removed fault holds are released.
pub struct FaultWriter {
    seed: u64,
    callers: Arc<Callers>,
    plan: Arc<ArcSwap<FaultPlan>>,
    watchers: Arc<Watchers>,
    /// Wakes whoever follows what is armed.
    changes: watch::Sender<u64>,
    /// In the order of creation.
    entries: Vec<Entry>,
    /// How many ids were made, by kind.
    made: HashMap<&'static str, u64>,
    /// Requests held in the whole process.
    held: Arc<AtomicU64>,
    /// Is notified when a fault did something that is told once.
    news: Arc<Notify>,
    revision: u64,
    /// Of what is armed or changed now; see [`OnBehalf`].
    origin: Option<Origin>,
}

impl FaultWriter {
    /// The most faults that may be armed at a time.
    pub const FAULTS_MAX: usize = errors::FAULTS_MAX;
    /// The most regular expressions in the `match` of all armed faults together. Each takes up to 256 KiB.
    pub const EXPRESSIONS_MAX: usize = errors::EXPRESSIONS_MAX;

    /// Arms all of `specs`, or none. Faults without an id get `<kind>-<n>`, counted per kind since the start.
    ///
    /// # Errors
    /// When an id is taken, by an armed fault or inside `specs`, or there would be too many faults.
    pub fn arm(
        &mut self,
        specs: Vec<FaultSpec>,
        now: Moment,
    ) -> Result<Vec<FaultStatus>, ArmError> {
        self.forget_expired(now.instant);
        if self.entries.len() + specs.len() > Self::FAULTS_MAX {
            return Err(ArmError::TooMany);
        }
        self.check_expressions(None, &specs)?;
        let mut given: Vec<&str> = Vec::new();
        for id in specs.iter().filter_map(|spec| spec.id.as_deref()) {
            if self.find(id).is_some() || given.contains(&id) {
                return Err(ArmError::Taken { id: id.to_owned() });
            }
            given.push(id);
        }
        let given: Vec<String> = given.into_iter().map(str::to_owned).collect();

        self.revision += 1;
        let first = self.entries.len();
        for spec in specs {
            let id = match &spec.id {
                Some(id) => id.clone(),
                None => self.make_id(&spec.fault, &given),
            };
            let entry = self.entry(id, spec, now);
            self.entries.push(entry);
        }
        self.publish();
        let armed = &self.entries[first..];
        Ok(armed
            .iter()
            .map(|entry| entry.status(now.instant))
            .collect())
    }

    /// Arms `spec` under `id`, in place of the fault that has it. Counters start at 0. The flag says whether
    /// the fault is new.
    ///
    /// # Errors
    /// When it is new and there would be too many faults.
    pub fn put(
        &mut self,
        id: &str,
        spec: FaultSpec,
        now: Moment,
    ) -> Result<(FaultStatus, bool), ArmError> {
        self.forget_expired(now.instant);
        let replaced = self.find(id);
        if replaced.is_none() && self.entries.len() >= Self::FAULTS_MAX {
            return Err(ArmError::TooMany);
        }
        self.check_expressions(replaced, std::slice::from_ref(&spec))?;
        self.revision += 1;
        let entry = self.entry(id.to_owned(), spec, now);
        let status = entry.status(now.instant);
        let released = replaced.map(|at| self.entries.remove(at));
        self.entries.push(entry);
        self.publish();
        // Only now: a released request must find the new plan.
        if let Some(entry) = &released {
            entry.fault.hold().release();
        }
        Ok((status, released.is_none()))
    }

    /// Removes the fault `id`. Whether there was one.
    pub fn remove(&mut self, id: &str, now: Instant) -> bool {
        self.forget_expired(now);
        !self.remove_where(|status_id, _| status_id == id).is_empty()
    }

    /// Removes every fault of which `doomed` says so, given its id and spec. The ids that are gone.
    pub fn remove_where(&mut self, doomed: impl Fn(&str, &FaultSpec) -> bool) -> Vec<String> {
        let gone = self.take_where(doomed);
        gone.iter()
            .map(|entry| entry.fault.id().to_owned())
            .collect()
    }

    fn take_where(&mut self, doomed: impl Fn(&str, &FaultSpec) -> bool) -> Vec<Entry> {
        let (gone, kept): (Vec<Entry>, Vec<Entry>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| doomed(entry.fault.id(), entry.fault.spec()));
        self.entries = kept;
        if !gone.is_empty() {
            self.revision += 1;
            self.publish();
            for entry in &gone {
                entry.fault.hold().release();
            }
        }
        gone
    }

    /// Releases what faults hold that callers asked for. With `until` no caller is given one before then.
    pub fn halt_callers(&self, until: Option<Instant>) {
        self.callers.halt(until);
    }

    /// Removes every fault. The ids that are gone.
    pub fn clear(&mut self) -> Vec<String> {
        self.remove_where(|_, _| true)
    }

    /// Removes the faults whose ttl is over, and lets listeners follow the schedules of the others. The ids that are
    /// gone, and when to call again.
    pub fn expire(&mut self, now: Instant) -> (Vec<String>, Option<Instant>) {
        let gone = self.forget_expired(now);
        (gone, self.follow_schedules(now))
    }

    /// Lets listeners follow the schedules of what is armed. When to do so again.
    fn follow_schedules(&self, now: Instant) -> Option<Instant> {
        let ends = self
            .entries
            .iter()
            .filter_map(|entry| entry.fault.lifetime().expires_at);
        let ends = ends.map(|end| end.instant);
        let plan = self.plan.load();
        let look_again = plan.look_again(now);
        self.watchers.call(&plan);
        ends.chain(look_again).min()
    }

    /// What each armed fault would do to a request that came now, and why: those on its route in the order in which they are
    /// asked, then the others. Counts nothing.
    #[must_use]
    pub fn explain(
        &self,
        subject: &Subject<'_>,
        knowledge: Knowledge,
        now: Instant,
    ) -> Vec<Explained> {
        let mut explained = self.plan.load().explain(subject, knowledge, now);
        let asked: Vec<String> = explained.iter().map(|one| one.id.clone()).collect();
        for entry in &self.entries {
            if !asked.iter().any(|id| id == entry.fault.id()) {
                explained.push(entry.fault.explain_elsewhere(subject.route));
            }
        }
        explained
    }

    /// What callers' faults would do to a request with these fields, on a route that allows them or not; and what of the
    /// fields is ignored.
    #[must_use]
    pub fn explain_callers(
        &self,
        fields: &dyn Fields,
        client: IpAddr,
        may_ask: &MayAsk,
        now: Instant,
    ) -> Vec<Explained> {
        let allowed = match may_ask {
            MayAsk::Nobody => CallersAllowed::NotOnRoute,
            from if !from.includes(client) => CallersAllowed::NotFromThere,
            _ if self.callers.are_halted(now) => CallersAllowed::Halted,
            MayAsk::Anybody | MayAsk::From(_) | MayAsk::Share { .. } => {
                CallersAllowed::Yes(may_ask.percent())
            }
        };
        explain_callers(fields, allowed)
    }

    /// The fault `id` at one moment.
    #[must_use]
    pub fn status(&self, id: &str, now: Instant) -> Option<FaultStatus> {
        self.statuses(now).find(|status| status.id == id)
    }

    /// All faults at one moment, in the order of creation; those whose ttl is over are gone already.
    pub fn statuses(&self, now: Instant) -> impl Iterator<Item = FaultStatus> {
        let alive = self
            .entries
            .iter()
            .filter(move |entry| !entry.fault.lifetime().is_over(now));
        alive.map(move |entry| entry.status(now))
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.fault.id() == id)
    }

    fn forget_expired(&mut self, now: Instant) -> Vec<String> {
        let over: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| entry.fault.lifetime().is_over(now))
            .map(|entry| entry.fault.id().to_owned())
            .collect();
        if over.is_empty() {
            return over;
        }
        self.remove_where(|id, _| over.iter().any(|gone| gone == id))
    }

    fn make_id(&mut self, fault: &Fault, given: &[String]) -> String {
        loop {
            let made = self.made.entry(fault.name()).or_insert(0);
            *made += 1;
            let id = format!("{}-{made}", fault.name());
            if self.find(&id).is_none() && !given.contains(&id) {
                return id;
            }
        }
    }

    fn entry(&self, id: String, spec: FaultSpec, now: Moment) -> Entry {
        let counters = Arc::new(FaultCounters::new(&self.news));
        let arming = Arming {
            id: id.clone(),
            kind: None,
            seed: self.seed,
            lifetime: Lifetime::new(now, spec.start, spec.ttl),
            hold: Hold::new(Arc::clone(&counters), Arc::clone(&self.held)),
            counters,
            revision: self.revision,
            origin: self.origin,
        };
        let spec = FaultSpec {
            id: Some(id),
            ..spec
        };
        Entry {
            fault: Arc::new(ArmedFault::new(spec, arming)),
            created_at: now,
        }
    }

    fn publish(&mut self) {
        let faults: Vec<Arc<ArmedFault>> = self
            .entries
            .iter()
            .map(|entry| Arc::clone(&entry.fault))
            .collect();
        let plan = Arc::new(FaultPlan::new(self.revision, &faults));
        self.plan.store(Arc::clone(&plan));
        self.changes.send_replace(self.revision);
        self.watchers.call(&plan);
    }
}

impl fmt::Debug for FaultWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultWriter")
            .field("revision", &self.revision)
            .field("faults", &self.entries.len())
            .finish_non_exhaustive()
    }
}
