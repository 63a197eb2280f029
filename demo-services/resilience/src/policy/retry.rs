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
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let methods = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
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
            methods: methods.map(str::to_owned).into(),
            fail_after_max_attempts: false,
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

    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let default = Self::default();
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
                status: section.get("ignore_status", statuses).unwrap_or_default(),
                error: section.get("ignore_error", errors).unwrap_or_default(),
            },
            methods: section.get("methods", texts).unwrap_or(default.methods),
            fail_after_max_attempts: section
                .get("fail_after_max_attempts", boolean)
                .unwrap_or(default.fail_after_max_attempts),
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
    let growing = section.get("backoff", one_of(SHAPES)).unwrap_or_default();
    let base = section.get("base", duration).unwrap_or(default.base);
    let multiplier = section.get("multiplier", number).unwrap_or(1.5);
    let cap = section.get("cap", duration_or_none).flatten();
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

fn refuse_methods(methods: &[String]) -> Option<String> {
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
