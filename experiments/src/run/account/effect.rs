//! What users saw of an outage, and when.

use super::{Effect, Moment, Seen, breaker::count_of, seconds};
use crate::run::recording::{Page, answered, ranked};

/// The pages that an outage changed, each kind in the order in which they ended.
#[derive(Debug, Default)]
pub(super) struct Affected<'s> {
    failed: Vec<&'s Page>,
    fallback: Vec<&'s Page>,
    slow: Vec<&'s Page>,
    /// Whole pages that took longer than this are slow, in µs.
    slow_limit: u64,
    /// All pages since the fault was on, until the next fault was.
    all: Vec<&'s Page>,
    /// Whether there is a next fault.
    is_followed: bool,
    /// When the last page of the run ended.
    last_ended: u64,
}

/// The pages that ended since the faults of a phase were on, until the next faults were.
///
/// What is a fallback in the steady state tells nothing, and is none of them then.
pub(super) fn affected<'s>(seen: &'s Seen<'_>, index: usize) -> Affected<'s> {
    let phase = &seen.phases[index];
    let (since, until) = (phase.on_from(), seen.after(index).to);
    // A page that was asked for before an earlier fault ended is one of that.
    let asked_from = if index == 0 { 0 } else { since };
    let mut all: Vec<&Page> = seen
        .pages
        .iter()
        .filter(|it| it.ended >= since && (asked_from..until).contains(&it.intended))
        .collect();
    all.sort_by_key(|it| it.ended);
    let calm: Vec<&Page> = seen.steady.map_or_else(Vec::new, |steady| {
        seen.pages_in(steady).map(|(_, it)| it).collect()
    });
    let during: Vec<&Page> = seen.pages_in(phase.span).map(|(_, it)| it).collect();
    let slow_limit = p99(&calm).map_or(u64::MAX, slower_than);
    let is_slower = p99(&during).is_some_and(|it| it > slow_limit);
    let tells = !calm.iter().any(|it| it.is_fallback() && it.ended < since);
    let pick = |wanted: &dyn Fn(&Page) -> bool| -> Vec<&Page> {
        all.iter().copied().filter(|it| wanted(it)).collect()
    };
    Affected {
        failed: pick(&Page::is_error),
        fallback: pick(&|it| tells && it.is_fallback()),
        slow: pick(&|it| is_slower && it.is_whole() && it.latency() > slow_limit),
        slow_limit,
        all,
        is_followed: seen.phases.len() > index + 1,
        last_ended: seen.pages.iter().map(|it| it.ended).max().unwrap_or(0),
    }
}

/// How long a page must take to be slow, where 99 of 100 took no longer than `usual` before.
pub(super) fn slower_than(usual: u64) -> u64 {
    usual * 3 / 2 + 20_000
}

/// The 99th percentile of whole answers, in µs.
pub(super) fn p99(pages: &[&Page]) -> Option<u64> {
    quantile(pages, 0.99)
}

pub(super) fn quantile(pages: &[&Page], share: f64) -> Option<u64> {
    let mut latencies = answered(pages);
    latencies.sort_unstable();
    ranked(&latencies, share)
}

impl Affected<'_> {
    /// From the first of these pages to the last one.
    pub(super) fn effect(&self) -> Option<Effect> {
        let kinds = [&self.failed, &self.fallback, &self.slow];
        let first = kinds.iter().filter_map(|it| it.first()).map(|it| it.ended);
        let last = kinds.iter().filter_map(|it| it.last()).map(|it| it.ended);
        let (from, to) = (first.min()?, last.max()?);
        Some(Effect {
            from_ms: from / 1_000,
            to_ms: to / 1_000,
            failed: self.failed.len() as u64,
            fallback: self.fallback.len() as u64,
            slow: self.slow.len() as u64,
            goes_on: to == self.last_ended,
        })
    }

    /// The first and the last page of each kind.
    pub(super) fn moments(&self, fallback: &str) -> Vec<Moment> {
        let mut moments = Vec::new();
        let since = match self.is_followed {
            true => "between this fault and the next",
            false => "since the fault was on",
        };
        let mut say = |at: u64, what: &str, text: String| {
            moments.push(Moment::new(at, what, text));
        };
        if let Some(first) = self.failed.first() {
            let text = format!("The first page fails: {}.", first.describe());
            say(first.ended, "first_failed_page", text);
        }
        if let [_, .., last] = self.failed[..] {
            let text = format!(
                "The last page fails: {} failed {since}.{}",
                self.failed.len(),
                self.behind(last)
            );
            say(last.ended, "last_failed_page", text);
        }
        if let Some(first) = self.fallback.first() {
            let text = format!("The first fallback page ends (known by {fallback}).");
            say(first.ended, "first_fallback", text);
        }
        if let [_, .., last] = self.fallback[..] {
            let text = format!(
                "The last fallback page ends: it was asked for at {}. {} were fallbacks {since}.{}",
                seconds(last.intended),
                count_of(self.fallback.len(), "page"),
                self.behind(last)
            );
            say(last.ended, "last_fallback", text);
        }
        if let Some(first) = self.slow.first() {
            let text = format!(
                "The first whole page that takes longer than {}: {}.",
                seconds(self.slow_limit),
                seconds(first.latency())
            );
            say(first.ended, "first_slow_page", text);
        }
        if let [_, .., last] = self.slow[..] {
            let text = format!(
                "The last of {} whole pages that take longer than {}.{}",
                self.slow.len(),
                seconds(self.slow_limit),
                self.behind(last)
            );
            say(last.ended, "last_slow_page", text);
        }
        moments
    }

    /// What ended behind a page.
    fn behind(&self, last: &Page) -> String {
        let later = || self.all.iter().filter(|it| it.ended > last.ended);
        let whole = later().filter(|it| it.is_whole()).count();
        let asked = match self.is_followed {
            true => " asked for before the next fault",
            false => "",
        };
        match (later().count(), whole) {
            (0, _) if last.ended == self.last_ended => {
                " It is the last page of the run.".to_owned()
            }
            (0, _) => format!(" It is the last page{asked}."),
            (1, 1) => format!(" The one page{asked} that ends after it is whole."),
            (all, whole) if all == whole => {
                format!(" The {all} pages{asked} that end after it are whole.")
            }
            (all, whole) => {
                format!(" Of the {all} pages{asked} that end after it, {whole} came whole.")
            }
        }
    }
}
