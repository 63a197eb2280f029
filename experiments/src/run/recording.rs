//! What was seen so far: the load's pages, and what routes counted.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;

use super::{
    control::FaultState,
    event::{HopSummary, SecondOfHop},
    scrape::HopCounters,
};
use crate::{experiment::Asked, sample::ErrorKind};

/// µs.
pub(crate) const SECOND: u64 = 1_000_000;

/// One page of the load. Times in µs since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) number: u64,
    /// When it was to be sent.
    pub(crate) intended: u64,
    pub(crate) sent: u64,
    pub(crate) ended: u64,
    pub(crate) outcome: PageOutcome,
    /// A bit for each predicate that the answer fits; the first is `x-degraded` or what the file says instead.
    pub(crate) fits: u32,
}

/// How a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageOutcome {
    Answered(StatusCode),
    Failed(ErrorKind),
    /// The caller left on purpose.
    Left,
}

impl Page {
    pub(crate) fn latency(&self) -> u64 {
        self.ended.saturating_sub(self.intended)
    }

    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.outcome, PageOutcome::Answered(_))
    }

    /// A whole answer of 2xx.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.outcome, PageOutcome::Answered(status) if status.is_success())
    }

    /// A good answer that fits the first predicate: something is missing in it.
    pub(crate) fn is_fallback(&self) -> bool {
        self.is_answered() && !self.is_error() && self.fits & 1 == 1
    }

    /// A good answer with nothing missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_answered() && !self.is_error() && !self.is_fallback()
    }

    /// No whole answer, or one of 400 and above.
    pub(crate) fn is_error(&self) -> bool {
        match self.outcome {
            PageOutcome::Answered(status) => status.as_u16() >= 400,
            PageOutcome::Failed(_) => true,
            PageOutcome::Left => false,
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self.outcome {
            PageOutcome::Answered(status) => format!("status {}", status.as_u16()),
            PageOutcome::Failed(kind) => kind.word().to_owned(),
            PageOutcome::Left => "left on purpose".to_owned(),
        }
    }
}

impl ErrorKind {
    /// In a word, as reports name it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Incomplete => "incomplete answer",
            Self::Other => "other error",
        }
    }
}

/// A time of the run, in µs: from its begin to before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Span {
    pub(crate) fn has(self, moment: u64) -> bool {
        (self.from..self.to).contains(&moment)
    }

    pub(crate) fn seconds(self) -> f64 {
        self.to.saturating_sub(self.from) as f64 / SECOND as f64
    }
}

/// What a route had counted at a moment.
#[derive(Debug, Clone, Copy)]
struct HopPoint {
    at: u64,
    counters: HopCounters,
}

/// Pages of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct PageLog {
    /// In the order in which they ended.
    pages: Vec<Page>,
    /// When pages that have not ended were to be sent, by their number.
    open: HashMap<u64, u64>,
    /// Pages that had no answer when the load left or what was measured ended: their numbers, and when they were to be sent.
    unfinished: Vec<(u64, u64)>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    load: PageLog,
    watch: PageLog,
    hops: BTreeMap<String, Vec<HopPoint>>,
    /// What faults did when they were looked at last, and when they were first seen to have struck.
    faults: BTreeMap<String, (FaultState, Option<u64>)>,
}

impl PageLog {
    pub(crate) fn begin(&mut self, number: u64, intended: u64) {
        self.open.insert(number, intended);
    }

    pub(crate) fn end(&mut self, page: Page) {
        self.open.remove(&page.number);
        self.pages.push(page);
    }

    /// The load has left: what has no answer will have none.
    pub(crate) fn leave(&mut self) {
        self.unfinished.extend(self.open.drain());
    }

    /// How many pages that were to be sent within a time had no answer when the load left.
    pub(crate) fn unfinished_in(&self, span: Span) -> usize {
        self.unfinished
            .iter()
            .filter(|(_, at)| span.has(*at))
            .count()
    }

    /// Whether pages that were to be sent before `moment` have not ended.
    fn is_waiting_for_pages_before(&self, moment: u64) -> bool {
        self.open.values().any(|intended| *intended < moment)
    }

    /// The pages that were to be sent within a time.
    pub(crate) fn pages_in(&self, span: Span) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(move |it| span.has(it.intended))
    }

    /// The pages that ended since `moment`.
    pub(crate) fn pages_ended_since(&self, moment: u64) -> impl Iterator<Item = &Page> {
        // Pages are told a little later than they ended, and so a little out of order.
        const SLACK: u64 = SECOND;
        let recent = self.pages.iter().rev();
        recent
            .take_while(move |it| it.ended + SLACK >= moment)
            .filter(move |it| it.ended >= moment)
    }

    /// What is measured ends at `end`: pages that ended later are taken for such that had no answer then.
    pub(crate) fn cut(&mut self, end: u64) {
        let later = self.pages.extract_if(.., |it| it.ended > end);
        self.unfinished
            .extend(later.map(|it| (it.number, it.intended)));
    }

    /// These pages over a time.
    pub(crate) fn summary(&self, name: &str, span: Span) -> HopSummary {
        const QUANTILES: [f64; 8] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999];
        let pages: Vec<&Page> = self.pages_in(span).collect();
        let mut latencies: Vec<u64> = answered(&pages);
        latencies.sort_unstable();
        let errors = pages.iter().filter(|it| it.is_error());
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        for page in errors.clone() {
            *kinds.entry(page.describe()).or_default() += 1;
        }
        let degraded = pages
            .iter()
            .filter(|it| it.is_answered() && it.fits & 1 == 1)
            .count();
        let total: u64 = latencies.iter().sum();
        let mut quantiles: Vec<(f64, f64)> = QUANTILES
            .iter()
            .filter_map(|&share| Some((share, millis(ranked(&latencies, share)?))))
            .collect();
        quantiles.extend(latencies.last().map(|longest| (1.0, millis(*longest))));
        HopSummary {
            hop: name.to_owned(),
            is_load: true,
            requests: pages.len() as u64,
            served: Some(pages.iter().filter(|it| it.is_served()).count() as u64),
            unfinished: Some(self.unfinished_in(span) as u64),
            fallback: Some(pages.iter().filter(|it| it.is_fallback()).count() as u64),
            rate: exact(pages.len() as f64 / span.seconds().max(1e-6)),
            error_rate: exact(share(errors.count(), pages.len())),
            degraded_rate: Some(exact(share(degraded, latencies.len()))),
            mean_ms: (!latencies.is_empty())
                .then(|| exact(total as f64 / latencies.len() as f64 / 1_000.0)),
            quantiles,
            errors: kinds.into_iter().collect(),
        }
    }

    /// What ended in one second.
    fn second(&self, name: &str, second: u32, span: Span) -> SecondOfHop {
        let pages: Vec<&Page> = self
            .pages_ended_since(span.from)
            .filter(|it| span.has(it.ended))
            .collect();
        let mut latencies = answered(&pages);
        latencies.sort_unstable();
        let count = |wanted: fn(&Page) -> bool| pages.iter().filter(|it| wanted(it)).count() as f64;
        SecondOfHop {
            hop: name.to_owned(),
            second,
            requests: pages.len() as f64,
            errors: count(Page::is_error),
            degraded: count(Page::is_fallback),
            p50_ms: ranked(&latencies, 0.5).map(millis),
            p99_ms: ranked(&latencies, 0.99).map(millis),
            mean_ms: None,
        }
    }
}

impl Recording {
    pub(crate) fn of(&self, asked: Asked) -> &PageLog {
        match asked {
            Asked::Load => &self.load,
            Asked::Watch => &self.watch,
        }
    }

    pub(crate) fn of_mut(&mut self, asked: Asked) -> &mut PageLog {
        match asked {
            Asked::Load => &mut self.load,
            Asked::Watch => &mut self.watch,
        }
    }

    /// Whether pages that were to be sent before `moment` have not ended.
    pub(crate) fn is_waiting_for_pages_before(&self, moment: u64) -> bool {
        let logs = [&self.load, &self.watch];
        logs.iter().any(|it| it.is_waiting_for_pages_before(moment))
    }

    /// The load's pages that have ended.
    pub(crate) fn all_pages(&self) -> Vec<Page> {
        self.load.pages.clone()
    }

    /// The load's pages that were asked for and have not ended: their numbers, and when they were to be sent.
    pub(crate) fn unfinished_pages(&self) -> Vec<(u64, u64)> {
        let open = self.load.open.iter().map(|(number, at)| (*number, *at));
        open.chain(self.load.unfinished.iter().copied()).collect()
    }

    /// The load's pages that were to be sent within a time.
    pub(crate) fn pages_in(&self, span: Span) -> impl Iterator<Item = &Page> {
        self.load.pages_in(span)
    }

    /// What the proxy says of its faults at a moment.
    pub(crate) fn faults_seen(&mut self, at: u64, states: BTreeMap<String, FaultState>) {
        for (id, state) in states {
            let has_struck = !state.at_listener && state.has_struck();
            let seen = self.faults.entry(id).or_default();
            seen.0 = state;
            if has_struck {
                seen.1.get_or_insert(at);
            }
        }
    }

    pub(crate) fn forget_faults(&mut self) {
        self.faults.clear();
    }

    /// What a fault did when it was looked at last.
    pub(crate) fn fault_seen(&self, id: &str) -> Option<FaultState> {
        self.faults.get(id).map(|(state, _)| state.clone())
    }

    /// The faults that have struck, and when that was first seen.
    pub(crate) fn struck(&self) -> Vec<(String, u64)> {
        let struck = self.faults.iter();
        struck
            .filter_map(|(id, (_, at))| Some((id.clone(), (*at)?)))
            .collect()
    }

    pub(crate) fn counted(&mut self, at: u64, hops: &BTreeMap<String, HopCounters>) {
        for (name, counters) in hops {
            let points = self.hops.entry(name.clone()).or_default();
            let place = points.partition_point(|it| it.at <= at);
            let counters = *counters;
            points.insert(place, HopPoint { at, counters });
        }
    }

    /// The load begins at `at`, and until then nobody called: what the next look finds came after it.
    pub(crate) fn load_begins(&mut self, at: u64) {
        for points in self.hops.values_mut() {
            let place = points.partition_point(|it| it.at <= at);
            if let Some(before) = place.checked_sub(1) {
                let counters = points[before].counters;
                points.insert(place, HopPoint { at, counters });
            }
        }
    }

    /// What a route counted within a time; between two looks it is taken to be even.
    pub(crate) fn hop_in(&self, route: &str, span: Span) -> Option<HopCounters> {
        let points = self.hops.get(route)?;
        let (from, to) = (at(points, span.from)?, at(points, span.to)?);
        Some(HopCounters {
            requests: to.requests - from.requests,
            ended: to.ended - from.ended,
            errors: to.errors - from.errors,
            latency_sum: to.latency_sum - from.latency_sum,
            latency_count: to.latency_count - from.latency_count,
        })
    }

    /// The routes that were counted.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &str> {
        self.hops.keys().map(String::as_str)
    }

    /// A route over a time.
    pub(crate) fn route_summary(&self, route: &str, span: Span) -> Option<HopSummary> {
        let counted = self.hop_in(route, span)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count that is not negative"
        )]
        let requests = counted.requests.max(0.0).round() as u64;
        Some(HopSummary {
            hop: route.to_owned(),
            is_load: false,
            requests,
            rate: exact(counted.requests / span.seconds().max(1e-6)),
            error_rate: exact(ratio(counted.errors, counted.ended)),
            mean_ms: (counted.latency_count > 0.0)
                .then(|| exact(counted.latency_sum / counted.latency_count * 1_000.0)),
            ..HopSummary::default()
        })
    }

    /// What ended in one second: of each of `asked` by its name, and of each of `routes`.
    pub(crate) fn second(
        &self,
        second: u32,
        asked: &[(Asked, &str)],
        routes: &[String],
    ) -> Vec<SecondOfHop> {
        let from = u64::from(second) * SECOND;
        let span = Span {
            from,
            to: from + SECOND,
        };
        let pages = asked.iter();
        let mut all: Vec<SecondOfHop> = pages
            .map(|(asked, name)| self.of(*asked).second(name, second, span))
            .collect();
        let is_asked = |route: &&String| asked.iter().any(|(_, name)| name == route);
        for route in routes.iter().filter(|it| !is_asked(it)) {
            let Some(counted) = self.hop_in(route, span) else {
                continue;
            };
            all.push(SecondOfHop {
                hop: route.clone(),
                second,
                requests: tidy(counted.ended),
                errors: tidy(counted.errors),
                degraded: 0.0,
                p50_ms: None,
                p99_ms: None,
                mean_ms: (counted.latency_count >= 0.5)
                    .then(|| tidy(counted.latency_sum / counted.latency_count * 1_000.0)),
            });
        }
        all
    }
}

/// How long pages with a whole answer took, in µs.
pub(crate) fn answered(pages: &[&Page]) -> Vec<u64> {
    let answered = pages.iter().filter(|it| it.is_answered());
    answered.map(|it| it.latency()).collect()
}

/// A quantile of sorted values by the nearest rank.
pub(crate) fn ranked(sorted: &[u64], share: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank lies between 0 and the length"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

pub(crate) fn share(part: usize, whole: usize) -> f64 {
    ratio(part as f64, whole as f64)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// A number with so few digits that it is read back from JSON as itself.
pub(crate) fn exact(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn tidy(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What was counted at a moment; before the first look nothing had been, after the last nothing more.
fn at(points: &[HopPoint], moment: u64) -> Option<HopCounters> {
    let after = points.partition_point(|it| it.at < moment);
    let (before, after) = match (after.checked_sub(1), points.get(after)) {
        (Some(before), Some(after)) => (points[before], *after),
        (None, Some(first)) => return Some(first.counters),
        (_, None) => return points.last().map(|it| it.counters),
    };
    let share = (moment - before.at) as f64 / (after.at - before.at).max(1) as f64;
    let between = |from: f64, to: f64| from + (to - from) * share;
    let (from, to) = (before.counters, after.counters);
    Some(HopCounters {
        requests: between(from.requests, to.requests),
        ended: between(from.ended, to.ended),
        errors: between(from.errors, to.errors),
        latency_sum: between(from.latency_sum, to.latency_sum),
        latency_count: between(from.latency_count, to.latency_count),
    })
}

#[cfg(test)]
pub(crate) mod tests;
