//! What may be done to faults and routes, each in one call.
//!
//! [`Ops`] stands under the REST API, the configuration file and the signals. What is written is read and compiled
//! before the lock; under it a call checks again, makes the change, counts it and writes it to the audit log. So no
//! call sees half of another, and whoever was answered finds the change in force.

mod addresses;
mod armed;
mod ended;
mod error;
mod events;
mod explain;
mod faults;
mod fit;
mod halt;
mod leases;
mod load;
mod options;
mod routes;
mod telling;
mod toxics;
mod turn;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use brownout_fault::{ArmError, EndedFault, FaultSpec, FaultStatus, FaultWriter, Moment, Strikes};
use brownout_proxy::GatewayHandle;
use brownout_telemetry::{Counter, Gauge, Metrics, names};
use brownout_wire::{FaultTags, FaultTimes};
use serde_json::Value;
use tokio::{sync::Notify, time::sleep_until};

pub use self::{
    addresses::{InvalidRoute, control_tls, new_route},
    armed::{Armed, Condition, Filter, Revisions},
    ended::{EndReason, Ended},
    error::OpError,
    leases::Lease,
    load::{Reloaded, Wanted, check_routes},
    toxics::{Attributes, InvalidToxic, Toxic, ToxicKind},
};
pub(crate) use self::{
    addresses::{route_change, shown_tls, shown_upstream_tls},
    error::whole_seconds,
    events::{Clock, Listener},
    options::shown_options,
    toxics::ListenText,
};
use self::{
    ended::EndedFaults,
    events::Events,
    leases::Leases,
    load::Loaded,
    toxics::Toxics,
    turn::{Locked, Turn, Turns},
};
use crate::audit::{Audit, Caller, Record};

/// Changes and shows faults and routes. Cheap to clone; usable from any thread.
///
/// A call blocks for as long as another one has the lock: some milliseconds with as many faults as there may be.
#[derive(Debug, Clone)]
pub struct Ops(Arc<Shared>, Turn);

#[derive(Debug)]
struct Shared {
    state: Turns,
    gateway: GatewayHandle,
    audit: Audit,
    /// Rung when what is armed has changed, so that the next expiry may be another.
    changed: Notify,
    /// Rung when a fault did something that is told once.
    news: Arc<Notify>,
    clock: Clock,
    events: Events,
    fault_changes: Counter,
    revision: Gauge,
}

/// What is under the lock.
#[derive(Debug)]
struct State {
    writer: FaultWriter,
    /// By the id of a fault that is armed and has some.
    tags: HashMap<String, FaultTags>,
    toxics: Toxics,
    leases: Leases,
    ended: EndedFaults,
    clock: Clock,
    /// What came of the configuration file.
    loaded: Loaded,
    /// Until when nothing may be armed.
    locked_until: Option<Instant>,
    /// The process is about to end: nothing may be armed any more.
    stopping: bool,
}

impl State {
    /// Forgets what is kept beside a fault that is gone.
    fn forget(&mut self, id: &str) {
        self.tags.remove(id);
        self.toxics.forget(id);
    }

    fn tagged(&self, status: FaultStatus) -> Armed {
        let tags = self.tags.get(&status.id).cloned().unwrap_or_default();
        self.armed(status, tags)
    }

    fn armed(&self, status: FaultStatus, tags: FaultTags) -> Armed {
        let times = times(self.clock, status.created_at, status.strikes, None);
        Armed {
            removed_at: None,
            status,
            tags,
            times,
        }
    }

    fn check_may_arm(&self, now: Moment) -> Result<(), OpError> {
        if self.stopping {
            return Err(OpError::ShuttingDown);
        }
        let rest = self
            .locked_until
            .and_then(|until| until.checked_duration_since(now.instant));
        match rest {
            Some(rest) if !rest.is_zero() => Err(OpError::Locked(rest)),
            _ => Ok(()),
        }
    }
}

/// The lock, held for one change on behalf of one caller.
struct Change<'o> {
    ops: &'o Shared,
    state: Locked<'o>,
    caller: Caller,
    now: Moment,
}

impl Change<'_> {
    /// Counts and records `subjects`, to which `action` was done.
    fn done(&mut self, action: &'static str, subjects: Vec<String>, change: Value) {
        if subjects.is_empty() && action != "halt" {
            return;
        }
        self.tell_done(action, &subjects);
        let is_of_faults = action.starts_with("fault.") || action == "halt";
        let faults = if is_of_faults { subjects.len() } else { 0 };
        self.ops
            .fault_changes
            .add(u64::try_from(faults).unwrap_or(u64::MAX));
        let revision = self.state.writer.revision();
        self.ops
            .revision
            .set(i64::try_from(revision).unwrap_or(i64::MAX));
        self.ops.audit.write(Record {
            at: self.now,
            caller: self.caller,
            action,
            subjects,
            change,
            revision,
        });
        self.ops.changed.notify_one();
    }

    /// Removes the faults whose ttl or lease is over; when to look again.
    fn expire(&mut self) -> Option<Instant> {
        let caller = std::mem::replace(&mut self.caller, Caller::of("clock"));
        self.tell_news();
        let (gone, next) = self.state.writer.end_expired(self.now.instant);
        let gone = self.forget(gone, EndReason::Expired);
        self.done("fault.expire", gone, Value::Null);
        self.state.ended.settle();
        self.expire_leases();
        self.caller = caller;
        next.into_iter().chain(self.state.leases.next_end()).min()
    }

    /// Removes the faults of which `doomed` says so, letting go what they hold. The ids that are gone.
    fn remove_where(
        &mut self,
        reason: EndReason,
        doomed: impl Fn(&FaultSpec, &FaultTags) -> bool,
    ) -> Vec<String> {
        let none = FaultTags::default();
        let State { writer, tags, .. } = &mut *self.state;
        let gone = writer.end_where(|id, spec| doomed(spec, tags.get(id).unwrap_or(&none)));
        self.forget(gone, reason)
    }

    /// Keeps what is left of faults that have ended, and nothing else of them. Their ids.
    fn forget(&mut self, gone: Vec<EndedFault>, reason: EndReason) -> Vec<String> {
        let mut ids = Vec::with_capacity(gone.len());
        for fault in gone {
            let tags = self.state.tags.get(&fault.id).cloned().unwrap_or_default();
            self.state.forget(&fault.id);
            ids.push(fault.id.clone());
            self.note_end(fault, tags, reason);
        }
        ids
    }

    fn note_end(&mut self, fault: EndedFault, tags: FaultTags, reason: EndReason) {
        let reason = match reason {
            EndReason::Expired if fault.was_spent => EndReason::Spent,
            reason => reason,
        };
        self.tell_end(&fault, reason);
        self.state.ended.push(Ended {
            fault,
            tags,
            ended_at: self.now,
            reason,
        });
    }

    /// Arms a fault under an id, in place of the one that has it.
    fn put_fault(&mut self, id: &str, spec: FaultSpec) -> Result<(FaultStatus, bool), ArmError> {
        let replaced = self.state.writer.last_of(id);
        let writer = &mut self.state.writer;
        let mut writer = writer.on_behalf_of(self.caller.origin);
        let put = writer.put(id, spec, self.now)?;
        drop(writer);
        if let Some(fault) = replaced {
            let tags = self.state.tags.get(id).cloned().unwrap_or_default();
            self.note_end(fault, tags, EndReason::Replaced);
        }
        Ok(put)
    }

    /// Keeps the tags of a fault that was armed or changed.
    fn keep_tags(&mut self, id: &str, tags: FaultTags) {
        if tags == FaultTags::default() {
            self.state.tags.remove(id);
        } else {
            self.state.tags.insert(id.to_owned(), tags);
        }
    }
}

impl Ops {
    /// Takes over what is armed and the routes.
    #[must_use]
    pub fn new(
        writer: FaultWriter,
        gateway: GatewayHandle,
        metrics: &Metrics,
        audit: Audit,
    ) -> Self {
        let clock = match gateway.journal() {
            Some(journal) => Clock {
                began: journal.began(),
                began_at: journal.began_at(),
            },
            None => Clock {
                began: Instant::now(),
                began_at: SystemTime::now(),
            },
        };
        let news = writer.news();
        let state = State {
            ended: EndedFaults::default(),
            clock,
            writer,
            tags: HashMap::new(),
            toxics: Toxics::default(),
            leases: Leases::default(),
            loaded: Loaded::default(),
            locked_until: None,
            stopping: false,
        };
        let shared = Shared {
            state: Turns::new(state),
            gateway,
            audit,
            changed: Notify::new(),
            news,
            clock,
            events: Events::new(),
            fault_changes: metrics.counter(names::CONTROL_FAULT_CHANGES, &[]),
            revision: metrics.gauge(names::CONTROL_REVISION, &[]),
        };
        Self(Arc::new(shared), Turn::First)
    }

    /// Waits until the changes made so far are in the audit log's file, but not long.
    pub fn flush_audit(&self) {
        self.0.audit.flush();
    }

    /// Removes faults when their ttl is over, for ever: the one timer for all of them.
    pub(crate) async fn expire(&self) {
        /// A timer of a wait that never ends, renewed.
        const FAR: Duration = Duration::from_secs(3600);
        loop {
            let next = self.change(Caller::of("clock")).expire();
            let next = next.unwrap_or_else(|| Instant::now() + FAR);
            tokio::select! {
                () = sleep_until(next.into()) => {}
                () = self.0.changed.notified() => {}
                () = self.0.news.notified() => {}
            }
        }
    }

    /// The same, to be used from another thread than the API's: its calls let shorter ones go first.
    pub(crate) fn queued(&self) -> Self {
        Self(Arc::clone(&self.0), Turn::Queued)
    }

    /// To look at.
    fn state(&self) -> Locked<'_> {
        self.0.state.take(self.1)
    }

    /// To change, with what has expired out of the way.
    fn change(&self, caller: Caller) -> Change<'_> {
        let state = self.state();
        let mut change = Change {
            ops: &self.0,
            state,
            caller,
            now: now(),
        };
        change.expire();
        change
    }
}

/// When a fault did something, on the clock of records.
pub(crate) fn times(
    clock: Clock,
    created_at: Moment,
    strikes: Strikes,
    ended_at: Option<Moment>,
) -> FaultTimes {
    FaultTimes {
        armed_us: clock.micros(created_at.instant),
        first_struck_us: strikes.first.map(|at| clock.micros(at)),
        last_struck_us: strikes.last.map(|at| clock.micros(at)),
        ended_us: ended_at.map(|at| clock.micros(at.instant)),
    }
}

/// The time of a call.
fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}
