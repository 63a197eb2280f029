//! The fields of a fault that are not those of its kind, as far as a kind looks at them.

use crate::{
    matcher::{MatchSpec, Per},
    probability::Percent,
    read::Problem,
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

impl CommonFields<'_> {
    /// Checks a fault that listening sockets carry out: it sees no request. What it does to connections is `done`;
    /// `instead` is what to write for some of them.
    pub(super) fn check_listener(&self, done: &str, instead: &str) -> Result<(), Problem> {
        let refused = |key: &str, detail: String| Err(Problem::at(key, detail));
        if self.percent != Percent::ALL {
            let detail =
                format!("a listener does it to all or to none; below 100 write \"{instead}\"");
            return refused("percent", detail);
        }
        let unseen = format!("no request is seen when connections {done}");
        if !self.matching.is_empty() {
            return refused("match", format!("{unseen}; write \"{instead}\""));
        }
        if *self.per != Per::Request {
            return refused("per", unseen);
        }
        let counts = [
            ("skip_first", self.skip_first > 0),
            ("every", self.every > 1),
            ("limit", self.limit.is_some()),
            ("burst", matches!(self.burst, Some(Burst::Matches { .. }))),
        ];
        match counts.iter().find(|(_, given)| *given) {
            Some((key, _)) => refused(
                key,
                format!("nothing can be counted when connections {done}"),
            ),
            None => Ok(()),
        }
    }
}
