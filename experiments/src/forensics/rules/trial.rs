//! What one experiment recorded, and what is counted of it.

use crate::forensics::{
    derive::{self, quantile},
    join::{JoinedBy, join},
    record::{AttemptRecord, PageRecord},
    scale::Scale,
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
    /// Attempts at the other paths, where this is of one path.
    pub others: Vec<AttemptRecord>,
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

impl Trial {
    pub(super) fn of_path(&self, path: &str) -> Self {
        self.of_paths(|it| it == path)
    }

    /// The same with attempts at the paths of which `keep` says so.
    pub(crate) fn of_paths(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut trial = self.clone();
        let attempts = std::mem::take(&mut trial.attempts).into_iter();
        (trial.attempts, trial.others) = attempts.partition(|it| keep(&it.path));
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

    /// The longest attempt, open ones as long as they were seen.
    pub(super) fn longest_attempt(&self) -> u64 {
        let took = self.attempts.iter().map(AttemptRecord::duration);
        took.max().unwrap_or(0)
    }

    /// Attempts that began in a time.
    pub(super) fn starts(&self, from: u64, to: u64) -> usize {
        self.attempts
            .iter()
            .filter(|it| (from..to).contains(&it.t_head))
            .count()
    }

    /// Pages that were to be sent in a time.
    pub(super) fn pages_in(&self, from: u64, to: u64) -> Vec<&PageRecord> {
        self.pages
            .iter()
            .filter(|it| (from..to).contains(&it.intended))
            .collect()
    }

    /// Calls for each page in a time; none without pages.
    pub(super) fn calls_per_page(&self, from: u64, to: u64) -> Option<f64> {
        let pages = self.pages_in(from, to).len();
        (pages > 0).then(|| self.starts(from, to) as f64 / pages as f64)
    }

    /// The attempts of each page, or that they cannot be told apart.
    pub(super) fn by_page(&self) -> Result<Vec<(&PageRecord, Vec<&AttemptRecord>)>, String> {
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
    pub(super) fn fault_end(&self) -> u64 {
        self.removed.unwrap_or(self.until)
    }

    /// Calls for each page in the last part of the fault: its last third, so that a breaker had time.
    pub(crate) fn late_calls_per_page(&self) -> Option<f64> {
        self.calls_per_page(self.late(), self.fault_end())
    }

    /// Whether calls came back as they were after the fault was removed, and when: a second with half of them.
    pub(super) fn is_as_before(&self, calls_per_page: f64) -> Option<u64> {
        const SECOND_US: u64 = 1_000_000;
        let removed = self.removed?;
        // Where a cache stands in front, one call is all that is needed.
        if calls_per_page < Scale::EACH_PAGE {
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

    /// Where the last third of the fault's time begins, so that a breaker had time.
    pub(super) fn late(&self) -> u64 {
        let end = self.fault_end();
        end - end.saturating_sub(self.armed) / 3
    }

    /// How long pages waited, since the fault was removed, though none of them called.
    pub(crate) fn waits_without_call_after(&self, scale: &Scale, hang: Option<u64>) -> Option<u64> {
        let from = self.removed?;
        match self.comes_back() {
            None => self.waits_without_call(scale, hang, from, self.until),
            Some(_) => None,
        }
    }

    /// How long pages of a time waited though none of them called, as they do for a place in a pool; the median, in µs. None where calls
    /// were made, pages were good, or they were answered at once, as by a breaker that is open.
    ///
    /// A second source that is asked takes its time as well: nothing is said then.
    ///
    /// `hang` is how long a page takes whose call hangs, for a client that does not close what timed out.
    pub(super) fn waits_without_call(
        &self,
        scale: &Scale,
        hang: Option<u64>,
        from: u64,
        to: u64,
    ) -> Option<u64> {
        const PAGES_MIN: usize = 10;
        const SHORTEST_US: u64 = 50_000;
        if self.second.iter().any(|it| (from..to).contains(&it.t_head)) {
            return None;
        }
        let timeout = scale.attempt_timeout.or(hang)?.min(scale.budget);
        let least = (scale.page_p95 * 3).max(SHORTEST_US).max(timeout / 2);
        // What is asked at the end is not waited for to its end.
        let pages = self.pages_in(from, to.saturating_sub(least));
        let calls = self.starts(from, to);
        let good = pages.iter().filter(|it| it.is_whole()).count();
        if pages.len() < PAGES_MIN || (calls + good) * 20 > pages.len() {
            return None;
        }
        let took = pages.iter().map(|it| {
            let end = it.ended.or(it.left).unwrap_or(self.until);
            end.saturating_sub(it.intended)
        });
        quantile(&took.collect::<Vec<_>>(), 0.5).filter(|it| *it >= least)
    }

    /// The longest page's median over the last part of a time; pages that did not end count as far as they were seen.
    pub(super) fn late_page_p50(&self) -> Option<u64> {
        let took: Vec<u64> = self
            .pages_in(self.late(), self.fault_end())
            .iter()
            .map(|it| {
                let end = it.ended.or(it.left).unwrap_or(self.until);
                end.saturating_sub(it.intended)
            })
            .collect();
        quantile(&took, 0.5)
    }

    /// The most attempts in flight at once. One that has just begun does not count beside one that is just ending: of a call that a client
    /// gives up the end is seen after the beginning of the next.
    pub(super) fn most_in_flight(&self) -> usize {
        const HANDOVER_US: u64 = 20_000;
        let at = self
            .attempts
            .iter()
            .map(|it| derive::open_at(&self.attempts, it.t_head + HANDOVER_US));
        at.max().unwrap_or(0)
    }
}
