//! `[rate_limit]`

use std::time::Duration;

use super::{
    Refusal, Written,
    section::{Section, duration, integer},
    show,
};

/// `[rate_limit]`: how many attempts may start in each period.
///
/// Periods are counted from the making of the client, and each begins with `limit` permits; unused ones are lost. All
/// workers of a client share it. An attempt that a later period can serve within `timeout` reserves its permit and
/// waits; any other is refused at once: nothing is sent, the breaker is not told, and it is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// `limit`: attempts in each period. Default 50; from 1 to 1,000,000.
    pub limit: u32,
    /// `period`: its length. Default `"1s"` (resilience4j: 500 ns, which limits nothing); from 1 ms to 1 h.
    pub period: Duration,
    /// `timeout`: how long an attempt may wait for its permit. Default `"5s"`; from 0 to 1 h.
    pub timeout: Duration,
}

impl Default for RateLimitPolicy {
    fn default() -> Self {
        Self {
            limit: 50,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
        }
    }
}

impl RateLimitPolicy {
    pub(super) fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let policy = Self {
            limit: section.get("limit", integer).unwrap_or(default.limit),
            period: section.get("period", duration).unwrap_or(default.period),
            timeout: section.get("timeout", duration).unwrap_or(default.timeout),
        };
        section.finish_with(policy, Self::refusals, SYNONYMS)
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let (ms, hour) = (Duration::from_millis(1), Duration::from_secs(60 * 60));
        let found = [
            ("limit", show::beyond(self.limit, 1..=1_000_000)),
            ("period", show::outside(self.period, ms..=hour)),
            (
                "timeout",
                show::outside(self.timeout, Duration::ZERO..=hour),
            ),
        ];
        let found = found.into_iter();
        found.filter_map(|(key, why)| Some((key, why?))).collect()
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("rate_limit");
        out.plain("limit", self.limit);
        out.text("period", &show::duration(self.period));
        out.text("timeout", &show::duration(self.timeout));
    }
}

/// resilience4j's names.
const SYNONYMS: &[(&str, &str)] = &[
    ("limit_for_period", "limit"),
    ("limit_refresh_period", "period"),
    ("timeout_duration", "timeout"),
];
