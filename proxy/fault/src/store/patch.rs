//! A change of a fault, as a JSON merge patch (RFC 7396).

use std::sync::Arc;

use serde_json::Value;

use super::{FaultStatus, FaultWriter, PatchError};
use crate::{
    hold::Hold,
    merge::merge,
    plan::{ArmedFault, Arming},
    read::{Problem, expected},
    schedule::{Lifetime, Moment},
    spec::FaultSpec,
};

/// What a patch starts from: a fault as it was at a moment.
#[derive(Debug, Clone)]
pub struct PatchBase {
    id: String,
    spec: FaultSpec,
    revision: u64,
    begun: bool,
}

/// A fault as a patch makes it, not armed yet.
#[derive(Debug, Clone)]
pub struct PatchedFault {
    id: String,
    spec: FaultSpec,
    /// Of the fault that was patched.
    revision: u64,
}

impl PatchBase {
    /// Works a JSON merge patch (RFC 7396) out. Takes long where there are many expressions to compile, and needs no writer.
    ///
    /// # Errors
    /// When what comes out makes no sense.
    pub fn patched(self, patch: &Value) -> Result<PatchedFault, Vec<Problem>> {
        let spec = patched(&self.spec, &self.id, patch, self.begun)?;
        Ok(PatchedFault {
            id: self.id,
            spec,
            revision: self.revision,
        })
    }
}

impl PatchedFault {
    /// What comes out.
    #[must_use]
    pub fn spec(&self) -> &FaultSpec {
        &self.spec
    }
}

impl FaultWriter {
    /// Changes the fault `id` by a JSON merge patch (RFC 7396), validated as a whole.
    ///
    /// Counters go on. `start` and `ttl` keep counting from arming unless the patch names them, then they count
    /// from now. Requests held under other parameters of the kind are released.
    ///
    /// # Errors
    /// When no fault has that id, or what comes out makes no sense; nothing is changed then.
    pub fn patch(
        &mut self,
        id: &str,
        patch: &Value,
        now: Moment,
    ) -> Result<FaultStatus, PatchError> {
        let base = self.patch_base(id, now)?;
        let patched = base.patched(patch).map_err(PatchError::Invalid)?;
        self.apply_patch(patched, patch, now)
    }

    /// What a patch of the fault `id` starts from. Whoever shares the writer works the patch out without it, and then
    /// [applies](Self::apply_patch) it.
    ///
    /// # Errors
    /// When no fault has that id.
    pub fn patch_base(&mut self, id: &str, now: Moment) -> Result<PatchBase, PatchError> {
        self.forget_expired(now.instant);
        let at = self
            .find(id)
            .ok_or_else(|| PatchError::Unknown { id: id.to_owned() })?;
        let old = &self.entries[at].fault;
        Ok(PatchBase {
            id: id.to_owned(),
            spec: old.spec().clone(),
            revision: old.revision(),
            begun: now.instant >= old.lifetime().starts_at.instant,
        })
    }

    /// Puts a patched fault in place of the one that it was made from. `patch` is what it was patched with.
    ///
    /// # Errors
    /// As [`patch`](Self::patch), and when the fault has changed since.
    pub fn apply_patch(
        &mut self,
        patched: PatchedFault,
        patch: &Value,
        now: Moment,
    ) -> Result<FaultStatus, PatchError> {
        self.forget_expired(now.instant);
        let PatchedFault { id, spec, revision } = patched;
        let Some(at) = self.find(&id) else {
            return Err(PatchError::Unknown { id });
        };
        let old = Arc::clone(&self.entries[at].fault);
        if old.revision() != revision {
            return Err(PatchError::Changed { id });
        }
        if let Err(error) = self.check_expressions(Some(at), std::slice::from_ref(&spec)) {
            let problem = Problem::at("match", error.to_string());
            return Err(PatchError::Invalid(vec![problem]));
        }

        let fresh = Lifetime::new(now, spec.start, spec.ttl);
        let lifetime = Lifetime {
            starts_at: if patch.get("start").is_some() {
                fresh.starts_at
            } else {
                old.lifetime().starts_at
            },
            expires_at: if patch.get("ttl").is_some() {
                fresh.expires_at
            } else {
                old.lifetime().expires_at
            },
        };
        if let Some(end) = lifetime.expires_at
            && lifetime.starts_at.instant >= end.instant
        {
            let detail = "it would begin after its end, which counts from when it was named last";
            return Err(PatchError::Invalid(vec![Problem::at(
                "start",
                detail.to_owned(),
            )]));
        }
        self.revision += 1;
        let same_kind = spec.fault == old.spec().fault;
        let hold = if same_kind {
            Arc::clone(old.hold())
        } else {
            Hold::new(Arc::clone(old.counters()), Arc::clone(&self.held))
        };
        let arming = Arming {
            id,
            kind: same_kind.then(|| Arc::clone(old.armed_kind())),
            seed: self.seed,
            lifetime,
            counters: Arc::clone(old.counters()),
            hold,
            revision: self.revision,
            origin: self.origin,
        };
        self.entries[at].fault = Arc::new(ArmedFault::new(spec, arming));
        self.publish();
        if !same_kind {
            old.hold().release();
        }
        Ok(self.entries[at].status(now.instant))
    }
}

/// The spec after a merge patch. The id stays. A `start` that is over and not named is no longer held against the `ttl`.
fn patched(
    spec: &FaultSpec,
    id: &str,
    patch: &Value,
    begun: bool,
) -> Result<FaultSpec, Vec<Problem>> {
    if !patch.is_object() {
        return Err(vec![expected("an object", patch)]);
    }
    if patch.get("id").is_some_and(|named| named != id) {
        return Err(vec![Problem::at(
            "id",
            format!("cannot be changed; it is `{id}`"),
        )]);
    }
    let mut value = spec.to_value();
    if begun && patch.get("start").is_none() {
        value["start"] = "0s".into();
    }
    merge(&mut value, patch);
    FaultSpec::read(&value)
}
