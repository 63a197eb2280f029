//! `nemesis`: a fault is on for a while in each round, at a random time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    read::{Object, Problem, text, unknown},
    roll::{Dice, Roll},
    units::{DURATION_MAX, duration, duration_up_to, show_duration},
};

/// The index of a fault among the faults of its group, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupIndex {
    /// From 0 to `of` - 1.
    pub(crate) index: u64,
    /// The number of faults in the group, at least 1.
    pub(crate) of: u64,
}

impl GroupIndex {
    /// A fault without a group.
    pub(crate) const ALONE: Self = Self { index: 0, of: 1 };
}

/// Turns a fault on for a while in each round, at a time drawn by chance (Jepsen's name for it). In a group it
/// chooses in each round whom it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nemesis {
    /// How long a round is.
    pub every: Duration,
    /// How much later than the round's beginning it may strike.
    pub jitter: Duration,
    /// How long it strikes.
    pub span: Duration,
    /// Whom in a group.
    pub targets: Targets,
}

/// How many of a group a [`Nemesis`] strikes in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// One of them.
    One,
    /// Less than half of them, but at least one.
    Minority,
    /// All of them.
    All,
}

impl Nemesis {
    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["every", "jitter", "for", "targets"])?;
        let every = object
            .optional("every", duration_up_to(DURATION_MAX))?
            .unwrap_or(Duration::from_secs(10));
        let jitter = object.optional("jitter", duration)?.unwrap_or_default();
        let span = object
            .optional("for", duration_up_to(DURATION_MAX))?
            .unwrap_or(every / 2);
        if jitter.saturating_add(span) > every {
            return Err(Problem::here(format!(
                "`jitter` and `for` together are longer than a round ({})",
                show_duration(every)
            )));
        }
        let targets = object.optional("targets", |value| match text(value)? {
            "one" => Ok(Targets::One),
            "minority" => Ok(Targets::Minority),
            "all" => Ok(Targets::All),
            other => {
                let known = ["one", "minority", "all"];
                Err(Problem::here(unknown("choice", other, &known)))
            }
        })?;
        Ok(Self {
            every,
            jitter,
            span,
            targets: targets.unwrap_or(Targets::All),
        })
    }

    pub(crate) fn to_value(self) -> Value {
        let targets = match self.targets {
            Targets::One => "one",
            Targets::Minority => "minority",
            Targets::All => "all",
        };
        json!({
            "every": show_duration(self.every),
            "jitter": show_duration(self.jitter),
            "for": show_duration(self.span),
            "targets": targets,
        })
    }

    pub(crate) fn is_on(self, at: Duration, dice: &Dice, group: GroupIndex) -> bool {
        let round = u64::try_from(at.as_nanos() / self.every.as_nanos()).unwrap_or(u64::MAX);
        let into = at.as_nanos() % self.every.as_nanos();
        let mut roll = dice.side_roll(b"nemesis", round);
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let strikes = u128::from(roll.up_to(jitter));
        if into < strikes || into >= strikes + self.span.as_nanos() {
            return false;
        }
        let struck = match self.targets {
            Targets::All => return true,
            Targets::One => 1,
            Targets::Minority => (group.of.saturating_sub(1) / 2).max(1),
        };
        // Each member computes the same random order of the group; the first ones are hit.
        let lots = |mut roll: Roll| (0..group.of).map(move |_| roll.draw());
        let mine = lots(roll.clone()).nth(usize::try_from(group.index).unwrap_or(0));
        let before = lots(roll).filter(|lot| Some(*lot) < mine).count();
        (before as u64) < struck
    }
}
