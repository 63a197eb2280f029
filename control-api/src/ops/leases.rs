//! Leases: the dead-man switch. A fault with a lease goes when nobody renews that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use brownout_fault::{Moment, read::Problem};
use brownout_wire::{FaultTags, LeaseSpec};
use serde_json::{Value, json};

use super::{Change, EndReason, OpError, Ops, State, now};
use crate::{
    audit::Caller,
    words::{listed, nearest},
};

/// A lease as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: String,
    /// How long it lasts when it is not renewed.
    pub ttl: Duration,
    /// Whose it is.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: Moment,
    /// When it ends if it is not renewed.
    pub expires_at: Moment,
    /// The ids of the faults that end with it, sorted.
    pub faults: Vec<String>,
}

/// All leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_id: BTreeMap<String, Lease>,
    /// How many ids were made.
    made: u64,
}

impl Leases {
    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let ends = self.by_id.values().map(|lease| lease.expires_at.instant);
        ends.min()
    }

    fn take_expired(&mut self, now: Instant) -> Vec<String> {
        let over = |lease: &Lease| lease.expires_at.instant <= now;
        let expired: Vec<String> = self
            .by_id
            .values()
            .filter(|lease| over(lease))
            .map(|lease| lease.id.clone())
            .collect();
        self.by_id.retain(|_, lease| !over(lease));
        expired
    }

    fn make_id(&mut self) -> String {
        loop {
            self.made += 1;
            let id = format!("lease-{}", self.made);
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }
}

impl State {
    /// Refuses a fault whose lease is not there.
    pub(super) fn check_lease(&self, tags: &FaultTags) -> Result<(), OpError> {
        let Some(id) = &tags.lease else {
            return Ok(());
        };
        if self.leases.by_id.contains_key(id) {
            return Ok(());
        }
        let known: Vec<&str> = self.leases.by_id.keys().map(String::as_str).collect();
        let detail = match nearest(id, &known) {
            Some(near) => format!("there is no lease `{id}`; did you mean `{near}`?"),
            None if known.is_empty() => {
                format!("there is no lease `{id}`; make one with POST /leases")
            }
            None => format!("there is no lease `{id}`; there are {}", listed(&known)),
        };
        Err(OpError::invalid(Problem::at("lease", detail)))
    }

    fn shown(&self, lease: &Lease) -> Lease {
        let tagged = self.tags.iter();
        let its = tagged.filter(|(_, tags)| tags.lease.as_ref() == Some(&lease.id));
        let faults: BTreeSet<String> = its.map(|(id, _)| id.clone()).collect();
        Lease {
            faults: faults.into_iter().collect(),
            ..lease.clone()
        }
    }
}

impl Change<'_> {
    /// Ends leases that were not renewed, with their faults.
    pub(super) fn expire_leases(&mut self) {
        let over = self.state.leases.take_expired(self.now.instant);
        for id in over {
            tracing::warn!(lease = id, "a lease was not renewed");
            self.done("lease.expire", vec![id.clone()], Value::Null);
            self.remove_leased(&id);
        }
    }

    fn remove_leased(&mut self, lease: &str) {
        let gone = self.remove_where(EndReason::Lease, |_, tags| {
            tags.lease.as_deref() == Some(lease)
        });
        self.done("fault.remove", gone, json!({ "lease": lease }));
    }
}

impl Ops {
    /// The most leases at a time.
    pub const LEASES_MAX: usize = 1_000;

    /// Makes a lease.
    ///
    /// # Errors
    /// When the id is taken, there are too many, or the process is about to end.
    pub fn add_lease(&self, spec: LeaseSpec, caller: Caller) -> Result<Lease, OpError> {
        let shown = spec.to_value();
        let mut change = self.change(caller);
        if change.state.stopping {
            return Err(OpError::ShuttingDown);
        }
        let now = change.now;
        let leases = &mut change.state.leases;
        if leases.by_id.len() >= Self::LEASES_MAX {
            let max = Self::LEASES_MAX;
            return Err(OpError::TooMany(format!(
                "there may be {max} leases at a time"
            )));
        }
        let id = match spec.id {
            Some(id) if leases.by_id.contains_key(&id) => {
                return Err(OpError::Taken(format!("the lease id `{id}` is taken")));
            }
            Some(id) => id,
            None => leases.make_id(),
        };
        let lease = Lease {
            id: id.clone(),
            ttl: spec.ttl,
            owner: spec.owner,
            created_at: now,
            expires_at: after(now, spec.ttl),
            faults: Vec::new(),
        };
        leases.by_id.insert(id.clone(), lease.clone());
        change.done("lease.add", vec![id], shown);
        Ok(lease)
    }

    /// Renews a lease: its time begins anew, with another length if one is given.
    ///
    /// # Errors
    /// When there is none of that id; it may have ended.
    pub fn renew_lease(
        &self,
        id: &str,
        ttl: Option<Duration>,
        caller: Caller,
    ) -> Result<Lease, OpError> {
        let mut change = self.change(caller);
        let now = change.now;
        let lease = change.state.leases.by_id.get_mut(id);
        let lease = lease.ok_or_else(|| OpError::NoLease(id.to_owned()))?;
        lease.ttl = ttl.unwrap_or(lease.ttl);
        lease.expires_at = after(now, lease.ttl);
        let lease = lease.clone();
        // The end may be nearer than before. No record: this is said every few seconds.
        change.ops.changed.notify_one();
        Ok(change.state.shown(&lease))
    }

    /// Ends a lease, and removes its faults.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn remove_lease(&self, id: &str, caller: Caller) -> Result<(), OpError> {
        let mut change = self.change(caller);
        if change.state.leases.by_id.remove(id).is_none() {
            return Err(OpError::NoLease(id.to_owned()));
        }
        change.done("lease.remove", vec![id.to_owned()], Value::Null);
        change.remove_leased(id);
        Ok(())
    }

    /// All leases, sorted by id.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        let state = self.state();
        let alive = now().instant;
        let leases = state.leases.by_id.values();
        leases
            .filter(|lease| lease.expires_at.instant > alive)
            .map(|lease| state.shown(lease))
            .collect()
    }

    /// One lease.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn lease(&self, id: &str) -> Result<Lease, OpError> {
        let state = self.state();
        let lease = state.leases.by_id.get(id);
        let lease = lease.filter(|lease| lease.expires_at.instant > now().instant);
        let lease = lease.ok_or_else(|| OpError::NoLease(id.to_owned()))?;
        Ok(state.shown(lease))
    }
}

fn after(now: Moment, span: Duration) -> Moment {
    Moment {
        instant: now.instant + span,
        wall: now.wall + span,
    }
}
