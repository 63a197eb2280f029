//! From records of the stock experiments to findings.
//!
//! Each rule says *defect*, *ok*, *undetermined, because …* or *does not apply*: never a guess. What was not tried, a
//! fault that never struck and too few samples are undetermined. A defect that follows from another one is told there.

mod bodies;
mod breaker;
mod connections;
mod fallback;
mod retries;
mod timeouts;
mod trial;

#[cfg(test)]
mod tests;

pub(crate) use connections::looks_held;
pub(crate) use retries::{GROWTH_WAITS, WAITS_MIN, growth_is_unclear};
pub(crate) use timeouts::gives_up_each;
pub use trial::Trial;

use super::{
    derive::quantile,
    finding::{Finding, FindingId, Outcome},
    scale::{Calm, Scale},
};

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
    /// S4 where each path alone is in time: no answer of any of them.
    pub hang_of_all: Option<Trial>,
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
    /// S27: how many single answers of 503 it took until no call was made; none where calls went on, or it was not tried.
    pub pool_places_503: Option<u64>,
    /// S18: an outage, then slow.
    pub half_open: Option<Trial>,
    /// S19: no answer, under load.
    pub hang_under_load: Option<Trial>,
    /// Whether pages made no call any more long after S19.
    pub lost_after_hangs: bool,
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
    let together = timeouts::together(&Case { scale, battery });
    let worst = whole.into_iter().enumerate().map(|(index, whole)| {
        if let Some(together) = together.as_ref().filter(|it| it.id == whole.id) {
            return together.clone().of_route(route);
        }
        // What a fallback asks for is on another path, and what a page sends may be on one path of several.
        if matches!(
            whole.id,
            FindingId::FallbackSameDependency | FindingId::RetriesPost
        ) {
            return whole;
        }
        let of_paths = each
            .iter()
            .map(|(path, findings)| (*path, &findings[index]));
        // The first of those that are equally bad, and of those one that was seen rather than one that only follows.
        let is_seen = |it: &Finding| it.evidence.as_object().is_some_and(|it| !it.is_empty());
        let worst = of_paths
            .rev()
            .max_by_key(|(_, it)| (it.verdict.badness(), is_seen(it)));
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
    outcomes.extend(bodies::outcomes(&case));
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
    /// How long a page takes whose call hangs.
    fn hang(&self) -> Option<u64> {
        self.battery.hang.first().map(Trial::longest_page)
    }

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
            hang_of_all: self.hang_of_all.clone(),
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
            pool_places_503: self.pool_places_503,
            half_open: one(&self.half_open),
            hang_under_load: one(&self.hang_under_load),
            lost_after_hangs: self.lost_after_hangs,
            slow_under_load: all(&self.slow_under_load),
            storm_404: one(&self.storm_404),
            caller_leaves: all(&self.caller_leaves),
            truncated: own(&self.truncated),
            damaged: own(&self.damaged),
        }
    }
}

/// `250ms`, for sentences.
fn time(micros: u64) -> String {
    crate::expectation::Unit::Time.show(micros as f64 / 1e6)
}
