//! Why a change of what is armed was refused.

use crate::read::Problem;

/// The most faults that may be armed at a time.
pub(super) const FAULTS_MAX: usize = 1_000;
/// The most regular expressions of all armed faults together.
pub(super) const EXPRESSIONS_MAX: usize = 256;

/// Why nothing was armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// An id is in use, or given twice.
    #[error("the id `{id}` is taken")]
    Taken {
        /// The id.
        id: String,
    },
    /// More faults than the store holds.
    #[error("there may be {max} faults at a time", max = FAULTS_MAX)]
    TooMany,
    /// More regular expressions than all faults together may have.
    #[error(
        "all faults together may have {max} regular expressions, and this makes {count}",
        max = EXPRESSIONS_MAX
    )]
    TooManyExpressions {
        /// How many there would be.
        count: usize,
    },
}

/// Why a fault was not patched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// No fault has that id.
    #[error("no fault has the id `{id}`")]
    Unknown {
        /// The id.
        id: String,
    },
    /// It is not the fault any more that the patch was worked out for.
    #[error("the fault `{id}` was changed meanwhile")]
    Changed {
        /// The id.
        id: String,
    },
    /// The patched fault would make no sense.
    #[error("{}", .0.first().map_or_else(String::new, ToString::to_string))]
    Invalid(Vec<Problem>),
}
