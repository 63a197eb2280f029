//! A fault in a plan.

use std::sync::Arc;

use super::{armed::ArmedFault, group_position::GroupPosition, path_prefix::PathPrefix};
use crate::schedule::GroupIndex;

/// A fault in a plan.
#[derive(Debug, Clone)]
pub(crate) struct PlannedFault {
    /// What it is found by: of most faults that a request is not meant for, nothing is looked at.
    pub(super) path_prefix: PathPrefix,
    pub(super) fault: Arc<ArmedFault>,
    pub(super) position: GroupPosition,
}

impl PlannedFault {
    /// All of `faults`, in the same order.
    pub(super) fn all(faults: &[Arc<ArmedFault>]) -> Vec<Self> {
        let planned = faults.iter().map(|fault| Self {
            path_prefix: PathPrefix::of(&fault.spec().matching),
            fault: Arc::clone(fault),
            position: position(fault, faults),
        });
        planned.collect()
    }
}

fn position(fault: &ArmedFault, faults: &[Arc<ArmedFault>]) -> GroupPosition {
    let begin = fault.lifetime().starts_at.instant;
    let Some(group) = &fault.spec().group else {
        return GroupPosition {
            index: GroupIndex::ALONE,
            begin,
        };
    };
    let (mut before, mut members, mut earliest) = (0, 0, begin);
    for other in faults {
        if other.spec().group.as_ref() == Some(group) {
            members += 1;
            before += u64::from(other.id() < fault.id());
            earliest = earliest.min(other.lifetime().starts_at.instant);
        }
    }
    GroupPosition {
        index: GroupIndex {
            index: before,
            of: members,
        },
        begin: earliest,
    }
}
