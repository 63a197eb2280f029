//! The scale of the client under test: every bound is taken from it.

use super::{
    derive::{client_timeouts, quantile},
    rules::Trial,
};

/// What is usual for the client. Times in µs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// How long a page may take: told by the user, else 1 s.
    pub budget: u64,
    /// The median of a page in calm.
    pub page_p50: u64,
    /// Its 95th percentile.
    pub page_p95: u64,
    /// The median of a call in calm.
    pub call_p50: u64,
    /// Its 95th percentile.
    pub call_p95: u64,
    /// Calls for each page in calm.
    pub calls_per_page: f64,
    /// How many items a page has in calm, where that is known.
    pub items: Option<u64>,
    /// Whether calls come without pages: a refresher in the background.
    pub background: bool,
    /// After how long the client ends an attempt itself; none where it never did.
    pub attempt_timeout: Option<u64>,
}

impl Scale {
    /// The budget of a page where the user says none.
    pub const BUDGET: u64 = 1_000_000;

    /// Takes the scale from a calm trial and, for the attempt's time-out, from one that hangs. None without a calm page.
    #[must_use]
    pub fn calibrate(budget: u64, calm: &Trial, hang: Option<&Trial>) -> Option<Self> {
        let pages: Vec<u64> = calm
            .pages
            .iter()
            .filter_map(super::PageRecord::duration)
            .collect();
        let calls: Vec<u64> = calm
            .attempts
            .iter()
            .filter(|it| !it.is_open())
            .map(super::AttemptRecord::duration)
            .collect();
        let timeouts = hang
            .map(|it| client_timeouts(&it.attempts))
            .unwrap_or_default();
        let inside = calm.attempts.iter().filter(|attempt| {
            calm.pages.iter().any(|page| {
                let ended = page.ended.unwrap_or(u64::MAX);
                (page.sent..=ended).contains(&attempt.t_head)
            })
        });
        let outside = calm.attempts.len() - inside.count();
        Some(Self {
            budget,
            page_p50: quantile(&pages, 0.5)?,
            page_p95: quantile(&pages, 0.95)?,
            call_p50: quantile(&calls, 0.5).unwrap_or(0),
            call_p95: quantile(&calls, 0.95).unwrap_or(0),
            calls_per_page: calm.attempts.len() as f64 / calm.pages.len() as f64,
            items: calm.pages.iter().filter_map(|it| it.items).max(),
            background: outside * 2 > calm.attempts.len(),
            attempt_timeout: quantile(&timeouts, 0.5),
        })
    }

    /// The longest that a page inside its budget takes: the budget, a tenth for the machine, and a calm page.
    #[must_use]
    pub fn page_limit(&self) -> u64 {
        self.budget + self.budget / 10 + self.page_p95
    }
}
