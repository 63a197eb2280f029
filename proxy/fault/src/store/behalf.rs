//! Who changes what is armed, and how many changes there were.

use std::ops::{Deref, DerefMut};

use super::FaultWriter;
use crate::origin::Origin;

/// A [`FaultWriter`] for as long as one change is made on behalf of one call.
#[derive(Debug)]
pub struct OnBehalf<'w>(&'w mut FaultWriter);

impl Deref for OnBehalf<'_> {
    type Target = FaultWriter;

    fn deref(&self) -> &FaultWriter {
        self.0
    }
}

impl DerefMut for OnBehalf<'_> {
    fn deref_mut(&mut self) -> &mut FaultWriter {
        self.0
    }
}

impl Drop for OnBehalf<'_> {
    fn drop(&mut self) {
        self.0.origin = None;
    }
}

impl FaultWriter {
    /// Arms and changes faults on behalf of the call `origin`, with what is done to the result. What is changed without it
    /// is on nobody's behalf.
    pub fn on_behalf_of(&mut self, origin: Option<Origin>) -> OnBehalf<'_> {
        self.origin = origin;
        OnBehalf(self)
    }

    /// The number of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
