//! One parameter of a kind.

use super::accepts::Accepts;

/// One parameter of a kind, for reading and for reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    /// The key.
    pub name: &'static str,
    /// What may stand there, with its unit.
    pub accepts: Accepts,
    /// What is taken when it is left out.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

impl Param {
    pub(crate) const fn new(
        name: &'static str,
        accepts: Accepts,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            accepts,
            default,
            help,
        }
    }
}
