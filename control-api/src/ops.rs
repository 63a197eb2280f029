//! What may be done to faults and routes, each in one call.
//!
//! [`Ops`] stands under the REST API, the configuration file and the signals. What is written is read and compiled
//! before the lock; under it a call checks again, makes the change, counts it and writes it to the audit log. So no
//! call sees half of another, and whoever was answered finds the change in force.

mod addresses;
mod error;
mod faults;
mod fit;
mod halt;
mod load;
mod routes;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use brownout_fault::{FaultWriter, Moment};
use brownout_proxy::GatewayHandle;
use brownout_telemetry::{Counter, Gauge, Metrics, names};
use serde_json::Value;
use tokio::{sync::Notify, time::sleep_until};

pub(crate) use self::{addresses::route_change, error::whole_seconds};
pub use self::{
    addresses::{InvalidRoute, new_route},
    error::OpError,
    load::{Wanted, check_routes},
};
use crate::audit::{Audit, Caller, Record};

/// Changes and shows faults and routes. Cheap to clone; usable from any thread.
///
/// A call blocks for as long as another one has the lock: a few milliseconds with as many faults as there may be.
#[derive(Debug, Clone)]
pub struct Ops(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    gateway: GatewayHandle,
    audit: Audit,
    /// Rung when what is armed has changed, so that the next expiry may be another.
    changed: Notify,
    fault_changes: Counter,
    revision: Gauge,
}

/// What is under the lock.
#[derive(Debug)]
struct State {
    writer: FaultWriter,
    /// Until when nothing may be armed.
    locked_until: Option<Instant>,
    /// The process is about to end: nothing may be armed any more.
    stopping: bool,
}

impl State {
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
    state: MutexGuard<'o, State>,
    caller: Caller,
    now: Moment,
}

impl Change<'_> {
    /// Counts and records `subjects`, to which `action` was done.
    fn done(&mut self, action: &'static str, subjects: Vec<String>, change: Value) {
        if subjects.is_empty() && action != "halt" {
            return;
        }
        let faults = match action.starts_with("route.") {
            true => 0,
            false => subjects.len(),
        };
        self.ops
            .fault_changes
            .add(u64::try_from(faults).unwrap_or(u64::MAX));
        let revision = self.state.writer.revision();
        self.ops
            .revision
            .set(i64::try_from(revision).unwrap_or(i64::MAX));
        self.ops.audit.write(&Record {
            at: self.now,
            caller: self.caller,
            action,
            subjects,
            change,
            revision,
        });
        self.ops.changed.notify_one();
    }

    /// Removes the faults whose ttl is over; when to look again.
    fn expire(&mut self) -> Option<Instant> {
        let (gone, next) = self.state.writer.expire(self.now.instant);
        if !gone.is_empty() {
            let caller = std::mem::replace(&mut self.caller, Caller::of("clock"));
            self.done("fault.expire", gone, Value::Null);
            self.caller = caller;
        }
        next
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // What the next one changes is on behalf of the next one.
        self.state.writer.on_behalf_of(None);
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
        let state = State {
            writer,
            locked_until: None,
            stopping: false,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            gateway,
            audit,
            changed: Notify::new(),
            fault_changes: metrics.counter(names::CONTROL_FAULT_CHANGES, &[]),
            revision: metrics.gauge(names::CONTROL_REVISION, &[]),
        }))
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
            }
        }
    }

    /// To look at.
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the store is whole, so a panic elsewhere leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To change, with what has expired out of the way.
    fn change(&self, caller: Caller) -> Change<'_> {
        let mut state = self.state();
        state.writer.on_behalf_of(caller.origin);
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

/// The time of a call.
fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}
