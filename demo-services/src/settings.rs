//! The policy of a running service: seen and changed at `/settings`, as the original's settings service does it.
//!
//! The original's keys are taken as it takes them: `timeout` in seconds (60 and more, or null, is none), `retries` and
//! `circuit_breakers` as true or false. `policy` names a built-in policy, or is a policy file's text. PUT begins anew
//! with what it says, PATCH changes only that. The original's `outages` and `performance_problems` are faults here: a
//! service knows nothing of them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use brownout_resilience::{InvalidPolicy, Policy};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    policies::{self, BuiltIn},
    upstream::Upstream,
    word,
};

/// What a policy given at `/settings` is called, unless it has a name of its own.
const NAME: &str = "settings";
/// From so many seconds on a timeout is none, as in the original.
const NO_TIMEOUT: f64 = 60.0;
const KEYS: [&str; 4] = ["timeout", "retries", "circuit_breakers", "policy"];

/// A service's policy, and whom it protects it from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Held while it is changed, so that changes come one after the other.
    policy: Mutex<Policy>,
    upstreams: Vec<Arc<Upstream>>,
}

/// The body of `GET /settings`.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    /// Seconds; none if an attempt may take as long as it takes.
    timeout: Option<f64>,
    retries: bool,
    circuit_breakers: bool,
    /// Its name.
    policy: String,
    /// All that it says, as a policy file.
    toml: String,
}

/// How a body is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// PUT: what it does not say is none.
    Replace,
    /// PATCH: what it does not say stays.
    Merge,
}

impl Settings {
    pub(crate) fn new(policy: Policy, upstreams: Vec<Arc<Upstream>>) -> Self {
        Self {
            policy: Mutex::new(policy),
            upstreams,
        }
    }

    pub(crate) fn shown(&self) -> Shown {
        let policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        Shown {
            timeout: policy.timeout.attempt.map(|limit| limit.as_secs_f64()),
            retries: policy.retry.is_some(),
            circuit_breakers: policy.breaker.is_some(),
            policy: policy.name.clone(),
            toml: policy.to_toml(),
        }
    }

    /// Takes a policy as a whole. Calls that are being made end under the one they began with.
    pub(crate) fn take(&self, policy: Policy) -> Result<(), InvalidPolicy> {
        let mut present = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut present, policy)
    }

    /// Takes what the body of a request says, or tells what is wrong with it and takes nothing.
    pub(crate) fn change(&self, change: Change, body: &[u8]) -> Result<(), String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let Value::Object(body) = body else {
            return Err("expected an object such as {\"timeout\": 0.5}".to_owned());
        };
        check_keys(&body)?;
        let mut present = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let next = changed(&present, change, &body)?;
        self.put(&mut present, next)
            .map_err(|error| error.to_string())
    }

    fn put(&self, present: &mut Policy, next: Policy) -> Result<(), InvalidPolicy> {
        next.check()?;
        for upstream in &self.upstreams {
            upstream.protect(&next)?;
        }
        tracing::info!(policy = next.name, "took a policy");
        *present = next;
        Ok(())
    }
}

fn check_keys(body: &Map<String, Value>) -> Result<(), String> {
    if body.is_empty() {
        return Err(format!("nothing to set; known: {}", KEYS.join(", ")));
    }
    let unknown = body.keys().find(|key| !KEYS.contains(&key.as_str()));
    if let Some(key) = unknown {
        return Err(match key.as_str() {
            "outages" | "performance_problems" => {
                format!("{key}: a service knows no faults; start them at the proxy before it")
            }
            _ => format!("unknown key `{key}`; {}", word::hint(key, &KEYS)),
        });
    }
    if body.contains_key("policy") && body.len() > 1 {
        return Err("policy: says all by itself, leave out the other keys".to_owned());
    }
    Ok(())
}

fn changed(present: &Policy, change: Change, body: &Map<String, Value>) -> Result<Policy, String> {
    if let Some(policy) = body.get("policy") {
        return whole(policy);
    }
    let timeout = body.get("timeout").map(timeout).transpose()?;
    let flag = |key| body.get(key).map(|value| truth(key, value)).transpose();
    let (retries, breakers) = (flag("retries")?, flag("circuit_breakers")?);
    let original = Policy {
        name: NAME.to_owned(),
        ..Policy::original(
            timeout.flatten(),
            retries == Some(true),
            breakers == Some(true),
        )
    };
    if change == Change::Replace {
        return Ok(original);
    }
    let mut next = Policy {
        name: NAME.to_owned(),
        ..present.clone()
    };
    if let Some(timeout) = timeout {
        next.timeout.attempt = timeout;
    }
    match retries {
        Some(true) if next.retry.is_none() => next.retry = original.retry,
        Some(false) => next.retry = None,
        Some(true) | None => {}
    }
    match breakers {
        Some(true) if next.breaker.is_none() => next.breaker = original.breaker,
        Some(false) => next.breaker = None,
        Some(true) | None => {}
    }
    Ok(next)
}

/// A policy by its name, or by all it says.
fn whole(policy: &Value) -> Result<Policy, String> {
    let text = policy
        .as_str()
        .ok_or("policy: expected a name or the text of a policy file")?;
    if text.contains(['\n', '=', '[']) {
        return Policy::from_toml_in(NAME, text, &BuiltIn).map_err(|error| error.to_string());
    }
    policies::named(text).map_err(|error| error.to_string())
}

fn timeout(value: &Value) -> Result<Option<Duration>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value
        .as_f64()
        .filter(|seconds| *seconds >= 0.001)
        .ok_or("timeout: expected seconds, at least 0.001, such as 0.5; 60 or null for none")?;
    if seconds >= NO_TIMEOUT {
        return Ok(None);
    }
    // Policies know whole milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to 60,000"
    )]
    let ms = (seconds * 1000.0).round() as u64;
    Ok(Some(Duration::from_millis(ms)))
}

fn truth(key: &str, value: &Value) -> Result<bool, String> {
    let truth = value.as_bool();
    truth.ok_or_else(|| format!("{key}: expected true or false"))
}
