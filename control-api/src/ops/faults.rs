//! Arming, changing and removing faults.

use brownout_fault::{FaultSpec, FaultStatus, FaultWriter, PatchError, read::Problem};
use serde_json::{Value, json};

use super::{OpError, Ops, now};
use crate::audit::Caller;

impl Ops {
    /// Reads a fault as it is written: every problem with it, unknown routes among them.
    ///
    /// # Errors
    /// All problems.
    pub fn read_fault(&self, value: &Value) -> Result<FaultSpec, Vec<Problem>> {
        let spec = FaultSpec::read(value).map_err(|mut problems| {
            problems.extend(self.unknown_routes(value));
            problems
        })?;
        let problems = self.unfit_routes(&spec);
        if problems.is_empty() {
            Ok(spec)
        } else {
            Err(problems)
        }
    }

    /// All faults, in the order of creation.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultStatus> {
        self.state().writer.statuses(now().instant).collect()
    }

    /// One fault.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn fault(&self, id: &str) -> Result<FaultStatus, OpError> {
        let status = self.state().writer.status(id, now().instant);
        status.ok_or_else(|| OpError::NoFault(id.to_owned()))
    }

    /// Arms all of these faults, or none.
    ///
    /// # Errors
    /// When an id is taken or given twice, a route is not there or cannot carry a fault, there would be too many
    /// faults, arming is locked, or the process is about to end.
    pub fn arm(&self, specs: Vec<FaultSpec>, caller: Caller) -> Result<Vec<FaultStatus>, OpError> {
        if specs.len() > FaultWriter::FAULTS_MAX {
            return Err(OpError::TooMany(too_many(specs.len())));
        }
        let shown: Vec<Value> = specs.iter().map(FaultSpec::to_value).collect();
        let armed = {
            let mut change = self.change(caller);
            change.state.check_may_arm(change.now)?;
            if let Some(unfit) = specs.iter().position(|spec| !self.0.fits(spec)) {
                drop(change);
                return Err(self.gone_meanwhile(&specs[unfit]));
            }
            let now = change.now;
            let armed = change.state.writer.arm(specs, now)?;
            let ids = armed.iter().map(|fault| fault.id.clone()).collect();
            change.done("fault.arm", ids, Value::Array(shown));
            armed
        };
        Ok(armed)
    }

    /// Arms a fault under an id, in place of the one that has it. Whether it is new.
    ///
    /// # Errors
    /// As [`arm`](Self::arm), but that the id may be taken.
    pub fn put(
        &self,
        id: &str,
        spec: FaultSpec,
        caller: Caller,
    ) -> Result<(FaultStatus, bool), OpError> {
        let shown = spec.to_value();
        let mut change = self.change(caller);
        change.state.check_may_arm(change.now)?;
        if !self.0.fits(&spec) {
            drop(change);
            return Err(self.gone_meanwhile(&spec));
        }
        let now = change.now;
        let (status, is_new) = change.state.writer.put(id, spec, now)?;
        change.done("fault.put", vec![id.to_owned()], shown);
        Ok((status, is_new))
    }

    /// Changes a fault by a JSON merge patch (RFC 7396), validated as a whole.
    ///
    /// # Errors
    /// When there is no such fault, what comes out makes no sense, arming is locked, or the process is about to end.
    pub fn patch(&self, id: &str, patch: &Value, caller: Caller) -> Result<FaultStatus, OpError> {
        // What a fault names was there when it was armed; that a route has gone since is no mistake of this patch.
        let names_routes = patch.get("route").is_some();
        let mut unfit = None;
        let patched = {
            let mut change = self.change(caller);
            change.state.check_may_arm(change.now)?;
            let now = change.now;
            let patched = change.state.writer.patch_if(id, patch, now, |spec| {
                if !names_routes || self.0.fits(spec) {
                    return Vec::new();
                }
                unfit = Some(spec.clone());
                vec![Problem::at("route", "does not fit")]
            });
            if patched.is_ok() {
                change.done("fault.patch", vec![id.to_owned()], patch.clone());
            }
            patched
        };
        match (patched, unfit) {
            (Ok(status), _) => Ok(status),
            (Err(PatchError::Unknown { id }), _) => Err(OpError::NoFault(id)),
            (Err(PatchError::Invalid(_)), Some(spec)) => Err(self.gone_meanwhile(&spec)),
            (Err(PatchError::Invalid(mut problems)), None) => {
                problems.extend(self.unknown_routes(patch));
                Err(OpError::Invalid(problems))
            }
        }
    }

    /// Removes a fault, letting go what it holds. What it had done by then.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn remove(&self, id: &str, caller: Caller) -> Result<FaultStatus, OpError> {
        let mut change = self.change(caller);
        let now = change.now.instant;
        let last = change.state.writer.status(id, now);
        let last = last.ok_or_else(|| OpError::NoFault(id.to_owned()))?;
        change.state.writer.remove(id, now);
        change.done("fault.remove", vec![id.to_owned()], Value::Null);
        Ok(last)
    }

    /// Removes every fault, letting go what they hold. The ids that are gone.
    #[must_use]
    pub fn clear(&self, caller: Caller) -> Vec<String> {
        let mut change = self.change(caller);
        let gone = change.state.writer.clear();
        change.done("fault.remove", gone.clone(), json!("all"));
        gone
    }

    /// What is to be said of a fault whose routes are not those it was read with.
    fn gone_meanwhile(&self, spec: &FaultSpec) -> OpError {
        let problems = self.unfit_routes(spec);
        if problems.is_empty() {
            // And back again.
            let detail = "changed while the fault was armed; try again";
            return OpError::invalid(Problem::at("route", detail));
        }
        OpError::Invalid(problems)
    }
}

fn too_many(count: usize) -> String {
    let max = FaultWriter::FAULTS_MAX;
    format!("there may be {max} faults at a time; these are {count}")
}
