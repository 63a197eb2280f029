//! `[adaptive]`

use super::{
    Refusal, Written,
    section::{Section, integer, word},
    show,
};
use crate::word::Word;

/// `[adaptive]`: a bound on attempts under way that finds itself: it grows while answers come as quickly as they ever
/// did, and shrinks when they queue. What is above the bound is shed: refused at once, nothing is sent, the breaker is
/// not told, and it is not tried again.
///
/// All workers of a client share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptivePolicy {
    /// `algorithm`: how the bound is found. Default `"vegas"`, the only one.
    pub algorithm: Algorithm,
    /// `initial`: the bound at the start. Default 20; from `min` to `max`.
    pub initial: u32,
    /// `min`: it is never lower. Default 1; from 1.
    pub min: u32,
    /// `max`: it is never higher. Default 1000; up to 100,000.
    pub max: u32,
}

/// How an adaptive bound is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// After TCP Vegas, as in Netflix's concurrency-limits: by the queue that a longer answer time gives away.
    #[default]
    Vegas,
}

impl Word for Algorithm {
    const WORDS: &'static [(&'static str, Self)] = &[("vegas", Self::Vegas)];
}

impl Default for AdaptivePolicy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Vegas,
            initial: 20,
            min: 1,
            max: 1000,
        }
    }
}

impl AdaptivePolicy {
    pub(super) fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let policy = Self {
            algorithm: section.get("algorithm", word).unwrap_or(default.algorithm),
            initial: section.get("initial", integer).unwrap_or(default.initial),
            min: section.get("min", integer).unwrap_or(default.min),
            max: section.get("max", integer).unwrap_or(default.max),
        };
        section.finish_with(policy, Self::refusals, SYNONYMS)
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        if let Some(why) = show::beyond(self.max, 1..=100_000) {
            return vec![("max", why)];
        }
        if let Some(why) = show::beyond(self.min, 1..=self.max) {
            return vec![("min", why)];
        }
        let initial = show::beyond(self.initial, self.min..=self.max);
        initial.map(|why| ("initial", why)).into_iter().collect()
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("adaptive");
        out.text("algorithm", self.algorithm.word());
        out.plain("initial", self.initial);
        out.plain("min", self.min);
        out.plain("max", self.max);
    }
}

/// concurrency-limits' names.
const SYNONYMS: &[(&str, &str)] = &[
    ("initial_limit", "initial"),
    ("min_limit", "min"),
    ("max_limit", "max"),
    ("max_concurrency", "max"),
];
