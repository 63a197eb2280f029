//! `[retry]`

use std::time::Duration;

use super::{
    ErrorSet, OutcomeSet, Refusal, StatusSet, Written,
    section::{
        Section, boolean, duration, duration_or_none, errors, integer, number, one_of, statuses,
        texts,
    },
    show,
};
use crate::{
    backoff::{Backoff, Growth, Jitter},
    outcome::{ErrorKind, Outcome},
};

const BASE_MAX: Duration = Duration::from_secs(60 * 60);
const METHODS_MAX: usize = 32;

/// `[retry]`: when to try again, and after how long.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// `max_attempts`: how often to try, the first time included. Default 3; from 1 to 100.
    pub max_attempts: u32,
    /// How long to wait before trying again, in six keys:
    ///
    /// | key | default | bounds | |
    /// |---|---|---|---|
    /// | `backoff` | `"fixed"` | `"exponential"` | whether waits grow |
    /// | `base` | `"500ms"` | 0 to 1 h | the first wait, or each one |
    /// | `multiplier` | 1.5 | 1 to 10 | exponential only: from one wait to the next |
    /// | `cap` | `"none"` | `base` to 1 h | exponential only: no wait is longer |
    /// | `jitter` | `"none"` | `"randomized"`, `"full"`, `"equal"`, `"decorrelated"` | see [`Jitter`] |
    /// | `randomized_wait_factor` | 0.5 | 0 to 1 | randomized only |
    pub backoff: Backoff,
    /// `on_status`, `on_error`: what is tried again. Default `["502", "503", "504"]` and
    /// `["connect", "reset", "timeout", "incomplete"]`. A refusal by the breaker is never tried again.
    pub on: OutcomeSet,
    /// `ignore_status`, `ignore_error`: what is not, though it is in the former. Default `[]`.
    pub ignore: OutcomeSet,
    /// `methods`: calls that may be made twice. Default the idempotent methods of RFC 9110 §9.2.2: GET, HEAD, OPTIONS,
    /// TRACE, PUT, DELETE; `"*"` is any. At most 32, compared exactly.
    pub methods: Vec<String>,
    /// `fail_after_max_attempts`: what to give back when the last attempt brought an answer that would be tried again:
    /// that answer, or an error. Default false: the answer.
    pub fail_after_max_attempts: bool,
    /// `honor_retry_after`: whether an answer's `Retry-After` takes the place of the back-off. Default true.
    pub honor_retry_after: bool,
    /// `retry_after_max`: an answer that asks to wait longer is not tried again. Default `"30s"`; from 0 to 1 h.
    pub retry_after_max: Duration,
    /// `[retry.budget]`: how many retries there may be for so many calls. Default none: as many as `max_attempts` says.
    pub budget: Option<BudgetPolicy>,
}

/// `[retry.budget]`: a bound on retries that all calls of a client share, lest retries become the load: every call pays
/// in, every retry draws out, and what is paid in is good for a while. Finagle's budget, as tower carries it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetPolicy {
    /// `ttl`: for how long a call's share may be used. Default `"10s"`; from 1 s to 60 s.
    pub ttl: Duration,
    /// `min_per_sec`: retries a second that need no calls to pay for them. Default 10; up to 100,000.
    pub min_per_sec: u32,
    /// `ratio`: retries for each call. Default 0.2; from 0 to 1000. Shares of a call are whole: 0.3 counts as a third.
    pub ratio: f32,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            min_per_sec: 10,
            ratio: 0.2,
        }
    }
}

impl BudgetPolicy {
    fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let policy = Self {
            ttl: section.get("ttl", duration).unwrap_or(default.ttl),
            min_per_sec: section
                .get("min_per_sec", integer)
                .unwrap_or(default.min_per_sec),
            ratio: section.get("ratio", number).unwrap_or(default.ratio),
        };
        section.finish_with(policy, Self::refusals, &[("percent_can_retry", "ratio")])
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let second = Duration::from_secs(1);
        let found = [
            ("ttl", show::outside(self.ttl, second..=60 * second)),
            ("min_per_sec", show::beyond(self.min_per_sec, 0..=100_000)),
            ("ratio", show::beyond(self.ratio, 0.0..=1000.0)),
        ];
        let found = found.into_iter();
        found.filter_map(|(key, why)| Some((key, why?))).collect()
    }

    fn write(&self, out: &mut Written) {
        out.section("retry.budget");
        out.text("ttl", &show::duration(self.ttl));
        out.plain("min_per_sec", self.min_per_sec);
        out.plain("ratio", format_args!("{:?}", self.ratio));
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff {
                base: Duration::from_millis(500),
                growth: Growth::Fixed,
                jitter: Jitter::None,
            },
            on: OutcomeSet {
                status: StatusSet::known(&["502", "503", "504"]),
                error: ErrorSet::of(&[
                    ErrorKind::Connect,
                    ErrorKind::Reset,
                    ErrorKind::Timeout,
                    ErrorKind::Incomplete,
                ]),
            },
            ignore: OutcomeSet::default(),
            methods: idempotent_methods(),
            fail_after_max_attempts: false,
            honor_retry_after: true,
            retry_after_max: Duration::from_secs(30),
            budget: None,
        }
    }
}

impl RetryPolicy {
    /// Whether a call that came to this is worth another try.
    #[must_use]
    pub fn retries(&self, outcome: Outcome) -> bool {
        self.on.contains(outcome) && !self.ignore.contains(outcome)
    }

    /// Whether calls of this method may be made twice.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        self.methods.iter().any(|it| it == "*" || it == method)
    }

    pub(super) fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let policy = Self {
            max_attempts: section
                .get("max_attempts", integer)
                .unwrap_or(default.max_attempts),
            backoff: read_backoff(&mut section, default.backoff),
            on: OutcomeSet {
                status: section
                    .get("on_status", statuses)
                    .unwrap_or(default.on.status),
                error: section.get("on_error", errors).unwrap_or(default.on.error),
            },
            ignore: OutcomeSet {
                status: section
                    .get("ignore_status", statuses)
                    .unwrap_or(default.ignore.status),
                error: section
                    .get("ignore_error", errors)
                    .unwrap_or(default.ignore.error),
            },
            methods: section.get("methods", texts).unwrap_or(default.methods),
            fail_after_max_attempts: section
                .get("fail_after_max_attempts", boolean)
                .unwrap_or(default.fail_after_max_attempts),
            honor_retry_after: section
                .get("honor_retry_after", boolean)
                .unwrap_or(default.honor_retry_after),
            retry_after_max: section
                .get("retry_after_max", duration)
                .unwrap_or(default.retry_after_max),
            budget: section.protection(
                "budget",
                "retry.budget",
                default.budget,
                BudgetPolicy::read,
            ),
        };
        section.finish_with(policy, Self::refusals, SYNONYMS)
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let mut found = Vec::new();
        let mut note = |key, why: Option<String>| found.extend(why.map(|why| (key, why)));
        note("max_attempts", show::beyond(self.max_attempts, 1..=100));
        let Backoff {
            base,
            growth,
            jitter,
        } = self.backoff;
        note("base", show::outside(base, Duration::ZERO..=BASE_MAX));
        if let Growth::Exponential { multiplier, cap } = growth {
            note("multiplier", show::beyond(multiplier, 1.0..=10.0));
            note(
                "cap",
                cap.and_then(|cap| show::outside(cap, base..=BASE_MAX)),
            );
        }
        if let Jitter::Randomized { factor } = jitter {
            note("randomized_wait_factor", show::beyond(factor, 0.0..=1.0));
        }
        let growing = matches!(growth, Growth::Exponential { .. });
        let shrinking = jitter == Jitter::Decorrelated && !growing;
        note(
            "jitter",
            shrinking.then(|| "decorrelated needs backoff = \"exponential\"".into()),
        );
        note("methods", refuse_methods(&self.methods));
        let longest = self.retry_after_max;
        note(
            "retry_after_max",
            show::outside(longest, Duration::ZERO..=BASE_MAX),
        );
        found
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("retry");
        out.plain("max_attempts", self.max_attempts);
        let Backoff {
            base,
            growth,
            jitter,
        } = self.backoff;
        match growth {
            Growth::Fixed => {
                out.text("backoff", "fixed");
                out.text("base", &show::duration(base));
            }
            Growth::Exponential { multiplier, cap } => {
                out.text("backoff", "exponential");
                out.text("base", &show::duration(base));
                out.plain("multiplier", format_args!("{multiplier:?}"));
                out.text("cap", &show::duration_or_none(cap));
            }
        }
        match jitter {
            Jitter::None => out.text("jitter", "none"),
            Jitter::Randomized { factor } => {
                out.text("jitter", "randomized");
                out.plain("randomized_wait_factor", format_args!("{factor:?}"));
            }
            Jitter::Full => out.text("jitter", "full"),
            Jitter::Equal => out.text("jitter", "equal"),
            Jitter::Decorrelated => out.text("jitter", "decorrelated"),
        }
        out.plain("on_status", show::list(&self.on.status.words()));
        out.plain("on_error", show::list(&self.on.error.words()));
        out.plain("ignore_status", show::list(&self.ignore.status.words()));
        out.plain("ignore_error", show::list(&self.ignore.error.words()));
        out.plain("methods", show::list(&self.methods));
        out.plain("fail_after_max_attempts", self.fail_after_max_attempts);
        out.plain("honor_retry_after", self.honor_retry_after);
        out.text("retry_after_max", &show::duration(self.retry_after_max));
        if let Some(budget) = &self.budget {
            budget.write(out);
        }
    }
}

/// The words of `backoff`: whether waits grow.
const SHAPES: &[(&str, bool)] = &[("fixed", false), ("exponential", true)];

/// The words of `jitter`. The factor of a randomized one has a key of its own.
const JITTERS: &[(&str, Jitter)] = &[
    ("none", Jitter::None),
    ("randomized", Jitter::Randomized { factor: 0.5 }),
    ("full", Jitter::Full),
    ("equal", Jitter::Equal),
    ("decorrelated", Jitter::Decorrelated),
];

fn read_backoff(section: &mut Section<'_, '_>, default: Backoff) -> Backoff {
    let (grew, multiplier, cap) = match default.growth {
        Growth::Fixed => (false, 1.5, None),
        Growth::Exponential { multiplier, cap } => (true, multiplier, cap),
    };
    let growing = section.get("backoff", one_of(SHAPES)).unwrap_or(grew);
    let base = section.get("base", duration).unwrap_or(default.base);
    let multiplier = section.get("multiplier", number).unwrap_or(multiplier);
    let cap = section.get("cap", duration_or_none).unwrap_or(cap);
    let mut jitter = section
        .get("jitter", one_of(JITTERS))
        .unwrap_or(default.jitter);
    let given_factor = section.get("randomized_wait_factor", number);
    match &mut jitter {
        Jitter::Randomized { factor } => *factor = given_factor.unwrap_or(*factor),
        Jitter::None | Jitter::Full | Jitter::Equal | Jitter::Decorrelated => {
            section.without_effect(&["randomized_wait_factor"], "jitter = \"randomized\"");
        }
    }
    let growth = if growing {
        Growth::Exponential { multiplier, cap }
    } else {
        section.without_effect(&["multiplier", "cap"], "backoff = \"exponential\"");
        Growth::Fixed
    };
    Backoff {
        base,
        growth,
        jitter,
    }
}

/// Those of RFC 9110 §9.2.2.
pub(super) fn idempotent_methods() -> Vec<String> {
    ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
        .map(str::to_owned)
        .into()
}

pub(super) fn refuse_methods(methods: &[String]) -> Option<String> {
    let usual = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let odd = |method: &&String| match method.as_str() {
        "*" => false,
        method => method.is_empty() || method.len() > 64 || !method.chars().all(usual),
    };
    if methods.len() > METHODS_MAX {
        return Some(format!(
            "{} methods are more than {METHODS_MAX}",
            methods.len()
        ));
    }
    let odd = methods.iter().find(odd)?;
    Some(format!("`{odd}` is not a method"))
}

/// resilience4j's names.
const SYNONYMS: &[(&str, &str)] = &[
    ("wait_duration", "base"),
    ("initial_interval", "base"),
    ("exponential_backoff_multiplier", "multiplier"),
    ("exponential_max_wait_duration", "cap"),
    ("max_interval", "cap"),
    ("enable_exponential_backoff", "backoff"),
    ("enable_randomized_wait", "jitter"),
    ("retry_exceptions", "on_error"),
    ("ignore_exceptions", "ignore_error"),
];
