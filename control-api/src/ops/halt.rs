//! The red button, and the end of the process.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{EndReason, Ops};
use crate::audit::Caller;

/// Longer than any process takes to end.
const DRAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Ops {
    /// Removes every fault at once, letting go what they hold. The ids that are gone.
    ///
    /// With `rearm_after`, nothing may be armed for so long, and zero lifts a lock; without it a lock that is in force
    /// stays.
    #[must_use]
    pub fn halt(&self, rearm_after: Option<Duration>, caller: Caller) -> Vec<String> {
        let mut change = self.change(caller);
        if let Some(rearm_after) = rearm_after {
            change.state.locked_until = Some(Instant::now() + rearm_after);
        }
        let until = rearm_after.and(change.state.locked_until);
        let removed = change.remove_where(EndReason::Halted, |_, _| true);
        change.state.writer.halt_callers(until);
        let lock = match rearm_after {
            Some(span) => json!({ "rearm_after": brownout_fault::units::show_duration(span) }),
            None => Value::Null,
        };
        change.done("halt", removed.clone(), lock);
        drop(change);
        tracing::warn!(by = caller.by, ?removed, "halted");
        removed
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state().stopping
    }

    /// Removes every fault, letting go what they hold, and refuses to arm any other: the process is about to end, and
    /// its last requests shall not be held up. The ids that are gone.
    #[must_use]
    pub fn disarm_for_good(&self) -> Vec<String> {
        let mut change = self.change(Caller::of("shutdown"));
        change.state.stopping = true;
        let gone = change.remove_where(EndReason::Shutdown, |_, _| true);
        let writer = &change.state.writer;
        writer.halt_callers(Some(change.now.instant + DRAIN_MAX));
        change.done("fault.remove", gone.clone(), Value::Null);
        gone
    }
}
