//! One parameter of a kind.

use super::accepts::Accepts;

/// One parameter of a kind, for reading and for reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    /// The key, as it is written in JSON and TOML.
    pub name: &'static str,
    /// What may stand there, with its unit.
    pub accepts: Accepts,
    /// The value when it is left out, as text; empty when there is none.
    pub default: &'static str,
    /// What it does, as a phrase for the reference and the command line.
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
