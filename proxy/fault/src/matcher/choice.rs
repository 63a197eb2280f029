//! How a fault chooses its requests, as a word.

use super::MatchSpec;
use crate::probability::Percent;

/// How a fault chooses its requests; of several ways, the first of this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A member of W3C Baggage.
    Baggage,
    /// A header field.
    Header,
    /// Anything else that its `match` asks for.
    Request,
    /// Chance.
    Percent,
    /// Not at all: it acts on every request of its routes.
    All,
}

impl Choice {
    pub(crate) fn of(matching: &MatchSpec, percent: Percent) -> Self {
        if !matching.baggage.is_empty() {
            Self::Baggage
        } else if !matching.header.is_empty() {
            Self::Header
        } else if *matching != MatchSpec::default() {
            Self::Request
        } else if percent != Percent::ALL {
            Self::Percent
        } else {
            Self::All
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baggage => "baggage",
            Self::Header => "header",
            Self::Request => "request",
            Self::Percent => "percent",
            Self::All => "all",
        }
    }
}
