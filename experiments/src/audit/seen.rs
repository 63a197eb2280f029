//! What both sides saw of an experiment, as much of it as a report shows.

use brownout_wire::RequestEnd;
use serde::{Deserialize, Serialize};

use crate::forensics::{AttemptRecord, PageRecord, derive::all_gaps, join::join, rules::Trial};

/// Attempts of the page that is shown; more are counted.
const ATTEMPTS_MAX: usize = 16;
/// Waits between attempts; more are left out.
const WAITS_MAX: usize = 64;
/// Steps of the time axis.
const STEPS_MAX: u64 = 60;
/// Fewer pages than this have no time axis.
const PAGES_MIN: usize = 20;

/// What the callers and the proxy saw of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Pages that were served whole.
    pub whole: usize,
    /// Pages that were served, and said that something was missing.
    pub degraded: usize,
    /// Pages that failed, or never ended.
    pub failed: usize,
    /// Pages whose caller left on purpose.
    pub left: usize,
    /// Pages that took longer than the budget, or never ended.
    pub late: usize,
    /// The longest that a page was waited for, in ms.
    pub page_max_ms: f64,
    /// From the end of an attempt to the start of the next for the same, in ms; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_ms: Vec<f64>,
    /// The page with the most attempts; none where attempts cannot be joined to pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemplar: Option<ExemplarPage>,
    /// Pages and calls over time; none of pages that came one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_time: Option<OverTime>,
}

/// One page and its attempts. Times are ms since it was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExemplarPage {
    /// When it ended; none if it did not.
    pub took_ms: Option<f64>,
    /// When its caller left; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<f64>,
    /// The status of the page; `None` if there was no answer.
    pub status: Option<u16>,
    /// Whether it said that something was missing.
    pub degraded: bool,
    /// The `x-request-id` that it carried, by which the service's own logs may be searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Its attempts in the order in which they began, at most 16.
    pub attempts: Vec<ExemplarAttempt>,
    /// Attempts that are left out.
    #[serde(default)]
    pub more: usize,
}

/// One attempt of a page. Times are ms since the page was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExemplarAttempt {
    /// The method of the attempt.
    pub method: String,
    /// The path of the attempt, without the query.
    pub path: String,
    /// When it began, in ms from the beginning of what is shown.
    pub from_ms: f64,
    /// When it ended; when it was looked at, where it had not.
    pub to_ms: f64,
    /// Who ended it: `answered`, `upstream_error`, `fault`, `client_fin`, `client_rst` or `still_open`.
    pub end: AttemptEnding,
    /// The status it got.
    pub status: Option<u16>,
    /// Whether a fault struck it.
    pub struck: bool,
}

/// Who ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnding {
    /// With a whole answer.
    Answered,
    /// The upstream gave no whole answer.
    UpstreamError,
    /// A fault ended it.
    Fault,
    /// The client closed the connection.
    ClientFin,
    /// The client reset the connection.
    ClientRst,
    /// It had not ended when it was looked at.
    StillOpen,
}

/// Pages and calls in steps of time, since the experiment began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverTime {
    /// How long a step is.
    pub step_ms: u64,
    /// When the fault was armed; none without one.
    pub armed_ms: Option<u64>,
    /// When it was removed; none where it was there until the end.
    pub removed_ms: Option<u64>,
    /// The steps of time in order, at most 60.
    pub steps: Vec<Moment>,
}

/// What began in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Calls to the dependency.
    pub calls: usize,
    /// Pages that were served whole.
    pub whole: usize,
    /// Pages that were served by a fallback.
    pub degraded: usize,
    /// Pages without a good answer in this step.
    pub failed: usize,
}

impl Seen {
    /// `began` is when the experiment did; times are µs of one clock.
    pub(super) fn of(trial: &Trial, began: u64, budget: u64, at_a_rate: bool) -> Self {
        let is_late = |page: &&PageRecord| page.left.is_none() && took(page, trial.until) > budget;
        let count = |outcome: Outcome| {
            trial
                .pages
                .iter()
                .filter(|it| Outcome::of(it) == outcome)
                .count()
        };
        let longest = trial.pages.iter().map(|it| took(it, trial.until)).max();
        let waits = all_gaps(&trial.chains()).into_iter().take(WAITS_MAX);
        Self {
            whole: count(Outcome::Whole),
            degraded: count(Outcome::Degraded),
            failed: count(Outcome::Failed),
            left: count(Outcome::Left),
            late: trial.pages.iter().filter(is_late).count(),
            page_max_ms: ms(longest.unwrap_or(0)),
            waits_ms: waits.map(ms).collect(),
            exemplar: exemplar(trial),
            over_time: if at_a_rate {
                over_time(trial, began)
            } else {
                None
            },
        }
    }
}

/// What a caller got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Whole,
    Degraded,
    Failed,
    Left,
}

impl Outcome {
    fn of(page: &PageRecord) -> Self {
        match page {
            page if page.is_whole() => Self::Whole,
            page if page.is_good() => Self::Degraded,
            page if page.left.is_some() && page.status.is_none() => Self::Left,
            _ => Self::Failed,
        }
    }
}

/// How long a page was waited for.
fn took(page: &PageRecord, until: u64) -> u64 {
    let end = page.ended.or(page.left).unwrap_or(until);
    end.saturating_sub(page.intended)
}

/// The page with the most attempts among those that the fault struck, and of these the longest.
fn exemplar(trial: &Trial) -> Option<ExemplarPage> {
    let joined = join(&trial.pages, &trial.attempts);
    let with_calls = joined
        .pages
        .iter()
        .filter(|(_, attempts)| !attempts.is_empty());
    let (page, attempts) = with_calls.max_by_key(|(page, attempts)| {
        let is_struck = attempts.iter().any(|it| !it.faults.is_empty());
        (is_struck, attempts.len(), took(page, trial.until))
    })?;
    let mut sorted = attempts.clone();
    sorted.sort_by_key(|it| (it.t_head, it.number));
    let since = |moment: u64| ms_between(page.sent, moment);
    let shown = sorted
        .iter()
        .take(ATTEMPTS_MAX)
        .map(|it| attempt(it, since));
    Some(ExemplarPage {
        took_ms: page.ended.map(since),
        left_ms: page.left.map(since),
        status: page.status,
        degraded: page.degraded,
        request_id: page.request_id.clone(),
        attempts: shown.collect(),
        more: sorted.len().saturating_sub(ATTEMPTS_MAX),
    })
}

fn attempt(record: &AttemptRecord, since: impl Fn(u64) -> f64) -> ExemplarAttempt {
    ExemplarAttempt {
        method: record.method.clone(),
        path: record.path.clone(),
        from_ms: since(record.t_head),
        to_ms: since(record.ended()),
        end: match record.end {
            RequestEnd::Answered | RequestEnd::BadRequest => AttemptEnding::Answered,
            RequestEnd::UpstreamError => AttemptEnding::UpstreamError,
            RequestEnd::Fault => AttemptEnding::Fault,
            RequestEnd::ClientFin | RequestEnd::ClientLeft => AttemptEnding::ClientFin,
            RequestEnd::ClientRst => AttemptEnding::ClientRst,
            RequestEnd::StillOpen => AttemptEnding::StillOpen,
        },
        status: record.status,
        struck: !record.faults.is_empty(),
    }
}

fn over_time(trial: &Trial, began: u64) -> Option<OverTime> {
    /// No step is shorter.
    const STEP_MIN_MS: u64 = 50;
    let sent = trial.pages.iter().map(|it| it.sent).max()?;
    let length_ms = sent.max(trial.removed.unwrap_or(0)).saturating_sub(began) / 1_000 + 1;
    if trial.pages.len() < PAGES_MIN {
        return None;
    }
    let step_ms = length_ms.div_ceil(STEPS_MAX).max(STEP_MIN_MS);
    let place = |moment: u64| {
        usize::try_from(moment.saturating_sub(began) / 1_000 / step_ms).unwrap_or(usize::MAX)
    };
    let mut steps = vec![Moment::default(); place(began + length_ms * 1_000).saturating_add(1)];
    for page in &trial.pages {
        let Some(step) = steps.get_mut(place(page.sent)) else {
            continue;
        };
        match Outcome::of(page) {
            Outcome::Whole => step.whole += 1,
            Outcome::Degraded => step.degraded += 1,
            Outcome::Failed | Outcome::Left => step.failed += 1,
        }
    }
    for attempt in &trial.attempts {
        if let Some(step) = steps.get_mut(place(attempt.t_head)) {
            step.calls += 1;
        }
    }
    let since = |moment: u64| moment.saturating_sub(began) / 1_000;
    Some(OverTime {
        step_ms,
        armed_ms: (trial.armed > 0).then(|| since(trial.armed)),
        removed_ms: trial.removed.map(since),
        steps,
    })
}

fn ms(micros: u64) -> f64 {
    (micros as f64 / 100.0).round() / 10.0
}

fn ms_between(from: u64, to: u64) -> f64 {
    match to.checked_sub(from) {
        Some(after) => ms(after),
        None => -ms(from - to),
    }
}
