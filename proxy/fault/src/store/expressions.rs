//! The bound on regular expressions of all faults together.

use super::{FaultWriter, errors::ArmError};
use crate::spec::FaultSpec;

impl FaultWriter {
    /// Checks that `specs` leave the regular expressions of all faults in their bound, `replaced` left out.
    pub(super) fn check_expressions(
        &self,
        replaced: Option<usize>,
        specs: &[FaultSpec],
    ) -> Result<(), ArmError> {
        let armed = self.entries.iter().enumerate();
        let stay = armed.filter(|(at, _)| Some(*at) != replaced);
        let stay = stay.map(|(_, entry)| entry.fault.spec());
        let all = stay.chain(specs).map(|spec| spec.matching.expressions());
        match all.sum() {
            count if count > Self::EXPRESSIONS_MAX => Err(ArmError::TooManyExpressions { count }),
            _ => Ok(()),
        }
    }
}
