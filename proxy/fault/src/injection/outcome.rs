//! What became of the faults that matched a request.

/// A fault whose `match` fitted a request or a connection, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered {
    /// The kind's name.
    pub kind: &'static str,
    /// What became of it.
    pub outcome: MatchOutcome,
}

/// What became of a fault that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOutcome {
    /// It acts.
    Injected,
    /// It does not act: its percent, its counts, an earlier ending or the message itself left it nothing to do.
    Skipped,
    /// It does not act: it, or the whole process, holds as many requests as it may.
    Overflow,
}
