//! The fields of a fault that are not those of its kind, as far as a kind looks at them.

use crate::{
    matcher::{MatchSpec, Per},
    probability::Percent,
    schedule::Burst,
};

/// Fields that every fault has, borrowed from its spec for [`FaultKind::check`](super::FaultKind::check).
#[derive(Debug, Clone, Copy)]
pub struct CommonFields<'a> {
    /// The share of matching requests that is hit.
    pub percent: Percent,
    /// Which requests it is meant for.
    pub matching: &'a MatchSpec,
    /// What a draw belongs to.
    pub per: &'a Per,
    /// The number of matches that pass first.
    pub skip_first: u64,
    /// Then one match in this many is taken, at least 1.
    pub every: u64,
    /// The most injections, if there is a limit.
    pub limit: Option<u64>,
    /// Random bursts, if there are any.
    pub burst: Option<Burst>,
}
