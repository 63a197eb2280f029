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
    scale::{Calm, Scale},
};

/// What one stock experiment recorded of one dependency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trial {
    /// What was tried, such as `503` or `content-length, fin`, where an experiment has several forms.
    pub form: String,
    /// The path that alone was struck, where it was one.
    pub path: Option<String>,
    /// How long calls took after the outage of S18.
    pub slow: Option<u64>,
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
    /// Whether the client was well again once nobody had asked for a while, though it was not under load.
    pub back_after_a_pause: bool,
    /// Whether this machine was too busy to trust what was measured.
    pub busy: bool,
}

/// The stock experiments of one dependency, as far as they were done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Battery {
    /// S1: slower than usual, below every time-out.
    pub slow_but_fine: Option<Trial>,
    /// S2: one failure on every third page, one for each kind.
    pub one_failure: Vec<Trial>,
    /// S3: a reset of a kept connection.
    pub reset_warm: Option<Trial>,
    /// S4: no answer, one for each path.
    pub hang: Vec<Trial>,
    /// S5: no answer to connecting.
    pub hang_at_connect: Option<Trial>,
    /// S6: an answer in small pieces, each in time; one for each path.
    pub dribble: Vec<Trial>,
    /// S7: head and half a body, then nothing; one for each path.
    pub stall_in_body: Vec<Trial>,
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
    /// S27: how many single resets it took until no call was made; none where calls went on.
    pub pool_places: Option<u64>,
    /// S18: an outage, then slow.
    pub half_open: Option<Trial>,
    /// S19: no answer, under load.
    pub hang_under_load: Option<Trial>,
    /// S20: slow, under load; one for each latency of the sweep, in µs as its form.
    pub slow_under_load: Vec<Trial>,
    /// S21: 404 under load.
    pub storm_404: Option<Trial>,
    /// S22: the caller leaves, one for each kind of failure.
    pub caller_leaves: Vec<Trial>,
    /// S23: truncated answers, one for each form of ending.
    pub truncated: Vec<Trial>,
    /// S24: damaged answers.
    pub damaged: Vec<Trial>,
}

/// What is said of a dependency of which nothing was seen.
#[must_use]
pub fn unseen(route: &str, why: &str) -> Vec<Finding> {
    let ids = FindingId::ALL.iter();
    ids.map(|id| Outcome::unknown(*id, why).of_route(route))
        .collect()
}

/// What is said of a dependency that pages do not call in calm, by design.
#[must_use]
pub fn not_called(route: &str, why: &str) -> Vec<Finding> {
    let ids = FindingId::ALL.iter();
    ids.map(|id| Outcome::not_applicable(*id, why).of_route(route))
        .collect()
}

/// Everything that can be said of one dependency, each of its paths by itself: of each id what is worst.
///
/// `scale` is that of all paths, with the time-out that was seen; `calm` tells the paths apart.
#[must_use]
pub fn findings_by_path(
    route: &str,
    calm: &Calm,
    scale: &Scale,
    battery: &Battery,
) -> Vec<Finding> {
    let paths: Vec<_> = calm
        .paths
        .iter()
        .filter(|it| !it.scale.background)
        .collect();
    if paths.is_empty() {
        let all = findings(route, scale, battery).into_iter();
        return all.map(|it| it.of_background(NOT_TRIED)).collect();
    }
    let whole = findings(route, scale, battery);
    let each: Vec<(&str, Vec<Finding>)> = paths
        .iter()
        .map(|it| {
            let battery = battery.of_path(&it.path);
            let timeouts: Vec<u64> = battery.hang.iter().flat_map(Trial::own_timeouts).collect();
            let scale = Scale {
                attempt_timeout: quantile(&timeouts, 0.5),
                fallback: scale.fallback.clone(),
                ..it.scale.clone()
            };
            (it.path.as_str(), findings(route, &scale, &battery))
        })
        .collect();
    let worst = whole.into_iter().enumerate().map(|(index, whole)| {
        if whole.id == FindingId::FallbackSameDependency {
            return whole;
        }
        let of_paths = each
            .iter()
            .map(|(path, findings)| (*path, &findings[index]));
        // The first of those that are equally bad.
        let worst = of_paths.rev().max_by_key(|(_, it)| it.verdict.badness());
        let Some((path, finding)) = worst else {
            return whole;
        };
        let mut finding = finding.clone();
        if paths.len() > 1 && finding.verdict == super::Verdict::Defect {
            finding.sentence = format!("calls of {path}: {}", finding.sentence);
            finding.evidence["path"] = path.into();
        }
        finding
    });
    worst.collect()
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
        let found = found.of_route(route);
        // Who never calls again after one failure is not taken through outages.
        match case.never_asks_again() && found.why == NOT_TRIED {
            true => {
                let why = "one failure is enough: sticky-fallback tells it";
                Outcome::not_applicable(*id, why).of_route(route)
            }
            false => found,
        }
    });
    told.collect()
}

/// What a rule may look at.
struct Case<'r> {
    scale: &'r Scale,
    battery: &'r Battery,
}

impl Case<'_> {
    /// Whether one failure was enough for calls to end.
    fn never_asks_again(&self) -> bool {
        usable(self.battery.after_failure.as_ref()).is_ok_and(|it| it.comes_back().is_none())
    }
}

/// Why nothing is said of what no trial was made for.
pub(crate) const NOT_TRIED: &str = "it was not tried";

/// A trial that may be judged, or why not.
fn usable(trial: Option<&Trial>) -> Result<&Trial, String> {
    let trial = trial.ok_or(NOT_TRIED)?;
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
    let mut why = NOT_TRIED.to_owned();
    for trial in trials {
        match usable(Some(trial)) {
            Ok(trial) => good.push(trial),
            Err(reason) => why = reason,
        }
    }
    if good.is_empty() { Err(why) } else { Ok(good) }
}

impl Battery {
    /// The same experiments with the attempts of one path alone; orders are of no path.
    #[must_use]
    fn of_path(&self, path: &str) -> Self {
        let one = |trial: &Option<Trial>| trial.as_ref().map(|it| it.of_path(path));
        let all = |trials: &[Trial]| trials.iter().map(|it| it.of_path(path)).collect();
        let own = |trials: &[Trial]| -> Vec<Trial> {
            let own = trials
                .iter()
                .filter(|it| it.path.as_deref().is_none_or(|it| it == path));
            own.map(|it| it.of_path(path)).collect()
        };
        Self {
            slow_but_fine: one(&self.slow_but_fine),
            one_failure: all(&self.one_failure),
            reset_warm: one(&self.reset_warm),
            hang: own(&self.hang),
            hang_at_connect: self.hang_at_connect.clone(),
            dribble: own(&self.dribble),
            stall_in_body: own(&self.stall_in_body),
            client_errors: own(&self.client_errors),
            retry_after: own(&self.retry_after),
            orders: self.orders.clone(),
            all_503: one(&self.all_503),
            after_failure: one(&self.after_failure),
            after_hang: one(&self.after_hang),
            partial: one(&self.partial),
            partial_percent: self.partial_percent,
            outage_503: one(&self.outage_503),
            outage_reset: one(&self.outage_reset),
            pool_places: self.pool_places,
            half_open: one(&self.half_open),
            hang_under_load: one(&self.hang_under_load),
            slow_under_load: all(&self.slow_under_load),
            storm_404: one(&self.storm_404),
            caller_leaves: all(&self.caller_leaves),
            truncated: all(&self.truncated),
            damaged: all(&self.damaged),
        }
    }
}

impl Trial {
    fn of_path(&self, path: &str) -> Self {
        let mut trial = self.clone();
        trial.attempts.retain(|it| it.path == path);
        trial
    }

    /// Puts another round of the same experiment behind this one.
    pub(crate) fn append(&mut self, mut next: Self) {
        if self.pages.is_empty() {
            *self = next;
            return;
        }
        self.pages.append(&mut next.pages);
        self.attempts.append(&mut next.attempts);
        self.second.append(&mut next.second);
        self.removed = next.removed;
        self.until = next.until;
        self.busy |= next.busy;
        self.struck = match (self.struck, next.struck) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
    }

    /// After how long the client itself ended attempts that got no byte of an answer. Those that ended because the caller
    /// had left are not its own doing.
    pub(crate) fn own_timeouts(&self) -> Vec<u64> {
        /// What a client needs to pass on that its caller has gone.
        const SLACK_US: u64 = 5_000;
        let left = self.pages.iter().filter_map(|it| it.left).min();
        let own = self
            .attempts
            .iter()
            .filter(|it| left.is_none_or(|left| it.ended() < left.saturating_sub(SLACK_US)));
        derive::client_timeouts(own)
    }

    /// The most attempts of one page, as far as they can be told apart; else all of them.
    pub(crate) fn attempts_of_a_page(&self) -> u64 {
        let most = match self.by_page() {
            Ok(pages) => pages.iter().map(|(_, attempts)| attempts.len()).max(),
            Err(_) => Some(self.attempts.len()),
        };
        most.unwrap_or(0).max(1) as u64
    }

    /// Whether an attempt began after its page had ended, or a page did not end.
    pub(crate) fn has_late_starts(&self) -> bool {
        let Ok(pages) = self.by_page() else {
            return true;
        };
        pages.iter().any(|(page, attempts)| {
            let ended = page.ended;
            ended.is_none_or(|ended| attempts.iter().any(|it| it.t_head > ended))
        })
    }

    /// The longest time between the starts of two attempts for one page, in µs.
    pub(crate) fn longest_wait(&self) -> u64 {
        let Ok(pages) = self.by_page() else { return 0 };
        let waits = pages.iter().flat_map(|(_, attempts)| {
            let mut starts: Vec<u64> = attempts.iter().map(|it| it.t_head).collect();
            starts.sort_unstable();
            starts.windows(2).map(|pair| pair[1] - pair[0]).max()
        });
        waits.max().unwrap_or(0)
    }

    /// The longest page, open ones until the records end.
    pub(crate) fn longest_page(&self) -> u64 {
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
    pub(crate) fn chains(&self) -> Vec<derive::Chain<'_>> {
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
    pub(crate) fn late_calls_per_page(&self) -> Option<f64> {
        let end = self.fault_end();
        let third = end.saturating_sub(self.armed) / 3;
        self.calls_per_page(end - third, end)
    }

    /// Whether calls came back as they were after the fault was removed, and when: a second with half of them.
    fn is_as_before(&self, calls_per_page: f64) -> Option<u64> {
        const SECOND_US: u64 = 1_000_000;
        let removed = self.removed?;
        // Where a cache stands in front, one call is all that is needed.
        if calls_per_page < 0.9 {
            return self.comes_back();
        }
        let mut after: Vec<u64> = self
            .attempts
            .iter()
            .map(|it| it.t_head)
            .filter(|it| *it >= removed)
            .collect();
        after.sort_unstable();
        let is_back = |first: &&u64| {
            let to = **first + SECOND_US;
            let pages = self.pages_in(**first, to).len() as f64;
            self.starts(**first, to) as f64 >= (pages * calls_per_page * 0.5).max(1.0)
        };
        after.iter().find(is_back).map(|first| first - removed)
    }

    /// Whether calls came back after the fault was removed.
    pub(crate) fn comes_back(&self) -> Option<u64> {
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
