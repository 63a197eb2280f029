//! From records of the stock experiments to findings.
//!
//! Each rule says *defect*, *ok*, *undetermined, because …* or *does not apply*: never a guess. What was not tried, a
//! fault that never struck and too few samples are undetermined. A defect that follows from another one is told there.

mod breaker;
mod connections;
mod fallback;
mod retries;
mod timeouts;

#[cfg(test)]
mod tests;

use super::{
    derive::{self, quantile},
    finding::{Finding, FindingId, Outcome},
    join::{JoinedBy, join},
    record::{AttemptRecord, PageRecord},
    scale::Scale,
};

/// What one stock experiment recorded of one dependency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trial {
    /// What was tried, such as `503` or `content-length, fin`, where an experiment has several forms.
    pub form: String,
    /// The caller's pages.
    pub pages: Vec<PageRecord>,
    /// Attempts on the route, open ones included.
    pub attempts: Vec<AttemptRecord>,
    /// Attempts on the second source, where there is one.
    pub second: Vec<AttemptRecord>,
    /// Pages of another endpoint of the client, asked at the same time.
    pub watched: Vec<PageRecord>,
    /// When the fault was armed; 0 without one.
    pub armed: u64,
    /// When it was removed; none if it was there until the end.
    pub removed: Option<u64>,
    /// Until when records were kept.
    pub until: u64,
    /// How often the fault struck; none where there was no fault.
    pub struck: Option<u64>,
    /// Whether this machine was too busy to trust what was measured.
    pub busy: bool,
}

/// The stock experiments of one dependency, as far as they were done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Battery {
    /// S1: slower than usual, below every time-out.
    pub slow_but_fine: Option<Trial>,
    /// S2: one 503 on every third page.
    pub one_503: Option<Trial>,
    /// S3: a reset of a kept connection.
    pub reset_warm: Option<Trial>,
    /// S4: no answer.
    pub hang: Option<Trial>,
    /// S5: no answer to connecting.
    pub hang_at_connect: Option<Trial>,
    /// S6: an answer in small pieces, each in time.
    pub dribble: Option<Trial>,
    /// S7: head and half a body, then nothing.
    pub stall_in_body: Option<Trial>,
    /// S8: one for each status of 4xx.
    pub client_errors: Vec<Trial>,
    /// S9: one for each status with `Retry-After`.
    pub retry_after: Vec<Trial>,
    /// S10: POSTs, one for each kind of failure.
    pub orders: Vec<Trial>,
    /// S11: every call fails with 503, one page at a time.
    pub all_503: Option<Trial>,
    /// S12: load after one failed page.
    pub after_failure: Option<Trial>,
    /// S13: load after one page that hung.
    pub after_hang: Option<Trial>,
    /// S14: a share of calls fails.
    pub partial: Option<Trial>,
    /// The share of S14, in percent.
    pub partial_percent: u32,
    /// S15 and S17: 503 for a while, then none.
    pub outage_503: Option<Trial>,
    /// S16 and S17: resets for a while, then none.
    pub outage_reset: Option<Trial>,
    /// S18: an outage, then slow.
    pub half_open: Option<Trial>,
    /// S19: no answer, under load.
    pub hang_under_load: Option<Trial>,
    /// S20: slow, under load; one for each latency of the sweep, in µs as its form.
    pub slow_under_load: Vec<Trial>,
    /// S21: 404 under load.
    pub storm_404: Option<Trial>,
    /// S22: the caller leaves.
    pub caller_leaves: Option<Trial>,
    /// S23: truncated answers, one for each form of ending.
    pub truncated: Vec<Trial>,
    /// S24: damaged answers.
    pub damaged: Vec<Trial>,
}

/// Everything that can be said of one dependency: each id once, in the order of [`FindingId::ALL`].
#[must_use]
pub fn findings(route: &str, scale: &Scale, battery: &Battery) -> Vec<Finding> {
    let case = Case { scale, battery };
    let mut outcomes = timeouts::outcomes(&case);
    outcomes.extend(retries::outcomes(&case));
    outcomes.extend(connections::outcomes(&case));
    outcomes.extend(breaker::outcomes(&case));
    outcomes.extend(fallback::outcomes(&case));
    let told = FindingId::ALL.iter().map(|id| {
        let found = outcomes.iter().find(|it| it.id == *id).cloned();
        let found = found.unwrap_or_else(|| Outcome::unknown(*id, "no rule looks at it"));
        found.of_route(route)
    });
    told.collect()
}

/// What a rule may look at.
struct Case<'r> {
    scale: &'r Scale,
    battery: &'r Battery,
}

/// A trial that may be judged, or why not.
fn usable(trial: Option<&Trial>) -> Result<&Trial, String> {
    let trial = trial.ok_or("it was not tried")?;
    if trial.busy {
        return Err("the machine was too busy".to_owned());
    }
    if trial.struck == Some(0) {
        return Err("the fault never struck".to_owned());
    }
    if trial.pages.is_empty() {
        return Err("there was no page".to_owned());
    }
    Ok(trial)
}

/// The trials of a list that may be judged, or why there are none.
fn usable_of(trials: &[Trial]) -> Result<Vec<&Trial>, String> {
    let mut good = Vec::new();
    let mut why = "it was not tried".to_owned();
    for trial in trials {
        match usable(Some(trial)) {
            Ok(trial) => good.push(trial),
            Err(reason) => why = reason,
        }
    }
    if good.is_empty() { Err(why) } else { Ok(good) }
}

impl Trial {
    /// The longest page, open ones until the records end.
    fn longest_page(&self) -> u64 {
        let took = self.pages.iter().map(|it| {
            it.duration()
                .unwrap_or(self.until.saturating_sub(it.intended))
        });
        took.max().unwrap_or(0)
    }

    /// Attempts that began in a time.
    fn starts(&self, from: u64, to: u64) -> usize {
        self.attempts
            .iter()
            .filter(|it| (from..to).contains(&it.t_head))
            .count()
    }

    /// Pages that were to be sent in a time.
    fn pages_in(&self, from: u64, to: u64) -> Vec<&PageRecord> {
        self.pages
            .iter()
            .filter(|it| (from..to).contains(&it.intended))
            .collect()
    }

    /// Calls for each page in a time; none without pages.
    fn calls_per_page(&self, from: u64, to: u64) -> Option<f64> {
        let pages = self.pages_in(from, to).len();
        (pages > 0).then(|| self.starts(from, to) as f64 / pages as f64)
    }

    /// The attempts of each page, or that they cannot be told apart.
    fn by_page(&self) -> Result<Vec<(&PageRecord, Vec<&AttemptRecord>)>, String> {
        let joined = join(&self.pages, &self.attempts);
        match joined.by {
            JoinedBy::Id | JoinedBy::Serial => Ok(joined.pages),
            JoinedBy::Totals => {
                Err("pages overlapped, and no id joins attempts to them".to_owned())
            }
        }
    }

    /// Attempts of each logical request: within each page where pages can be told apart, as the next page may ask for
    /// the same; else by fingerprint and time.
    fn chains(&self) -> Vec<derive::Chain<'_>> {
        match self.by_page() {
            Ok(pages) => {
                let chains = pages
                    .into_iter()
                    .flat_map(|(_, attempts)| derive::chains(attempts, u64::MAX));
                chains.collect()
            }
            Err(_) => derive::chains(&self.attempts, derive::CHAIN_GAP_US),
        }
    }

    /// When the fault went away, or the records end.
    fn fault_end(&self) -> u64 {
        self.removed.unwrap_or(self.until)
    }

    /// Calls for each page in the last part of the fault: its last third, so that a breaker had time.
    fn late_calls_per_page(&self) -> Option<f64> {
        let end = self.fault_end();
        let third = end.saturating_sub(self.armed) / 3;
        self.calls_per_page(end - third, end)
    }

    /// Whether calls came back after the fault was removed.
    fn comes_back(&self) -> Option<u64> {
        let removed = self.removed?;
        let after = self
            .attempts
            .iter()
            .map(|it| it.t_head)
            .filter(|it| *it >= removed);
        after.min().map(|first| first - removed)
    }

    /// The longest page's median over the last part of a time.
    fn late_page_p50(&self) -> Option<u64> {
        let end = self.fault_end();
        let third = end.saturating_sub(self.armed) / 3;
        let took: Vec<u64> = self
            .pages_in(end - third, end)
            .iter()
            .filter_map(|it| it.duration())
            .collect();
        quantile(&took, 0.5)
    }

    /// The most attempts in flight at once.
    fn most_in_flight(&self) -> usize {
        let at = self
            .attempts
            .iter()
            .map(|it| derive::open_at(&self.attempts, it.t_head));
        at.max().unwrap_or(0)
    }
}

/// `250ms`, for sentences.
fn time(micros: u64) -> String {
    crate::expectation::Unit::Time.show(micros as f64 / 1e6)
}
