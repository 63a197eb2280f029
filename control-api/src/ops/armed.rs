//! Faults with what the control plane keeps beside them, and how to name some of them.

use brownout_fault::{FaultSpec, FaultStatus, Moment};
use brownout_wire::{FaultAnswer, FaultTags, FaultTimes};

use super::{Clock, EndReason};

/// A fault at one moment: armed, or as it was when it was removed.
#[derive(Debug, Clone)]
pub struct Armed {
    /// What it is and did.
    pub status: FaultStatus,
    /// Whose it is.
    pub tags: FaultTags,
    /// When it did something.
    pub times: FaultTimes,
    /// When it was removed, if it is armed no more.
    pub removed_at: Option<Moment>,
}

impl Armed {
    /// The same, removed at a moment.
    pub(super) fn removed(self, at: Moment, clock: Clock) -> Self {
        Self {
            times: FaultTimes {
                ended_us: Some(clock.micros(at.instant)),
                ..self.times
            },
            removed_at: Some(at),
            ..self
        }
    }
}

impl From<Armed> for FaultAnswer {
    fn from(armed: Armed) -> Self {
        let answer = Self {
            tags: armed.tags,
            times: Some(armed.times),
            ..armed.status.into()
        };
        match armed.removed_at {
            None => answer,
            Some(at) => answer.has_ended(at, EndReason::Removed.word()),
        }
    }
}

/// Which faults are meant: those for which everything that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// That act on this route, as `*` does.
    pub route: Option<String>,
    /// That have this label.
    pub label: Option<String>,
    /// Of this group.
    pub group: Option<String>,
}

impl Filter {
    /// Whether a fault is meant.
    #[must_use]
    pub fn fits(&self, spec: &FaultSpec, tags: &FaultTags) -> bool {
        let Self {
            route,
            label,
            group,
        } = self;
        route.as_ref().is_none_or(|name| spec.route.include(name))
            && label
                .as_ref()
                .is_none_or(|label| tags.labels.contains(label))
            && group
                .as_ref()
                .is_none_or(|group| spec.group.as_ref() == Some(group))
    }
}

/// What must be so for a change to be made: the conditions of RFC 9110 §13.1, on the revision of a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// `If-Match`: it has one of these.
    pub is: Option<Revisions>,
    /// `If-None-Match`: it has none of these.
    pub is_not: Option<Revisions>,
}

/// Revisions that a condition names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revisions {
    /// Any: whether there is such a fault at all.
    Any,
    /// These.
    Listed(Vec<u64>),
}

impl Revisions {
    fn include(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Listed(listed), Some(current)) => listed.contains(&current),
        }
    }
}

impl Condition {
    /// Whether it holds for the revision of a fault, or for none of that id.
    pub(super) fn holds(&self, current: Option<u64>) -> bool {
        self.is.as_ref().is_none_or(|is| is.include(current))
            && self
                .is_not
                .as_ref()
                .is_none_or(|is_not| !is_not.include(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_as_rfc_9110_has_them() {
        let listed = |revisions: &[u64]| Some(Revisions::Listed(revisions.to_vec()));
        let cases = [
            (Condition::default(), None, true),
            (
                Condition {
                    is: Some(Revisions::Any),
                    is_not: None,
                },
                None,
                false,
            ),
            (
                Condition {
                    is: Some(Revisions::Any),
                    is_not: None,
                },
                Some(3),
                true,
            ),
            (
                Condition {
                    is: listed(&[3, 4]),
                    is_not: None,
                },
                Some(4),
                true,
            ),
            (
                Condition {
                    is: listed(&[3, 4]),
                    is_not: None,
                },
                Some(5),
                false,
            ),
            (
                Condition {
                    is: None,
                    is_not: Some(Revisions::Any),
                },
                None,
                true,
            ),
            (
                Condition {
                    is: None,
                    is_not: Some(Revisions::Any),
                },
                Some(1),
                false,
            ),
            (
                Condition {
                    is: None,
                    is_not: listed(&[1]),
                },
                Some(2),
                true,
            ),
        ];
        for (condition, current, holds) in cases {
            assert_eq!(condition.holds(current), holds, "{condition:?} {current:?}");
        }
    }
}
