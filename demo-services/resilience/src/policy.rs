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
//! documentation at its field: [`TimeoutPolicy`], [`RetryPolicy`], [`BreakerPolicy`], [`FallbackPolicy`].
//! Durations are text with a unit, in whole milliseconds. Nothing is clamped or guessed: what is unknown, out
//! of range or without effect is refused, all of it at once.

mod breaker;
mod fallback;
mod retry;
mod section;
mod sets;
mod show;
mod timeout;

use std::{fmt, time::Duration};

use thiserror::Error;
use toml::de::DeTable;

use self::section::{Section, Sheet, join, word};
pub use self::{
    breaker::{AfterMaxWait, BreakerPolicy, HealthIndicator, Scope, WindowKind},
    fallback::{FallbackKind, FallbackPolicy},
    retry::RetryPolicy,
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
    /// `[fallback]`: what to answer when there is no answer.
    pub fallback: Option<FallbackPolicy>,
}

/// Which protection stands around which, from the outside in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Fallback, total timeout, retry, breaker, attempt timeout, call: every attempt counts for the breaker, and an
    /// open breaker stops the retries.
    #[default]
    Resilience4j,
    /// Fallback, breaker, total timeout, retry, attempt timeout, call: all attempts of a call count as one for the
    /// breaker. As in `abrookins/reliable_service_calls_with_python`.
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
            fallback: None,
        }
    }

    /// Reads a policy file. `name` is what the policy will be called.
    ///
    /// # Errors
    /// With everything that is wrong: not TOML, unknown keys, wrong types, values out of range or without effect.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, InvalidPolicy> {
        let sheet = Sheet::new(text);
        let mut policy = Self::none(name);
        match DeTable::parse(text) {
            Ok(root) => policy.read(Section::root(&sheet, root.get_ref())),
            Err(error) => {
                let at = error.span().map(|span| span.start);
                sheet.problem(String::new(), at, error.message().to_owned());
            }
        }
        let problems = sheet.into_problems();
        if problems.is_empty() {
            return Ok(policy);
        }
        Err(InvalidPolicy {
            policy: name.to_owned(),
            problems,
        })
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
                total: None,
            },
            retry: retries.then_some(retry),
            breaker: circuit_breakers.then_some(breaker),
            fallback: Some(FallbackPolicy {
                on_status: StatusSet::known(&["3xx", "4xx", "5xx"]),
                ..FallbackPolicy::default()
            }),
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
        }
        if let Some(breaker) = &self.breaker {
            note("breaker", breaker.refusals());
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(InvalidPolicy {
            policy: self.name.clone(),
            problems,
        })
    }

    fn read(&mut self, mut root: Section<'_, '_>) {
        self.order = root.get("order", word).unwrap_or_default();
        if let Some(section) = root.table("timeout") {
            self.timeout = TimeoutPolicy::read(section);
        }
        self.retry = root.table("retry").map(RetryPolicy::read);
        self.breaker = root.table("breaker").map(BreakerPolicy::read);
        self.fallback = root.table("fallback").map(FallbackPolicy::read);
        root.finish(&[]);
    }
}

/// A key of a section, and why its value will not do.
type Refusal = (&'static str, String);

/// A policy that will not do, and all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidPolicy {
    /// The policy's name.
    pub policy: String,
    /// What is wrong, from top to bottom; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy `{}` will not do", self.policy)?;
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
