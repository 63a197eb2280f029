//! Measures of single attempts, from the journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Found, Measured, Told, View, plain, shown};
use crate::{
    expectation::{EvidenceMeasure, Unit},
    experiment::Asked,
    forensics::{
        AttemptRecord,
        derive::{self, CHAIN_GAP_US, Chain},
    },
    run::{
        recording::{Page, PageOutcome, Span, share},
        serial::{SerialPage, SerialPages},
    },
};

/// A silence of this length is one.
const SILENCE_US: u64 = 400_000;
/// Starts within this time of the first are a burst.
const BURST_US: u64 = 150_000;

impl View<'_> {
    /// The attempts on a route that began in the time that is judged.
    fn attempts(&self, hop: &str) -> Result<Vec<AttemptRecord>, String> {
        let journal = self.journal.map_err(ToString::to_string)?;
        if journal.lost > 0 {
            return Err(format!(
                "{} records were lost: the journal is too small",
                journal.lost
            ));
        }
        let here = journal.attempts.iter();
        let here = here.filter(|it| it.route == hop && self.span.has(it.t_head));
        Ok(here.cloned().collect())
    }

    /// Attempts of each logical request, where they can be told apart: by their page, or by what they ask for.
    fn chains<'a>(
        &self,
        attempts: &'a [AttemptRecord],
        gap: u64,
    ) -> Result<Vec<Chain<'a>>, String> {
        let kinds: BTreeSet<&str> = attempts.iter().map(|it| it.fingerprint.as_str()).collect();
        match self.chains_of_pages(attempts, gap) {
            Err(_) if kinds.len() > 1 && kinds.len() * 4 >= attempts.len() => {
                Ok(derive::chains(attempts, gap))
            }
            told => told,
        }
    }

    /// Attempts of each logical request of one page: by an id that the client passes on, or because pages came one at a time.
    fn chains_of_pages<'a>(
        &self,
        attempts: &'a [AttemptRecord],
        gap: u64,
    ) -> Result<Vec<Chain<'a>>, String> {
        let named = attempts.iter().filter(|it| it.page_id().is_some()).count();
        if named * 2 >= attempts.len() {
            return Ok(derive::chains(attempts, gap));
        }
        let pages = self.serial_pages().map_err(|why| {
            format!(
                "{why}, and the client passes no traceparent or x-request-id on: use a serial load with enough patience, and no watch"
            )
        })?;
        let mut of_pages: BTreeMap<_, Vec<&AttemptRecord>> = BTreeMap::new();
        for attempt in attempts {
            let page = pages.at(attempt.t_head).map(|it| it.number);
            of_pages.entry(page).or_default().push(attempt);
        }
        let of_pages = of_pages.into_values();
        Ok(of_pages.flat_map(|it| derive::chains(it, gap)).collect())
    }

    /// The pages of the time that is judged, and those from before that were still waited for in it.
    fn serial_pages(&self) -> Result<SerialPages, &'static str> {
        let watched = self.recording.of(Asked::Watch);
        if watched.pages_in(self.span).next().is_some() {
            return Err("the watched endpoint may cause calls as well");
        }
        let until = Span {
            from: 0,
            ..self.span
        };
        let ended = self.recording.pages_in(until);
        let ended = ended.filter(|it| it.ended >= self.span.from);
        let cut_off = self.recording.unfinished_pages().into_iter();
        let cut_off = cut_off.filter(|(_, at)| until.has(*at));
        let cut_off = cut_off.map(|(number, at)| SerialPage::cut_off(number, at));
        SerialPages::of(ended.map(SerialPage::from).chain(cut_off))
    }

    pub(super) fn evidence(&self, hop: &str, measure: EvidenceMeasure) -> Result<Measured, String> {
        use EvidenceMeasure as E;
        let attempts = self.attempts(hop)?;
        let chains = || self.chains(&attempts, CHAIN_GAP_US);
        let seconds = |micros: Option<u64>| micros.map_or(f64::NAN, |it| it as f64 / 1e6);
        let none = |what: &str| Err(format!("there was {what}"));
        Ok(match measure {
            E::AttemptLatency(quantile) => {
                let ended = attempts.iter().filter(|it| !it.is_open());
                let took: Vec<u64> = ended.map(AttemptRecord::duration).collect();
                if took.is_empty() {
                    return none("no attempt that ended");
                }
                plain(
                    seconds(derive::quantile(&took, quantile.0)),
                    took.len() as u64,
                )
            }
            E::Amplification => match derive::amplification(&chains()?) {
                Some(value) => plain(value, chains()?.len() as u64),
                None => return none("no attempt"),
            },
            // Two pages may ask for the same: only a repeat for one page comes too early.
            E::RetryAfterHonoured => {
                match derive::early_returns(&self.chains_of_pages(&attempts, CHAIN_GAP_US)?, 0) {
                    (_, 0) => return none("no attempt that was told to wait"),
                    (early, told) => Measured {
                        value: share(told - early, told),
                        samples: told as u64,
                        hits: Some((told - early) as u64),
                    },
                }
            }
            E::RetryGap(quantile) => {
                let gaps = derive::all_gaps(&chains()?);
                if gaps.is_empty() {
                    return none("no retry");
                }
                plain(
                    seconds(derive::quantile(&gaps, quantile.0)),
                    gaps.len() as u64,
                )
            }
            E::RetrySpread => {
                let gaps = derive::gaps(&chains()?, 1);
                match derive::middle_spread(&gaps) {
                    Some(spread) if gaps.len() >= 12 => plain(spread, gaps.len() as u64),
                    _ => {
                        return Err(format!(
                            "{} waits are fewer than the 12 that it needs",
                            gaps.len()
                        ));
                    }
                }
            }
            E::ClientTimeout => {
                let ended = derive::client_timeouts(&attempts);
                if ended.is_empty() {
                    return none("no attempt that the client ended");
                }
                plain(seconds(derive::quantile(&ended, 0.5)), ended.len() as u64)
            }
            E::OpenAfter(after) => {
                let after = super::micros(after);
                let longer = derive::open_longer(&attempts, after);
                let young = attempts.iter().filter(|it| it.is_open()).count();
                if longer == 0 && young > 0 {
                    return Err(format!(
                        "{young} of {} attempts were still open when they were looked at, and not for so long yet",
                        attempts.len()
                    ));
                }
                plain(longer as f64, attempts.len() as u64)
            }
            E::ReusedAfterError => plain(
                derive::reused_after_error(&attempts) as f64,
                attempts.len() as u64,
            ),
            E::BurstAfterSilence => {
                match derive::burst_after_silence(&attempts, SILENCE_US, BURST_US, 0) {
                    Some(burst) => plain(burst as f64, attempts.len() as u64),
                    None => return none("no silence of 0.4s or longer"),
                }
            }
            E::LastStartAfterLeave => self.last_start_after_leave(&attempts)?,
            E::Backoff => return Err("is compared with a form".to_owned()),
        })
    }

    /// From a caller's leaving to the last attempt before the next page: the longest of all callers that left.
    fn last_start_after_leave(&self, attempts: &[AttemptRecord]) -> Result<Measured, String> {
        let mut pages: Vec<&Page> = self.recording.pages_in(self.span).collect();
        pages.sort_by_key(|it| it.sent);
        if pages.windows(2).any(|pair| pair[0].ended > pair[1].sent) {
            return Err("pages overlap: use a serial load".to_owned());
        }
        let mut latest = None;
        let mut left = 0;
        for (index, page) in pages.iter().enumerate() {
            if page.outcome != PageOutcome::Left {
                continue;
            }
            left += 1;
            let next = pages.get(index + 1).map_or(u64::MAX, |it| it.sent);
            let own = attempts.iter().map(|it| it.t_head);
            let own = own.filter(|at| (page.sent..next).contains(at));
            latest = latest.max(own.max().map(|at| at.saturating_sub(page.ended)));
        }
        if left == 0 {
            return Err("there was no caller that left".to_owned());
        }
        Ok(plain(latest.unwrap_or(0) as f64 / 1e6, left))
    }

    /// Waits that are even from 0 to a bound, which doubles from `base` to `cap`.
    pub(super) fn full_jitter(
        &self,
        hop: &str,
        base: Duration,
        cap: Duration,
    ) -> Result<Found, String> {
        let attempts = self.attempts(hop)?;
        let chains = self.chains(&attempts, CHAIN_GAP_US.max(super::micros(cap) * 2))?;
        let gaps = derive::gaps(&chains, 1);
        let needed = 12;
        let bound = super::micros(base);
        // A wait is longer than it was meant to be by what the machine takes to end it.
        let slack = 25_000;
        let above = gaps.iter().filter(|it| **it > bound + slack).count();
        let spread = derive::middle_spread(&gaps);
        let is_even = spread.is_some_and(|it| it >= 0.5);
        let steps: Vec<Vec<u64>> = (2..=8).map(|step| derive::gaps(&chains, step)).collect();
        let too_long = steps.iter().enumerate().any(|(index, gaps)| {
            let bound = (bound << (index + 1)).min(super::micros(cap)) + slack;
            gaps.iter().any(|it| *it > bound)
        });
        let why = (gaps.len() < needed).then(|| {
            format!(
                "{} waits are fewer than the {needed} that it needs",
                gaps.len()
            )
        });
        let verdict = match (&why, above == 0 && is_even && !too_long) {
            (Some(_), _) => Told::Inconclusive,
            (None, true) => Told::Passed,
            (None, false) => Told::Failed,
        };
        let time = |share: f64| {
            let micros = derive::quantile(&gaps, share);
            micros.map_or_else(|| "none".to_owned(), |it| Unit::Time.show(it as f64 / 1e6))
        };
        Ok(Found {
            verdict,
            observed: format!("first waits {} to {}", time(0.1), time(0.9)),
            expected: format!("even from 0 to {}, at most {}", shown(base), shown(cap)),
            baseline: None,
            margin: None,
            samples: gaps.len() as u64,
            interval: None,
            proven: None,
            why,
        })
    }
}
