//! The demo that a file asks for: `[demo]`.

use std::time::Duration;

use brownout_fault::{
    read::{Object, Problem, boolean, one_of},
    units::duration_up_to,
};
use serde_json::Value;

use super::fields::owned;

/// The demo that is started for a run. Whoever runs the file starts it; nothing here does.
#[derive(Debug, Clone, PartialEq)]
pub struct Demo {
    /// Which of the demos.
    pub system: DemoSystem,
    /// How its front service protects itself. Default the original's, with nothing switched on.
    pub policy: DemoPolicy,
    /// Where the front has gates: how long their open breakers wait. Default what their policies say.
    pub wait: Option<Duration>,
    /// Whether another duration of the run scales every time in the file: the script is one story. Default false.
    pub scales: bool,
    /// How many times as long the times of its policies are as written, `wait` included. Default 1.
    pub time_scale: f64,
}

/// A demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoSystem {
    /// A homepage, authentication, recommendations and popular items.
    Homepage,
    /// A gate before a primary and a fallback book service.
    Library,
}

/// How the front service of a demo protects itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DemoPolicy {
    /// The original's switches.
    Original {
        /// How long it waits for an answer; none for ever.
        timeout: Option<Duration>,
        /// Three more attempts.
        retries: bool,
        /// A breaker for each worker and upstream: open for 30 s after five failures in a row.
        circuit_breakers: bool,
    },
    /// A policy by its name, or a file.
    Named(String),
    /// A policy that stands in the file itself, as TOML.
    Written(String),
}

impl DemoSystem {
    /// Its name in a file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Homepage => "homepage",
            Self::Library => "library",
        }
    }

    /// The service that users ask.
    #[must_use]
    pub const fn front(self) -> &'static str {
        match self {
            Self::Homepage => "homepage",
            Self::Library => "gate",
        }
    }

    /// Its routes, and its services by the names under which callers count their calls.
    pub(super) const fn hops(self) -> &'static [&'static str] {
        match self {
            Self::Homepage => &[
                "authentication",
                "recommendations",
                "recommendations-authentication",
                "popular-items",
            ],
            Self::Library => &["primary", "fallback", "g1", "g2", "g3", "g4", "g5"],
        }
    }

    /// Its routes.
    pub(crate) const fn routes(self) -> &'static [&'static str] {
        match self {
            Self::Homepage => self.hops(),
            Self::Library => &["primary", "fallback"],
        }
    }
}

impl DemoPolicy {
    /// In words, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        use brownout_fault::units::show_duration;
        match self {
            Self::Original {
                timeout,
                retries,
                circuit_breakers,
            } => {
                let timeout = timeout.map(|it| format!("timeout {}", show_duration(it)));
                let retries = retries.then(|| "retries".to_owned());
                let breakers = circuit_breakers.then(|| "circuit breakers".to_owned());
                let all: Vec<String> = [timeout, retries, breakers].into_iter().flatten().collect();
                if all.is_empty() {
                    "none but its fallback".to_owned()
                } else {
                    all.join(", ")
                }
            }
            Self::Named(name) => format!("policy {name}"),
            Self::Written(_) => "a policy in the file".to_owned(),
        }
    }
}

impl Demo {
    pub(super) const KEYS: [&'static str; 7] = [
        "system",
        "timeout",
        "retries",
        "circuit_breakers",
        "policy",
        "wait",
        "scales",
    ];
    const DURATION_MAX: Duration = Duration::from_secs(60 * 60);

    /// Reads `[demo]`.
    pub(super) fn read(value: &Value) -> Result<Self, Problem> {
        let demo = Object::new(value)?;
        demo.only(&Self::KEYS)?;
        let words = [DemoSystem::Homepage.as_str(), DemoSystem::Library.as_str()];
        let system = demo.required("system", |value| {
            one_of("system", &words)(value).map(|word| match word {
                "library" => DemoSystem::Library,
                _ => DemoSystem::Homepage,
            })
        })?;
        let duration = || duration_up_to(Self::DURATION_MAX);
        let policy = demo.optional("policy", Self::policy)?;
        let timeout = demo.optional("timeout", duration())?;
        let retries = demo.optional("retries", boolean)?;
        let circuit_breakers = demo.optional("circuit_breakers", boolean)?;
        let switched = timeout.is_some() || retries.is_some() || circuit_breakers.is_some();
        let policy = match policy {
            Some(_) if switched => {
                return Err(Problem::at(
                    "policy",
                    "stands for `timeout`, `retries` and `circuit_breakers`: say one or the other",
                ));
            }
            Some(policy) => policy,
            None => DemoPolicy::Original {
                timeout,
                retries: retries.unwrap_or(false),
                circuit_breakers: circuit_breakers.unwrap_or(false),
            },
        };
        Ok(Self {
            system,
            policy,
            wait: demo.optional("wait", duration())?,
            scales: demo.optional("scales", boolean)?.unwrap_or(false),
            time_scale: 1.0,
        })
    }

    fn policy(value: &Value) -> Result<DemoPolicy, Problem> {
        match value {
            Value::Object(_) => toml::to_string(value)
                .map(DemoPolicy::Written)
                .map_err(|error| Problem::here(format!("is not a policy: {error}"))),
            other => owned(other).map(DemoPolicy::Named),
        }
    }
}
