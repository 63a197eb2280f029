//! Who changes what is armed, and how many changes there were.

use super::FaultWriter;
use crate::origin::Origin;

impl FaultWriter {
    /// Says on whose behalf faults are armed and changed from now on.
    pub fn on_behalf_of(&mut self, origin: Option<Origin>) -> &mut Self {
        self.origin = origin;
        self
    }

    /// The number of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
