//! `[fallback]`

use super::{
    StatusSet, Written,
    section::{Section, statuses, word},
    show,
};
use crate::word::Word;

/// `[fallback]`: what to answer when there is no answer.
///
/// Errors, timeouts and refusals by the breaker always fall back, if the call brings something to fall back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackPolicy {
    /// `kind`: what takes the answer's place. Default `"empty"`.
    pub kind: FallbackKind,
    /// `on_status`: statuses that count as no answer. Default `["5xx"]`.
    pub on_status: StatusSet,
}

/// What takes the answer's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FallbackKind {
    /// What the caller calls empty: no recommendations, for instance.
    #[default]
    Empty,
    /// What another upstream answers, which the caller asks then.
    Upstream,
}

impl Word for FallbackKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("empty", Self::Empty), ("upstream", Self::Upstream)];
}

impl Default for FallbackPolicy {
    fn default() -> Self {
        Self {
            kind: FallbackKind::default(),
            on_status: StatusSet::known(&["5xx"]),
        }
    }
}

impl FallbackPolicy {
    pub(super) fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let policy = Self {
            kind: section.get("kind", word).unwrap_or(default.kind),
            on_status: section
                .get("on_status", statuses)
                .unwrap_or(default.on_status),
        };
        section.finish_with(policy, |_| Vec::new(), &[])
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("fallback");
        out.text("kind", self.kind.word());
        out.plain("on_status", show::list(&self.on_status.words()));
    }
}
