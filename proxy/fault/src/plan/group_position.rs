//! The position of a fault in its group.

use std::time::Instant;

use crate::schedule::GroupIndex;

/// The position of a fault in its group, which shares one schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupPosition {
    pub(super) index: GroupIndex,
    /// The moment from which its schedule counts: its own start, or the earliest of its group.
    pub(super) begin: Instant,
}
