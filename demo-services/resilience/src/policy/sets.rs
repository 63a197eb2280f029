//! Which statuses and which errors a policy means.

use std::{fmt, ops::RangeInclusive};

use thiserror::Error;

use crate::{
    outcome::{ErrorKind, Outcome},
    word::Word as _,
};

const STATUSES: RangeInclusive<u16> = 100..=599;

/// A set of statuses from 100 to 599, written as numbers and classes: `["404", "5xx"]`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusSet {
    bits: [u64; 8],
}

impl StatusSet {
    /// No status.
    pub const NONE: Self = Self { bits: [0; 8] };

    /// The statuses that these words name.
    ///
    /// # Errors
    /// At the first word that is neither a status nor a class.
    pub fn from_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Self, NotAStatus> {
        let mut set = Self::NONE;
        for word in words {
            for status in statuses(word).ok_or_else(|| NotAStatus(word.to_owned()))? {
                let (index, bit) = place(status);
                set.bits[index] |= bit;
            }
        }
        Ok(set)
    }

    /// The statuses that these words name, which are known to name some.
    pub(super) fn known(words: &[&str]) -> Self {
        Self::from_words(words.iter().copied()).expect("these are statuses")
    }

    /// Whether the status is in the set.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        STATUSES.contains(&status) && {
            let (index, bit) = place(status);
            self.bits[index] & bit != 0
        }
    }

    /// The words for this set: whole classes first, then single statuses.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let class = |class: u16| class * 100..class * 100 + 100;
        let whole = |&of: &u16| class(of).all(|status| self.contains(status));
        let classes = (1..=5).filter(whole).map(|of| format!("{of}xx"));
        let single = STATUSES.filter(|status| self.contains(*status) && !whole(&(status / 100)));
        classes
            .chain(single.map(|status| status.to_string()))
            .collect()
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

/// A word that names no statuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is neither a status from 100 to 599 nor a class such as \"5xx\"")]
pub struct NotAStatus(String);

fn statuses(word: &str) -> Option<RangeInclusive<u16>> {
    if let Some(class) = word.strip_suffix("xx") {
        let class = class
            .parse::<u16>()
            .ok()
            .filter(|of| (1..=5).contains(of))?;
        return Some(class * 100..=class * 100 + 99);
    }
    let status = word.parse().ok().filter(|of| STATUSES.contains(of))?;
    word.starts_with(|first: char| first.is_ascii_digit())
        .then_some(status..=status)
}

fn place(status: u16) -> (usize, u64) {
    let at = status - STATUSES.start();
    (usize::from(at / 64), 1 << (at % 64))
}

/// A set of kinds of errors, written as words: `["connect", "timeout"]`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorSet {
    bits: u8,
}

impl ErrorSet {
    /// No kind.
    pub const NONE: Self = Self { bits: 0 };

    /// The given kinds.
    #[must_use]
    pub fn of(kinds: &[ErrorKind]) -> Self {
        let bits = kinds.iter().fold(0, |bits, kind| bits | bit(*kind));
        Self { bits }
    }

    /// Whether the kind is in the set.
    #[must_use]
    pub fn contains(&self, kind: ErrorKind) -> bool {
        self.bits & bit(kind) != 0
    }

    /// The words for this set.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        let inside = ErrorKind::ALL
            .into_iter()
            .filter(|kind| self.contains(*kind));
        inside.map(ErrorKind::word).collect()
    }
}

fn bit(kind: ErrorKind) -> u8 {
    1 << kind as u8
}

impl fmt::Debug for ErrorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

/// A set of outcomes: statuses and errors. A plain success and an ignored outcome are in none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutcomeSet {
    /// The statuses.
    pub status: StatusSet,
    /// The errors.
    pub error: ErrorSet,
}

impl OutcomeSet {
    /// Whether the outcome is in the set.
    #[must_use]
    pub fn contains(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Success | Outcome::Ignored => false,
            Outcome::Status(status) => self.status.contains(status),
            Outcome::Error(kind) => self.error.contains(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_all_its_statuses() {
        let set = StatusSet::from_words(["5xx"]).unwrap();

        assert!(set.contains(500) && set.contains(599));
        assert!(!set.contains(499) && !set.contains(600) && !set.contains(99));
    }

    #[test]
    fn a_set_is_written_in_the_fewest_words() {
        let set = StatusSet::from_words(["503", "404", "4xx", "101"]).unwrap();

        assert_eq!(set.words(), ["4xx", "101", "503"]);
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for word in [
            "", "xx", "6xx", "0xx", "99", "600", "5x", "50x", "-1", "+503",
        ] {
            assert_eq!(
                StatusSet::from_words([word]),
                Err(NotAStatus(word.to_owned()))
            );
        }
    }

    #[test]
    fn an_error_set_holds_what_it_was_given() {
        let set = ErrorSet::of(&[ErrorKind::Timeout, ErrorKind::Connect]);

        assert_eq!(set.words(), ["connect", "timeout"]);
    }
}
