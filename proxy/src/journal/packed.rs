//! The form in which records are kept: numbers in a fixed form, and texts as bytes beside it.

use std::num::NonZeroU64;

use super::JournalQuery;

/// The numbers of a record. Its texts are kept beside it, one behind the other.
pub(super) trait Packed: Copy {
    /// What readers are given.
    type Record;

    /// The number of its end; records that ended are in this order. 0 while it is in progress.
    fn seq(&self) -> u64;

    /// Whether it is one of those that `query` asks for, whatever its state.
    fn is_asked_for(&self, texts: &[u8], query: &JournalQuery) -> bool;

    fn unpack(&self, texts: &[u8]) -> Self::Record;
}

/// A number that may be missing, in the space of one. The largest number of all counts as the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Maybe(Option<NonZeroU64>);

impl Maybe {
    pub(super) const NONE: Self = Self(None);

    pub(super) const fn of(number: u64) -> Self {
        Self(NonZeroU64::new(number.saturating_add(1)))
    }

    pub(super) fn get(self) -> Option<u64> {
        self.0.map(|number| number.get() - 1)
    }
}

impl From<Option<u64>> for Maybe {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::NONE, Self::of)
    }
}

/// Takes texts one by one from the bytes in which they are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'t>(pub(super) &'t [u8]);

impl<'t> Texts<'t> {
    pub(super) fn take(&mut self, bytes: usize) -> &'t str {
        let (text, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        str::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_may_be_missing_takes_the_space_of_one() {
        assert_eq!(size_of::<Maybe>(), 8);
        for number in [None, Some(0), Some(7), Some(u64::MAX - 1)] {
            assert_eq!(Maybe::from(number).get(), number);
        }
    }
}
