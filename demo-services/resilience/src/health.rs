//! The health page: what Spring's actuator says of resilience4j's breakers and rate limiters, field by field.
//!
//! ```
//! use brownout_resilience::{Breaker, Setup, health, policy::{BreakerPolicy, HealthIndicator}};
//!
//! let policy = BreakerPolicy { health: HealthIndicator::Shown, ..BreakerPolicy::default() };
//! let breaker = Breaker::new("recommendations", &policy, Setup::seeded(1))?;
//!
//! let page = health::Page::of([&breaker]);
//!
//! assert_eq!(page.status, health::Status::Up);
//! let recommendations = &page.to_json()["components"]["circuitBreakers"]["details"]["recommendations"];
//! assert_eq!(recommendations["details"]["failureRate"], "-1.0%");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    breaker::{Breaker, State},
    client::Client,
    guards::Levels,
    policy::{HealthIndicator, RateLimitPolicy},
};

/// How a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Down: the page is to be answered with 503.
    Down,
    /// It works.
    Up,
    /// Nothing can be said, as of a breaker that is left by hand only.
    Unknown,
    /// An open breaker that may not take the page down.
    CircuitOpen,
    /// A breaker with its probes out.
    CircuitHalfOpen,
    /// A rate limit that would refuse the next call, and may not take the page down.
    RateLimited,
}

impl Status {
    /// The word on the page: `UP`, `CIRCUIT_OPEN`, ...
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "DOWN",
            Self::Up => "UP",
            Self::Unknown => "UNKNOWN",
            Self::CircuitOpen => "CIRCUIT_OPEN",
            Self::CircuitHalfOpen => "CIRCUIT_HALF_OPEN",
            Self::RateLimited => "RATE_LIMITED",
        }
    }

    /// The status of the page, for HTTP: 503 when down, else 200.
    #[must_use]
    pub fn http(self) -> u16 {
        match self {
            Self::Down => 503,
            Self::Up
            | Self::Unknown
            | Self::CircuitOpen
            | Self::CircuitHalfOpen
            | Self::RateLimited => 200,
        }
    }

    /// That of several together: down if one is, else up if one is, else unknown. The words for circuits and rates are
    /// no part of Spring's order of statuses and do not count.
    fn together(of: impl IntoIterator<Item = Self>) -> Self {
        let mut together = Self::Unknown;
        for status in of {
            match status {
                Self::Down => return Self::Down,
                Self::Up => together = Self::Up,
                Self::Unknown | Self::CircuitOpen | Self::CircuitHalfOpen | Self::RateLimited => {}
            }
        }
        together
    }
}

/// The health page at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// That of all components together.
    pub status: Status,
    body: Value,
}

impl Page {
    /// The page about those of the breakers whose policy shows them, in the order given.
    #[must_use]
    pub fn of<'b>(breakers: impl IntoIterator<Item = &'b Breaker>) -> Self {
        let mut circuits = Part::default();
        for breaker in breakers {
            if breaker.policy().health != HealthIndicator::Hidden {
                circuits.add(breaker.name(), indicator(breaker));
            }
        }
        Self::made(&[("circuitBreakers", circuits)])
    }

    /// The page about clients by their names there: their breakers as [`Page::of`] shows them, and the rate limits of
    /// those whose breaker is shown.
    #[must_use]
    pub fn of_clients<'c, N: AsRef<str>>(
        clients: impl IntoIterator<Item = (N, &'c Client)>,
    ) -> Self {
        let (mut circuits, mut rates) = (Part::default(), Part::default());
        for (name, client) in clients {
            let shown =
                |breaker: &&Arc<Breaker>| breaker.policy().health != HealthIndicator::Hidden;
            let Some(breaker) = client.breaker().filter(shown) else {
                continue;
            };
            circuits.add(name.as_ref(), indicator(breaker));
            if let Some(limit) = &client.policy().rate_limit {
                let may_fail = breaker.policy().health == HealthIndicator::MayFail;
                let rate = rate_indicator(limit, &client.levels(), may_fail);
                rates.add(name.as_ref(), rate);
            }
        }
        if rates.statuses.is_empty() {
            return Self::made(&[("circuitBreakers", circuits)]);
        }
        Self::made(&[("circuitBreakers", circuits), ("rateLimiters", rates)])
    }

    fn made(parts: &[(&str, Part)]) -> Self {
        let mut components = Map::new();
        // A part that is unknown takes nothing away: the process answers, so it is up.
        let mut statuses = vec![Status::Up];
        for (name, part) in parts {
            let status = Status::together(part.statuses.iter().copied());
            statuses.push(status);
            let details = json!({ "status": status.as_str(), "details": part.details });
            components.insert((*name).to_owned(), details);
        }
        let status = Status::together(statuses);
        Self {
            status,
            body: json!({ "status": status.as_str(), "components": components }),
        }
    }

    /// The page's JSON.
    #[must_use]
    pub fn to_json(&self) -> &Value {
        &self.body
    }
}

/// The indicators of one kind.
#[derive(Default)]
struct Part {
    statuses: Vec<Status>,
    details: Map<String, Value>,
}

impl Part {
    fn add(&mut self, name: &str, (status, body): (Status, Value)) {
        self.statuses.push(status);
        self.details.insert(name.to_owned(), body);
    }
}

/// A rate limit's status and its details: limited when a call that came now would be refused, unknown when it would
/// wait.
fn rate_indicator(limit: &RateLimitPolicy, levels: &Levels, may_fail: bool) -> (Status, Value) {
    let permits = levels.rate_permits.unwrap_or_default();
    let waiting = levels.rate_waiting.unwrap_or_default();
    let status = if permits > 0 || waiting == 0 {
        Status::Up
    } else if levels.rate_wait.is_some_and(|wait| wait <= limit.timeout) {
        Status::Unknown
    } else if may_fail {
        Status::Down
    } else {
        Status::RateLimited
    };
    let body = json!({
        "status": status.as_str(),
        "details": { "availablePermissions": permits, "numberOfWaitingThreads": waiting },
    });
    (status, body)
}

/// One breaker's status and its details.
fn indicator(breaker: &Breaker) -> (Status, Value) {
    let policy = breaker.policy();
    let metrics = breaker.metrics();
    let status = match metrics.state {
        State::Closed => Status::Up,
        State::Open if policy.health == HealthIndicator::MayFail => Status::Down,
        State::Open => Status::CircuitOpen,
        State::HalfOpen => Status::CircuitHalfOpen,
        State::Disabled | State::ForcedOpen | State::MetricsOnly => Status::Unknown,
    };
    let body = json!({
        "status": status.as_str(),
        "details": {
            "failureRate": percent(metrics.failure_rate.unwrap_or(-1.0)),
            "failureRateThreshold": percent(policy.failure_rate),
            "slowCallRate": percent(metrics.slow_call_rate.unwrap_or(-1.0)),
            "slowCallRateThreshold": percent(policy.slow_call_rate),
            "bufferedCalls": metrics.buffered_calls,
            "slowCalls": metrics.slow_calls,
            "slowFailedCalls": metrics.slow_failed_calls,
            "failedCalls": metrics.failed_calls,
            "notPermittedCalls": metrics.not_permitted_calls,
            "state": metrics.state.shouted(),
        },
    });
    (status, body)
}

/// As Java writes a float: always with a decimal, with as few digits as tell it apart.
fn percent(rate: f32) -> String {
    format!("{rate:?}%")
}
