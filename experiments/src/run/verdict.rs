//! How a run ended: the one table of verdicts.

use serde::{Deserialize, Serialize};

use super::event::{Judgement, JudgementKind, JudgementVerdict};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation held, and every fault struck.
    Passed,
    /// An expectation did not hold.
    Failed,
    /// The steady state did not hold; nothing was injected.
    SteadyNotMet,
    /// Too few samples, a fault that never struck, or something that could not be measured.
    Inconclusive,
    /// A guard stopped it; rolled back.
    Halted,
    /// The rollback is incomplete: faults may remain.
    FaultsLeft,
    /// It was interrupted; rolled back.
    Interrupted,
}

impl Verdict {
    /// The exit code of the command.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::SteadyNotMet => 3,
            Self::Inconclusive => 4,
            Self::Halted => 5,
            Self::FaultsLeft => 6,
            Self::Interrupted => 130,
        }
    }

    /// In one word, as a sentence begins.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::SteadyNotMet => "Not started",
            Self::Inconclusive => "Inconclusive",
            Self::Halted => "Halted",
            Self::FaultsLeft => "Faults left",
            Self::Interrupted => "Interrupted",
        }
    }

    /// Which of several verdicts of one command decides its exit code: the highest.
    #[must_use]
    pub const fn priority(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::SteadyNotMet => 1,
            Self::Inconclusive => 2,
            Self::Failed => 3,
            Self::Halted => 4,
            Self::Interrupted => 5,
            Self::FaultsLeft => 6,
        }
    }

    /// What judgements come to, where nothing else ended the run.
    #[must_use]
    pub fn of(judgements: &[Judgement]) -> Self {
        let any = |verdict| judgements.iter().any(|it| it.verdict == verdict);
        if any(JudgementVerdict::Failed) {
            Self::Failed
        } else if any(JudgementVerdict::Inconclusive) {
            Self::Inconclusive
        } else {
            Self::Passed
        }
    }
}

/// How many expectations held without being proven, in words; none where all are.
pub(crate) fn unproven<'j>(judgements: impl IntoIterator<Item = &'j Judgement>) -> Option<String> {
    let mut held = 0;
    let mut unproven = 0;
    for it in judgements {
        if it.kind == JudgementKind::Expectation && it.repetition.is_none() {
            held += usize::from(it.verdict == JudgementVerdict::Passed);
            unproven += usize::from(it.proven == Some(false));
        }
    }
    match (unproven, held) {
        (0, _) => None,
        (1, 1) => Some("it had too few requests to be proven".to_owned()),
        (1, held) => Some(format!("1 of the {held} had too few requests to be proven")),
        (some, held) => Some(format!(
            "{some} of the {held} had too few requests to be proven"
        )),
    }
}
