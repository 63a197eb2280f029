//! A policy: how one client protects itself, as a TOML file says it.
//!
//! ```toml
//! order = "resilience4j"
//!
//! [timeout]
//! attempt = "500ms"
//!
//! [retry]
//! max_attempts = 4
//! backoff = "exponential"
//! base = "100ms"
//! jitter = "full"
//!
//! [breaker]
//! size = 20
//! minimum_calls = 10
//!
//! [fallback]
//! kind = "empty"
//! ```
//!
//! A section that is missing is a protection that is missing. Every key has a default, a bound and a line of
//! documentation at its field: [`TimeoutPolicy`], [`RetryPolicy`], [`BreakerPolicy`], [`RateLimitPolicy`],
//! [`BulkheadPolicy`], [`AdaptivePolicy`], [`HedgePolicy`], [`FallbackPolicy`].
//!
//! With `base = "other"` a file begins with all that `other.toml` beside it says and changes what it names; a section
//! set to `"none"` is taken away.
//!
//! Durations are text with a unit, in whole milliseconds. Nothing is clamped or guessed: what is unknown, out
//! of range or without effect is refused, all of it at once.

mod adaptive;
mod base;
mod breaker;
mod bulkhead;
mod fallback;
mod hedge;
mod rate_limit;
mod retry;
mod section;
mod sets;
mod show;
mod timeout;

use std::{fmt, time::Duration};

use thiserror::Error;

use self::section::{Section, join, word};
pub use self::{
    adaptive::{AdaptivePolicy, Algorithm},
    base::{Library, NoLibrary, ReadPolicyError, Source},
    breaker::{AfterMaxWait, BreakerPolicy, HealthIndicator, Scope, WindowKind},
    bulkhead::BulkheadPolicy,
    fallback::{FallbackKind, FallbackPolicy},
    hedge::HedgePolicy,
    rate_limit::RateLimitPolicy,
    retry::{BudgetPolicy, RetryPolicy},
    sets::{ErrorSet, NotAStatus, OutcomeSet, StatusSet},
    timeout::TimeoutPolicy,
};
use crate::{
    backoff::{Backoff, Growth, Jitter},
    word::Word,
};

/// How one client protects itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What it is called in spans and reports; not part of the file.
    pub name: String,
    /// `order`: which protection stands around which. Default `"resilience4j"`.
    pub order: Order,
    /// `[timeout]`: how long an attempt and a whole call may take.
    pub timeout: TimeoutPolicy,
    /// `[retry]`: when to try again.
    pub retry: Option<RetryPolicy>,
    /// `[breaker]`: when to stop trying.
    pub breaker: Option<BreakerPolicy>,
    /// `[rate_limit]`: how many attempts may start in each period.
    pub rate_limit: Option<RateLimitPolicy>,
    /// `[bulkhead]`: how many attempts may be under way at once.
    pub bulkhead: Option<BulkheadPolicy>,
    /// `[adaptive]`: the same, with a bound that finds itself.
    pub adaptive: Option<AdaptivePolicy>,
    /// `[hedge]`: when to ask a second time before the first answer.
    pub hedge: Option<HedgePolicy>,
    /// `[fallback]`: what to answer when there is no answer.
    pub fallback: Option<FallbackPolicy>,
}

/// Which protection stands around which, from the outside in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Fallback, total timeout, retry, breaker, rate limit, attempt timeout, bulkhead and adaptive bound, hedge, call:
    /// every attempt counts for the breaker, and an open breaker stops the retries.
    #[default]
    Resilience4j,
    /// Fallback, breaker, total timeout, retry, rate limit, attempt timeout, bulkhead and adaptive bound, hedge, call:
    /// all attempts of a call count as one for the breaker. As in `abrookins/reliable_service_calls_with_python`.
    Original,
}

impl Order {
    /// The word in a policy file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Word for Order {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("resilience4j", Self::Resilience4j),
        ("original", Self::Original),
    ];
}

impl Policy {
    /// A policy without any protection: one attempt, for as long as it takes.
    #[must_use]
    pub fn none(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            order: Order::default(),
            timeout: TimeoutPolicy::default(),
            retry: None,
            breaker: None,
            rate_limit: None,
            bulkhead: None,
            adaptive: None,
            hedge: None,
            fallback: None,
        }
    }

    /// Reads a policy file that stands alone. `name` is what the policy will be called.
    ///
    /// # Errors
    /// With everything that is wrong: not TOML, unknown keys, wrong types, values out of range or without effect, a
    /// `base`, which only [`Policy::from_toml_in`] and [`Policy::from_file`] can find.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, InvalidPolicy> {
        Self::from_toml_in(name, text, &NoLibrary)
    }

    /// The policy file that says this, with all defaults written out. [`Policy::from_toml`] reads it back as the
    /// same policy.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Written(format!("order = \"{}\"\n", self.order.word()));
        match &self.timeout {
            none if *none == TimeoutPolicy::default() => out.missing("timeout", "no limit"),
            timeout => timeout.write(&mut out),
        }
        match &self.retry {
            Some(retry) => retry.write(&mut out),
            None => out.missing("retry", "one attempt"),
        }
        match &self.breaker {
            Some(breaker) => breaker.write(&mut out),
            None => out.missing("breaker", "every call is made"),
        }
        match &self.rate_limit {
            Some(rate_limit) => rate_limit.write(&mut out),
            None => out.missing("rate_limit", "as many a second as there are"),
        }
        match &self.bulkhead {
            Some(bulkhead) => bulkhead.write(&mut out),
            None => out.missing("bulkhead", "as many at once as there are"),
        }
        match &self.adaptive {
            Some(adaptive) => adaptive.write(&mut out),
            None => out.missing("adaptive", "nothing is shed"),
        }
        match &self.hedge {
            Some(hedge) => hedge.write(&mut out),
            None => out.missing("hedge", "one request for each attempt"),
        }
        match &self.fallback {
            Some(fallback) => fallback.write(&mut out),
            None => out.missing("fallback", "a failure stays a failure"),
        }
        out.0
    }

    /// What the flags `--timeout`, `--retries` and `--circuit-breakers` mean in
    /// `abrookins/reliable_service_calls_with_python`.
    ///
    /// Without a timeout nothing limits an attempt ("60" means none there). Retries are three, of any method, for
    /// errors but not for statuses; where the original waits not at all, because it never sets its back-off factor,
    /// ours are 100 ms, doubling, with full jitter. The breaker opens after five failures in a row, separately for
    /// each worker, for 30 s, and an answer with an error status is no failure to it. What is missing is left empty.
    #[must_use]
    pub fn original(timeout: Option<Duration>, retries: bool, circuit_breakers: bool) -> Self {
        let retry = RetryPolicy {
            max_attempts: 4,
            backoff: Backoff {
                base: Duration::from_millis(100),
                growth: Growth::Exponential {
                    multiplier: 2.0,
                    cap: Some(Duration::from_secs(2)),
                },
                jitter: Jitter::Full,
            },
            on: OutcomeSet {
                status: StatusSet::NONE,
                ..RetryPolicy::default().on
            },
            methods: vec!["*".to_owned()],
            ..RetryPolicy::default()
        };
        let breaker = BreakerPolicy {
            scope: Scope::Worker,
            size: 5,
            minimum_calls: 5,
            failure_rate: 100.0,
            probes: 1,
            wait: Duration::from_secs(30),
            failure: OutcomeSet {
                status: StatusSet::NONE,
                ..BreakerPolicy::default().failure
            },
            ..BreakerPolicy::default()
        };
        Self {
            name: "original".to_owned(),
            order: Order::Original,
            timeout: TimeoutPolicy {
                attempt: timeout,
                ..TimeoutPolicy::default()
            },
            retry: retries.then_some(retry),
            breaker: circuit_breakers.then_some(breaker),
            fallback: Some(FallbackPolicy {
                on_status: StatusSet::known(&["3xx", "4xx", "5xx"]),
                ..FallbackPolicy::default()
            }),
            ..Self::none("original")
        }
    }

    /// Checks a policy that was put together in code as [`Policy::from_toml`] checks a file.
    ///
    /// # Errors
    /// With every value that is out of range.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let mut problems = Vec::new();
        let mut note = |section, found: Vec<Refusal>| {
            problems.extend(found.into_iter().map(|(key, detail)| Problem {
                path: join(section, key),
                line: None,
                detail,
            }));
        };
        note("timeout", self.timeout.refusals());
        if let Some(retry) = &self.retry {
            note("retry", retry.refusals());
            if let Some(budget) = &retry.budget {
                note("retry.budget", budget.refusals());
            }
        }
        if let Some(breaker) = &self.breaker {
            note("breaker", breaker.refusals());
        }
        if let Some(rate_limit) = &self.rate_limit {
            note("rate_limit", rate_limit.refusals());
        }
        if let Some(bulkhead) = &self.bulkhead {
            note("bulkhead", bulkhead.refusals());
        }
        if let Some(adaptive) = &self.adaptive {
            note("adaptive", adaptive.refusals());
        }
        if let Some(hedge) = &self.hedge {
            note("hedge", hedge.refusals());
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(InvalidPolicy {
            policy: self.name.clone(),
            problems,
        })
    }

    /// Changes what the file says; the rest stays as inherited.
    fn read(&mut self, mut root: Section<'_, '_>) {
        self.order = root.get("order", word).unwrap_or(self.order);
        let timeout = (self.timeout != TimeoutPolicy::default()).then_some(self.timeout);
        self.timeout = root
            .protection("timeout", "timeout", timeout, TimeoutPolicy::read)
            .unwrap_or_default();
        self.retry = root.protection("retry", "retry", self.retry.take(), RetryPolicy::read);
        let breaker = self.breaker.take();
        self.breaker = root.protection("breaker", "breaker", breaker, BreakerPolicy::read);
        let rate_limit = self.rate_limit;
        self.rate_limit = root.protection(
            "rate_limit",
            "rate_limit",
            rate_limit,
            RateLimitPolicy::read,
        );
        let bulkhead = self.bulkhead;
        self.bulkhead = root.protection("bulkhead", "bulkhead", bulkhead, BulkheadPolicy::read);
        let adaptive = self.adaptive;
        self.adaptive = root.protection("adaptive", "adaptive", adaptive, AdaptivePolicy::read);
        self.hedge = root.protection("hedge", "hedge", self.hedge.take(), HedgePolicy::read);
        let fallback = self.fallback;
        self.fallback = root.protection("fallback", "fallback", fallback, FallbackPolicy::read);
        root.finish(&[
            ("circuit_breaker", "breaker"),
            ("circuitbreaker", "breaker"),
            ("time_limiter", "timeout"),
            ("rate_limiter", "rate_limit"),
            ("inherit", "base"),
            ("base_config", "base"),
        ]);
    }
}

/// A key of a section, and why its value is refused.
type Refusal = (&'static str, String);

/// A policy that is not valid, and all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidPolicy {
    /// The policy's name.
    pub policy: String,
    /// What is wrong, from top to bottom; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy `{}` is not valid", self.policy)?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// One thing wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, `breaker.size`; empty for the file as a whole.
    pub path: String,
    /// The line in the file, from 1; none where the policy or the key was not in a file.
    pub line: Option<usize>,
    /// What is wrong: lower case, no full stop.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.detail)
    }
}

/// A policy file in the making.
struct Written(String);

impl Written {
    fn section(&mut self, name: &str) {
        self.line(format_args!("\n[{name}]"));
    }

    fn missing(&mut self, name: &str, so: &str) {
        self.line(format_args!("\n# no [{name}]: {so}"));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.line(format_args!("{key} = \"{value}\""));
    }

    /// A number, a truth or a list, which stand without quotes.
    fn plain(&mut self, key: &str, value: impl fmt::Display) {
        self.line(format_args!("{key} = {value}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        use fmt::Write as _;
        writeln!(self.0, "{line}").expect("writing to a String cannot fail");
    }
}
