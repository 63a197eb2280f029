//! `[hedge]`

use std::time::Duration;

use toml::de::DeValue;

use super::{
    Refusal, Written,
    retry::{idempotent_methods, refuse_methods},
    section::{Section, duration, integer, number, texts},
    show,
};

/// `[hedge]`: when to send a second request although the first may still be answered, and take what comes first.
///
/// A hedge is part of its attempt: it shares the attempt's time and counts as one outcome with it. The first good
/// answer wins and the rest are dropped. A failure sends the next one at once; an answer that asks to wait ends the
/// hedging. Only calls that may be made twice are hedged.
#[derive(Debug, Clone, PartialEq)]
pub struct HedgePolicy {
    /// `after`: how long to wait for an answer before the next is sent. Default `"2s"`; from 1 ms to 1 h.
    pub after: Duration,
    /// `percentile`: wait as long as this share of the last good answers took, once there are 100 of them; until then
    /// `after`. Default `"none"`; above 0, below 100.
    pub percentile: Option<f64>,
    /// `max`: requests of one attempt, the first included. Default 2; from 2 to 10.
    pub max: u32,
    /// `budget`: hedges for each attempt, over the last 10 s, shared by all calls of the client. Default 0.05; from 0 to
    /// 1.
    pub budget: f32,
    /// `min_per_sec`: hedges a second that the budget always permits. Default 1; up to 1000.
    pub min_per_sec: u32,
    /// `methods`: calls that may be made twice. Default and form as for `[retry]`.
    pub methods: Vec<String>,
}

impl Default for HedgePolicy {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(2),
            percentile: None,
            max: 2,
            budget: 0.05,
            min_per_sec: 1,
            methods: idempotent_methods(),
        }
    }
}

impl HedgePolicy {
    /// Whether calls of this method may be made twice.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        self.methods.iter().any(|it| it == "*" || it == method)
    }

    pub(super) fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let policy = Self {
            after: section.get("after", duration).unwrap_or(default.after),
            percentile: section
                .get("percentile", number_or_none)
                .unwrap_or(default.percentile),
            max: section.get("max", integer).unwrap_or(default.max),
            budget: section.get("budget", number).unwrap_or(default.budget),
            min_per_sec: section
                .get("min_per_sec", integer)
                .unwrap_or(default.min_per_sec),
            methods: section.get("methods", texts).unwrap_or(default.methods),
        };
        section.finish_with(policy, Self::refusals, SYNONYMS)
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let (ms, hour) = (Duration::from_millis(1), Duration::from_secs(60 * 60));
        let share = |share: f64| {
            let inside = share > 0.0 && share < 100.0;
            (!inside).then(|| format!("{share:?} is not above 0 and below 100"))
        };
        let found = [
            ("after", show::outside(self.after, ms..=hour)),
            ("percentile", self.percentile.and_then(share)),
            ("max", show::beyond(self.max, 2..=10)),
            ("budget", show::beyond(self.budget, 0.0..=1.0)),
            ("min_per_sec", show::beyond(self.min_per_sec, 0..=1000)),
            ("methods", refuse_methods(&self.methods)),
        ];
        let found = found.into_iter();
        found.filter_map(|(key, why)| Some((key, why?))).collect()
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("hedge");
        out.text("after", &show::duration(self.after));
        match self.percentile {
            Some(percentile) => out.plain("percentile", format_args!("{percentile:?}")),
            None => out.text("percentile", "none"),
        }
        out.plain("max", self.max);
        out.plain("budget", format_args!("{:?}", self.budget));
        out.plain("min_per_sec", self.min_per_sec);
        out.plain("methods", show::list(&self.methods));
    }
}

fn number_or_none(value: &DeValue<'_>) -> Result<Option<f64>, String> {
    match value.as_str() {
        Some("none") => Ok(None),
        _ => number(value).map(Some),
    }
}

/// Polly's names.
const SYNONYMS: &[(&str, &str)] = &[("delay", "after"), ("max_hedged_attempts", "max")];
