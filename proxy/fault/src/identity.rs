//! Who an armed fault is: what a request that it acts on carries along.

use std::sync::Arc;

use crate::{counters::FaultCounters, hold::Hold, matcher::Choice, origin::Origin, phase::Phase};

/// One revision of an armed fault, without what it does. Shared with every request that the fault acts on.
#[derive(Debug)]
pub(crate) struct FaultIdentity {
    pub(crate) id: String,
    /// The name of its kind.
    pub(crate) kind: &'static str,
    pub(crate) phase: Phase,
    /// How it chooses its requests.
    pub(crate) choice: Choice,
    /// The value of the header that marks an injected answer; `None` when the fault is stealthy.
    pub(crate) marker: Option<String>,
    /// The number of the change that made this revision.
    pub(crate) revision: u64,
    /// The most injections, if there is a limit.
    pub(crate) limit: Option<u64>,
    /// The call that made this revision, if it is known.
    pub(crate) origin: Option<Origin>,
    pub(crate) counters: Arc<FaultCounters>,
    pub(crate) hold: Arc<Hold>,
}
