//! Arming, changing and removing faults.

use std::collections::HashSet;

use brownout_fault::{FaultSpec, FaultStatus, FaultWriter, PatchError, read::Problem};
use brownout_wire::{FaultDraft, FaultTags};
use serde_json::{Map, Value, json};

use super::{Armed, Change, Condition, EndReason, Filter, OpError, Ops, now};
use crate::audit::Caller;

impl Ops {
    /// Whether faults may still be armed. When the process is about to end its routes are gone, which is no mistake of a
    /// caller that names one.
    ///
    /// # Errors
    /// When it is about to end.
    pub(crate) fn check_runs(&self) -> Result<(), OpError> {
        match self.state().stopping {
            true => Err(OpError::ShuttingDown),
            false => Ok(()),
        }
    }

    /// Reads a fault as it is written: every problem with it, unknown routes among them.
    ///
    /// # Errors
    /// All problems.
    pub fn read_fault(&self, value: &Value) -> Result<FaultDraft, Vec<Problem>> {
        let draft = FaultDraft::read(value).map_err(|mut problems| {
            problems.extend(self.unknown_routes(value));
            problems
        })?;
        let problems = self.unfit_routes(&draft.spec);
        if problems.is_empty() {
            Ok(draft)
        } else {
            Err(problems)
        }
    }

    /// The faults that are meant, in the order of creation.
    #[must_use]
    pub fn faults(&self, filter: &Filter) -> Vec<Armed> {
        let state = self.state();
        let armed = state.writer.statuses(now().instant);
        let armed = armed.map(|status| state.tagged(status));
        armed
            .filter(|armed| filter.fits(&armed.status.spec, &armed.tags))
            .collect()
    }

    /// One fault.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn fault(&self, id: &str) -> Result<Armed, OpError> {
        let state = self.state();
        let status = state.writer.status(id, now().instant);
        let status = status.ok_or_else(|| OpError::NoFault(id.to_owned()))?;
        Ok(state.tagged(status))
    }

    /// Arms all of these faults, or none.
    ///
    /// # Errors
    /// When an id is taken or given twice, a route or a lease is not there or cannot carry a fault, there would be too
    /// many faults, arming is locked, or the process is about to end.
    pub fn arm(&self, drafts: Vec<FaultDraft>, caller: Caller) -> Result<Vec<Armed>, OpError> {
        let shown = match self.0.audit.is_taken() {
            true => drafts.iter().map(FaultDraft::to_value).collect(),
            false => Value::Null,
        };
        let (specs, tags): (Vec<FaultSpec>, Vec<FaultTags>) = drafts
            .into_iter()
            .map(|draft| (draft.spec, draft.tags))
            .unzip();
        let mut change = self.change(caller);
        change.state.check_may_arm(change.now)?;
        for (index, tags) in tags.iter().enumerate() {
            let checked = change.state.check_lease(tags);
            checked.map_err(|error| placed(error, index, specs.len()))?;
        }
        if let Some(unfit) = specs.iter().position(|spec| !self.0.fits(spec)) {
            drop(change);
            return Err(placed(
                self.gone_meanwhile(&specs[unfit]),
                unfit,
                specs.len(),
            ));
        }
        let now = change.now;
        let origin = caller.origin;
        let armed = change.state.writer.on_behalf_of(origin).arm(specs, now)?;
        let mut all = Vec::with_capacity(armed.len());
        for (status, tags) in armed.into_iter().zip(tags) {
            change.keep_tags(&status.id, tags.clone());
            all.push(change.state.armed(status, tags));
        }
        let ids = all.iter().map(|armed| armed.status.id.clone()).collect();
        change.done("fault.arm", ids, shown);
        Ok(all)
    }

    /// Whether [`arm`](Self::arm) would arm all of these faults now. Changes nothing.
    ///
    /// # Errors
    /// As `arm`.
    pub fn try_arm(&self, drafts: &[FaultDraft]) -> Result<(), OpError> {
        let armed: HashSet<String> = {
            let state = self.state();
            state.check_may_arm(now())?;
            for (index, draft) in drafts.iter().enumerate() {
                let checked = state.check_lease(&draft.tags);
                checked.map_err(|error| placed(error, index, drafts.len()))?;
            }
            let armed = state.writer.statuses(now().instant);
            armed.map(|status| status.id).collect()
        };
        if armed.len() + drafts.len() > FaultWriter::FAULTS_MAX {
            return Err(brownout_fault::ArmError::TooMany.into());
        }
        let mut given = HashSet::new();
        for id in drafts.iter().filter_map(|draft| draft.spec.id.as_ref()) {
            if armed.contains(id) || !given.insert(id) {
                return Err(brownout_fault::ArmError::Taken { id: id.clone() }.into());
            }
        }
        Ok(())
    }

    /// Arms a fault under an id, in place of the one that has it, and says whether it is new. A fault that is the same
    /// already goes on as it is, with its counters and its time: the call may be repeated.
    ///
    /// # Errors
    /// As [`arm`](Self::arm), but that the id may be taken; and when `condition` does not hold.
    pub fn put(
        &self,
        id: &str,
        draft: FaultDraft,
        condition: &Condition,
        caller: Caller,
    ) -> Result<(Armed, bool), OpError> {
        let shown = draft.to_value();
        let FaultDraft { mut spec, tags } = draft;
        spec.id = Some(id.to_owned());
        let mut change = self.change(caller);
        change.state.check_may_arm(change.now)?;
        let current = change.current(id, condition)?;
        change.check_is_no_toxic(id)?;
        change.state.check_lease(&tags)?;
        if !self.0.fits(&spec) {
            drop(change);
            return Err(self.gone_meanwhile(&spec));
        }
        if let Some(status) = current
            && status.spec == spec
            && change.state.tags.get(id).cloned().unwrap_or_default() == tags
        {
            return Ok((change.state.armed(status, tags), false));
        }
        let (status, is_new) = change.put_fault(id, spec)?;
        change.keep_tags(id, tags.clone());
        change.done("fault.put", vec![id.to_owned()], shown);
        Ok((change.state.armed(status, tags), is_new))
    }

    /// Changes a fault by a JSON merge patch (RFC 7396), validated as a whole.
    ///
    /// # Errors
    /// When there is no such fault, `condition` does not hold, what comes out makes no sense, arming is locked, or the
    /// process is about to end.
    pub fn patch(
        &self,
        id: &str,
        patch: &Value,
        condition: &Condition,
        caller: Caller,
    ) -> Result<Armed, OpError> {
        /// The fault may be another when the patch is worked out; then it is worked out again.
        const TRIES: usize = 10;
        // What a fault names was there when it was armed; that a route has gone since is no mistake of this patch.
        let names_routes = patch.get("route").is_some();
        let (members, rest) = FaultTags::split(patch);
        for _ in 0..TRIES {
            let base = {
                let mut change = self.change(caller);
                change.check_patch(id, condition, &members)?;
                let now = change.now;
                change.state.writer.patch_base(id, now)
            };
            // Expressions are compiled here, and nobody who wants to halt waits for that.
            let patched = base.and_then(|base| base.patched(&rest).map_err(PatchError::Invalid));
            let patched = patched.map_err(|error| self.unpatched(error, patch))?;

            let mut change = self.change(caller);
            let tags = change.check_patch(id, condition, &members)?;
            if names_routes && !self.0.fits(patched.spec()) {
                drop(change);
                return Err(self.gone_meanwhile(patched.spec()));
            }
            let now = change.now;
            let mut writer = change.state.writer.on_behalf_of(caller.origin);
            let applied = writer.apply_patch(patched, &rest, now);
            drop(writer);
            match applied {
                Ok(status) => {
                    change.keep_tags(id, tags.clone());
                    change.done("fault.patch", vec![id.to_owned()], patch.clone());
                    return Ok(change.state.armed(status, tags));
                }
                Err(PatchError::Changed { .. }) => {}
                Err(error) => {
                    drop(change);
                    return Err(self.unpatched(error, patch));
                }
            }
        }
        Err(OpError::Taken(format!(
            "the fault `{id}` is changed by others all the time; try again"
        )))
    }

    /// What is to be said of a patch that was refused.
    fn unpatched(&self, error: PatchError, patch: &Value) -> OpError {
        match error {
            PatchError::Unknown { id } => OpError::NoFault(id),
            PatchError::Changed { .. } => OpError::Taken(error.to_string()),
            PatchError::Invalid(mut problems) => {
                problems.extend(self.unknown_routes(patch));
                OpError::Invalid(problems)
            }
        }
    }

    /// Removes a fault, letting go what it holds. What it had done by then.
    ///
    /// # Errors
    /// When there is none of that id, or `condition` does not hold.
    pub fn remove(
        &self,
        id: &str,
        condition: &Condition,
        caller: Caller,
    ) -> Result<Armed, OpError> {
        let mut change = self.change(caller);
        let last = change.current(id, condition)?;
        let last = last.ok_or_else(|| OpError::NoFault(id.to_owned()))?;
        let last = change.state.tagged(last);
        change.remove_where(EndReason::Removed, |spec, _| spec.id.as_deref() == Some(id));
        change.done("fault.remove", vec![id.to_owned()], Value::Null);
        Ok(last.removed(change.now, self.clock()))
    }

    /// Removes the faults that are meant, letting go what they hold. What they had done by then.
    #[must_use]
    pub fn clear(&self, filter: &Filter, caller: Caller) -> Vec<Armed> {
        let mut change = self.change(caller);
        let now = change.now.instant;
        let mut last: Vec<Armed> = {
            let state = &change.state;
            let armed = state.writer.statuses(now);
            armed.map(|status| state.tagged(status)).collect()
        };
        last.retain(|armed| filter.fits(&armed.status.spec, &armed.tags));
        let gone = change.remove_where(EndReason::Removed, |spec, tags| filter.fits(spec, tags));
        let shown = match filter {
            Filter {
                route: None,
                label: None,
                group: None,
            } => json!("all"),
            Filter {
                route,
                label,
                group,
            } => json!({ "route": route, "label": label, "group": group }),
        };
        change.done("fault.remove", gone, shown);
        let (now, clock) = (change.now, self.clock());
        last.into_iter().map(|it| it.removed(now, clock)).collect()
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

impl Change<'_> {
    /// Whether a patch of the fault `id` may be made now; what its tags are then.
    fn check_patch(
        &mut self,
        id: &str,
        condition: &Condition,
        members: &Map<String, Value>,
    ) -> Result<FaultTags, OpError> {
        self.state.check_may_arm(self.now)?;
        self.current(id, condition)?;
        self.check_is_no_toxic(id)?;
        let before = self.state.tags.get(id).cloned().unwrap_or_default();
        let tags = before.patched(members).map_err(OpError::Invalid)?;
        if members.contains_key("lease") {
            self.state.check_lease(&tags)?;
        }
        Ok(tags)
    }

    /// A toxic has attributes in other units, which only its own front can keep in step.
    fn check_is_no_toxic(&self, id: &str) -> Result<(), OpError> {
        match self.state.toxics.has(id) {
            false => Ok(()),
            true => Err(OpError::Taken(format!(
                "the fault `{id}` is a toxic; change it at /proxies/PROXY/toxics/TOXIC"
            ))),
        }
    }

    /// The fault of this id, if there is one and `condition` holds.
    fn current(&self, id: &str, condition: &Condition) -> Result<Option<FaultStatus>, OpError> {
        let current = self.state.writer.status(id, self.now.instant);
        let revision = current.as_ref().map(|status| status.revision);
        if condition.holds(revision) {
            return Ok(current);
        }
        Err(OpError::Condition(match revision {
            Some(revision) => {
                format!("the fault `{id}` is \"{revision}\" now, which the condition does not name")
            }
            None => format!("there is no fault `{id}`, and the condition says that there is"),
        }))
    }
}

/// Of one of several faults.
fn placed(error: OpError, index: usize, count: usize) -> OpError {
    match error {
        OpError::Invalid(problems) if count > 1 => {
            let index = index.to_string();
            OpError::Invalid(
                problems
                    .into_iter()
                    .map(|problem| problem.under(&index))
                    .collect(),
            )
        }
        other => other,
    }
}
