//! `[breaker]`

use std::time::Duration;

use super::{
    ErrorSet, InvalidPolicy, OutcomeSet, Policy, Refusal, StatusSet, Written,
    section::{
        Section, boolean, duration, duration_or_none, errors, integer, number, statuses, word,
    },
    show,
};
use crate::{
    backoff::{Backoff, Growth, Jitter, WAIT_MAX},
    breaker::{State, Verdict},
    chance,
    outcome::{ErrorKind, Outcome},
    word::Word,
};

const SLOW_MAX: Duration = Duration::from_secs(60 * 60);
const MS: Duration = Duration::from_millis(1);

/// `[breaker]`: when to stop calling a dependency, and how to find out that it works again.
///
/// The defaults are resilience4j's, except where a line says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerPolicy {
    /// `scope`: one breaker for all workers of a client (`"shared"`) or one for each (`"worker"`). Default `"shared"`.
    pub scope: Scope,
    /// `window`: whether the rates are over the last calls (`"count"`) or seconds (`"time"`). Default `"count"`.
    pub window: WindowKind,
    /// `size`: of the window, in calls or whole seconds. Default 100; from 1 to 100,000 calls or 3,600 seconds.
    pub size: u32,
    /// `minimum_calls`: fewer calls than this in the window say nothing. Default 100, or `size` where a count window
    /// is smaller; from 1 to 1,000,000, and not above the size of a count window (resilience4j lowers it silently).
    pub minimum_calls: u32,
    /// `failure_rate`: opens at this share of failed calls, in percent. Default 50; above 0, up to 100.
    pub failure_rate: f32,
    /// `slow_call_rate`: opens at this share of slow calls, in percent. Default 100; above 0, up to 100.
    pub slow_call_rate: f32,
    /// `slow_call_duration`: a call that takes longer is slow. Default `"60s"`; from 1 ms to 1 h.
    pub slow_call_duration: Duration,
    /// `probes`: calls permitted in half-open. Default 10; from 1 to 10,000. `minimum_calls` of them decide, if that
    /// is less.
    pub probes: u32,
    /// `wait`: how long the breaker stays open; the first call after it is a probe. Default `"60s"`; from 1 ms to 24 h.
    pub wait: Duration,
    /// `wait_multiplier`: each opening without a closing between lasts this many times longer. Default 1; from 1 to 10.
    pub wait_multiplier: f64,
    /// `wait_cap`: no opening lasts longer. Default `"none"`; from `wait` to 24 h.
    pub wait_cap: Option<Duration>,
    /// `randomized_wait_factor`: each wait is uniform within this share of itself, up or down. Default 0; from 0 to 1.
    pub randomized_wait_factor: f64,
    /// `max_wait_in_half_open`: how long to wait for the probes to decide. Default `"none"`; from 1 ms to 24 h.
    pub max_wait_in_half_open: Option<Duration>,
    /// `after_max_wait`: where that leads, `"open"` or `"closed"`. Default `"open"`.
    pub after_max_wait: AfterMaxWait,
    /// `automatic_transition`: goes half-open at the end of the wait, not first at the next call. Default false.
    pub automatic_transition: bool,
    /// `initial_state`: `"closed"`, `"open"`, `"half_open"`, `"disabled"`, `"forced_open"` or `"metrics_only"`. Default
    /// `"closed"`.
    pub initial_state: State,
    /// `failure_status`, `failure_error`: what is a failure; the rest is a success. Default `["5xx"]` (resilience4j: no
    /// answer is a failure) and every error.
    pub failure: OutcomeSet,
    /// `ignore_status`, `ignore_error`: what counts as nothing, though it be in the former. Default `[]`.
    pub ignore: OutcomeSet,
    /// `open_on_retry_after`: an answer that would be a failure and carries `Retry-After` opens the breaker for so long
    /// at once, whatever the rates say. Default false.
    pub open_on_retry_after: bool,
    /// `event_buffer`: how many of its last events are kept for whoever asks. Default 100; from 1 to 10,000.
    pub event_buffer: u32,
    /// `health`: whether the health page shows it (`"shown"`), and is down while it is open (`"may_fail"`). Default
    /// `"hidden"`.
    pub health: HealthIndicator,
}

/// Who shares a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All workers of a client.
    #[default]
    Shared,
    /// Nobody: each worker has its own.
    Worker,
}

impl Word for Scope {
    const WORDS: &'static [(&'static str, Self)] =
        &[("shared", Self::Shared), ("worker", Self::Worker)];
}

/// What a breaker is to the health page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HealthIndicator {
    /// Not on it.
    #[default]
    Hidden,
    /// On it, with a status of its own while it is open.
    Shown,
    /// On it, and down while it is open.
    MayFail,
}

impl Word for HealthIndicator {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("hidden", Self::Hidden),
        ("shown", Self::Shown),
        ("may_fail", Self::MayFail),
    ];
}

/// What the window slides over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowKind {
    /// The last calls.
    #[default]
    Count,
    /// The last whole seconds, the running one included.
    Time,
}

impl Word for WindowKind {
    const WORDS: &'static [(&'static str, Self)] = &[("count", Self::Count), ("time", Self::Time)];
}

/// Where a half-open breaker goes whose probes did not decide in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterMaxWait {
    /// Open, as a further opening.
    #[default]
    Open,
    /// Closed.
    Closed,
}

impl AfterMaxWait {
    pub(crate) fn state(self) -> State {
        match self {
            Self::Open => State::Open,
            Self::Closed => State::Closed,
        }
    }
}

impl Word for AfterMaxWait {
    const WORDS: &'static [(&'static str, Self)] =
        &[("open", Self::Open), ("closed", Self::Closed)];
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            window: WindowKind::default(),
            size: 100,
            minimum_calls: 100,
            failure_rate: 50.0,
            slow_call_rate: 100.0,
            slow_call_duration: Duration::from_secs(60),
            probes: 10,
            wait: Duration::from_secs(60),
            wait_multiplier: 1.0,
            wait_cap: None,
            randomized_wait_factor: 0.0,
            max_wait_in_half_open: None,
            after_max_wait: AfterMaxWait::default(),
            automatic_transition: false,
            initial_state: State::Closed,
            failure: OutcomeSet {
                status: StatusSet::known(&["5xx"]),
                error: ErrorSet::of(&ErrorKind::ALL),
            },
            ignore: OutcomeSet::default(),
            open_on_retry_after: false,
            event_buffer: 100,
            health: HealthIndicator::default(),
        }
    }
}

impl BreakerPolicy {
    /// What an outcome means to the breaker. To ignore wins.
    #[must_use]
    pub fn verdict(&self, outcome: Outcome) -> Verdict {
        if outcome == Outcome::Ignored || self.ignore.contains(outcome) {
            Verdict::Ignored
        } else if self.failure.contains(outcome) {
            Verdict::Failure
        } else {
            Verdict::Success
        }
    }

    /// Checks a policy for a breaker without a client; see [`Policy::check`].
    pub(crate) fn check(&self, name: &str) -> Result<(), InvalidPolicy> {
        let mut policy = Policy::none(name);
        policy.breaker = Some(self.clone());
        policy.check()
    }

    /// How long the breaker stays open for the n-th time since it was last closed.
    pub(crate) fn wait_before(&self, openings: u32, seed: u64) -> Duration {
        let backoff = Backoff {
            base: self.wait,
            growth: Growth::Exponential {
                multiplier: self.wait_multiplier,
                cap: self.wait_cap,
            },
            jitter: Jitter::Randomized {
                factor: self.randomized_wait_factor,
            },
        };
        let mut chance = chance::draw(seed, u64::from(openings), 0);
        backoff.wait(openings, None, &mut chance)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "as for the other sections, of which some are taken apart"
    )]
    pub(super) fn read(mut section: Section<'_, '_>, default: Self) -> Self {
        let window = section.get("window", word).unwrap_or(default.window);
        let size = section.get("size", integer).unwrap_or(default.size);
        let usual_minimum = match window {
            WindowKind::Count => default.minimum_calls.min(size.max(1)),
            WindowKind::Time => default.minimum_calls,
        };
        let policy = Self {
            scope: section.get("scope", word).unwrap_or(default.scope),
            window,
            size,
            minimum_calls: section
                .get("minimum_calls", integer)
                .unwrap_or(usual_minimum),
            failure_rate: section
                .get("failure_rate", number)
                .unwrap_or(default.failure_rate),
            slow_call_rate: section
                .get("slow_call_rate", number)
                .unwrap_or(default.slow_call_rate),
            slow_call_duration: section
                .get("slow_call_duration", duration)
                .unwrap_or(default.slow_call_duration),
            probes: section.get("probes", integer).unwrap_or(default.probes),
            wait: section.get("wait", duration).unwrap_or(default.wait),
            wait_multiplier: section
                .get("wait_multiplier", number)
                .unwrap_or(default.wait_multiplier),
            wait_cap: section
                .get("wait_cap", duration_or_none)
                .unwrap_or(default.wait_cap),
            randomized_wait_factor: section
                .get("randomized_wait_factor", number)
                .unwrap_or(default.randomized_wait_factor),
            max_wait_in_half_open: section
                .get("max_wait_in_half_open", duration_or_none)
                .unwrap_or(default.max_wait_in_half_open),
            after_max_wait: section
                .get("after_max_wait", word)
                .unwrap_or(default.after_max_wait),
            automatic_transition: section
                .get("automatic_transition", boolean)
                .unwrap_or(default.automatic_transition),
            initial_state: section
                .get("initial_state", word)
                .unwrap_or(default.initial_state),
            failure: OutcomeSet {
                status: section
                    .get("failure_status", statuses)
                    .unwrap_or(default.failure.status),
                error: section
                    .get("failure_error", errors)
                    .unwrap_or(default.failure.error),
            },
            ignore: OutcomeSet {
                status: section
                    .get("ignore_status", statuses)
                    .unwrap_or(default.ignore.status),
                error: section
                    .get("ignore_error", errors)
                    .unwrap_or(default.ignore.error),
            },
            open_on_retry_after: section
                .get("open_on_retry_after", boolean)
                .unwrap_or(default.open_on_retry_after),
            event_buffer: section
                .get("event_buffer", integer)
                .unwrap_or(default.event_buffer),
            health: section.get("health", word).unwrap_or(default.health),
        };
        section.finish_with(policy, Self::refusals, SYNONYMS)
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let mut found = Vec::new();
        let mut note = |key, why: Option<String>| found.extend(why.map(|why| (key, why)));
        let size_max = match self.window {
            WindowKind::Count => 100_000,
            WindowKind::Time => 3600,
        };
        let odd_size = show::beyond(self.size, 1..=size_max);
        let size_is_known = odd_size.is_none();
        note("size", odd_size);
        note(
            "minimum_calls",
            show::beyond(self.minimum_calls, 1..=1_000_000),
        );
        let (minimum, size) = (self.minimum_calls, self.size);
        let never_reached = self.window == WindowKind::Count && size_is_known && minimum > size;
        note(
            "minimum_calls",
            never_reached
                .then(|| format!("{minimum} calls never fit into a window of `size` {size}")),
        );
        let percent = |rate: f32| {
            let inside = rate > 0.0 && rate <= 100.0;
            (!inside).then(|| format!("{rate:?} is not above 0 and up to 100"))
        };
        note("failure_rate", percent(self.failure_rate));
        note("slow_call_rate", percent(self.slow_call_rate));
        note(
            "slow_call_duration",
            show::outside(self.slow_call_duration, MS..=SLOW_MAX),
        );
        note("probes", show::beyond(self.probes, 1..=10_000));
        note("wait", show::outside(self.wait, MS..=WAIT_MAX));
        note(
            "wait_multiplier",
            show::beyond(self.wait_multiplier, 1.0..=10.0),
        );
        let cap = self.wait_cap;
        note(
            "wait_cap",
            cap.and_then(|cap| show::outside(cap, self.wait..=WAIT_MAX)),
        );
        let factor = self.randomized_wait_factor;
        note("randomized_wait_factor", show::beyond(factor, 0.0..=1.0));
        let stay = self.max_wait_in_half_open;
        note(
            "max_wait_in_half_open",
            stay.and_then(|stay| show::outside(stay, MS..=WAIT_MAX)),
        );
        note("event_buffer", show::beyond(self.event_buffer, 1..=10_000));
        found
    }

    pub(super) fn write(&self, out: &mut Written) {
        out.section("breaker");
        out.text("scope", self.scope.word());
        out.text("window", self.window.word());
        out.plain("size", self.size);
        out.plain("minimum_calls", self.minimum_calls);
        out.plain("failure_rate", format_args!("{:?}", self.failure_rate));
        out.plain("slow_call_rate", format_args!("{:?}", self.slow_call_rate));
        out.text(
            "slow_call_duration",
            &show::duration(self.slow_call_duration),
        );
        out.plain("probes", self.probes);
        out.text("wait", &show::duration(self.wait));
        out.plain(
            "wait_multiplier",
            format_args!("{:?}", self.wait_multiplier),
        );
        out.text("wait_cap", &show::duration_or_none(self.wait_cap));
        let factor = self.randomized_wait_factor;
        out.plain("randomized_wait_factor", format_args!("{factor:?}"));
        let stay = show::duration_or_none(self.max_wait_in_half_open);
        out.text("max_wait_in_half_open", &stay);
        out.text("after_max_wait", self.after_max_wait.word());
        out.plain("automatic_transition", self.automatic_transition);
        out.text("initial_state", self.initial_state.word());
        out.plain("failure_status", show::list(&self.failure.status.words()));
        out.plain("failure_error", show::list(&self.failure.error.words()));
        out.plain("ignore_status", show::list(&self.ignore.status.words()));
        out.plain("ignore_error", show::list(&self.ignore.error.words()));
        out.plain("open_on_retry_after", self.open_on_retry_after);
        out.plain("event_buffer", self.event_buffer);
        out.text("health", self.health.word());
    }
}

/// resilience4j's names.
const SYNONYMS: &[(&str, &str)] = &[
    ("sliding_window_type", "window"),
    ("sliding_window_size", "size"),
    ("minimum_number_of_calls", "minimum_calls"),
    ("failure_rate_threshold", "failure_rate"),
    ("slow_call_rate_threshold", "slow_call_rate"),
    ("slow_call_duration_threshold", "slow_call_duration"),
    ("permitted_number_of_calls_in_half_open_state", "probes"),
    ("wait_duration_in_open_state", "wait"),
    (
        "max_wait_duration_in_half_open_state",
        "max_wait_in_half_open",
    ),
    ("transition_to_state_after_wait_duration", "after_max_wait"),
    (
        "automatic_transition_from_open_to_half_open_enabled",
        "automatic_transition",
    ),
    ("exponential_backoff_multiplier", "wait_multiplier"),
    ("exponential_max_wait_duration_in_open_state", "wait_cap"),
    ("record_exceptions", "failure_error"),
    ("ignore_exceptions", "ignore_error"),
    ("transition_on_result", "open_on_retry_after"),
    ("event_consumer_buffer_size", "event_buffer"),
    ("register_health_indicator", "health"),
    ("allow_health_indicator_to_fail", "health"),
];
