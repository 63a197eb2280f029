//! Options of a route that most routes do without.

use std::time::Duration;

use brownout_fault::{
    read::{Object, Problem, text, unknown, whole},
    units::parse_duration,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{keep, owned};

/// How a route treats its upstream. What is `None` has its default; in a change it stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteOptions {
    /// How long the upstream may take to accept a connection: 5s by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<String>,
    /// How long the upstream may take to begin its final answer; `none` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_timeout: Option<String>,
    /// Which connections each core has to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSpec>,
    /// What paths begin with at the listener; the upstream gets what follows. `/` is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// The header of the PROXY protocol that each connection to the upstream begins with: `v1`, `v2`, or `none`, which is the
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_proxy: Option<String>,
}

/// Connections of each core to an upstream. What is `None` has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolSpec {
    /// In use and unused; further requests wait. No limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u64>,
    /// Unused; others are closed. 256 by default, 0 uses none twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_idle: Option<u64>,
    /// How long one is kept unused: 60s by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<String>,
}

impl RouteOptions {
    /// Their names.
    pub(super) const KEYS: [&'static str; 5] = [
        "connect_timeout",
        "head_timeout",
        "pool",
        "path_prefix",
        "send_proxy",
    ];
    const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn read(object: &Object<'_>, problems: &mut Vec<Problem>) -> Self {
        let timeout = |value: &Value| a_time(text(value)?, Self::TIMEOUT_MAX);
        let or_none = |value: &Value| match text(value)? {
            "none" => Ok("none".to_owned()),
            said => a_time(said, Self::TIMEOUT_MAX),
        };
        let connect_timeout = keep(problems, object.optional("connect_timeout", timeout));
        let head_timeout = keep(problems, object.optional("head_timeout", or_none));
        let pool = keep(problems, object.optional("pool", PoolSpec::read));
        let path_prefix = keep(problems, object.optional("path_prefix", owned));
        let send_proxy = keep(problems, object.optional("send_proxy", a_version));
        Self {
            connect_timeout: connect_timeout.flatten(),
            head_timeout: head_timeout.flatten(),
            pool: pool.flatten(),
            path_prefix: path_prefix.flatten(),
            send_proxy: send_proxy.flatten(),
        }
    }

    /// Adds what is said to a route, or a change of one, that is written.
    pub(super) fn write(&self, value: &mut Map<String, Value>) {
        if let Value::Object(said) = json!(self) {
            value.extend(said);
        }
    }
}

impl PoolSpec {
    /// The most connections of each core that may be asked for.
    pub const CONNECTIONS_MAX: u64 = 10_000;
    const IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["max_connections", "max_idle", "idle_timeout"])?;
        let max_connections = whole(1, Self::CONNECTIONS_MAX);
        let max_idle = whole(0, Self::CONNECTIONS_MAX);
        let idle_timeout = |value: &Value| a_time(text(value)?, Self::IDLE_TIMEOUT_MAX);
        Ok(Self {
            max_connections: object.optional("max_connections", max_connections)?,
            max_idle: object.optional("max_idle", max_idle)?,
            idle_timeout: object.optional("idle_timeout", idle_timeout)?,
        })
    }
}

/// A version of the PROXY protocol, or none.
fn a_version(value: &Value) -> Result<String, Problem> {
    const KNOWN: [&str; 3] = ["v1", "v2", "none"];
    match text(value)? {
        known if KNOWN.contains(&known) => Ok(known.to_owned()),
        other => Err(Problem::here(unknown("version", other, &KNOWN))),
    }
}

/// A time from 1 ms to `max`, as it was written.
fn a_time(said: &str, max: Duration) -> Result<String, Problem> {
    let time = parse_duration(said).map_err(Problem::here)?;
    if time < Duration::from_millis(1) || time > max {
        let max = brownout_fault::units::show_duration(max);
        return Err(Problem::here(format!("{said} is outside 1ms to {max}")));
    }
    Ok(said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> (RouteOptions, Vec<Problem>) {
        let mut problems = Vec::new();
        let options = RouteOptions::read(&Object::new(value).unwrap(), &mut problems);
        (options, problems)
    }

    #[test]
    fn options_read_back_as_themselves() {
        let value = json!({
            "connect_timeout": "250ms",
            "head_timeout": "none",
            "pool": { "max_connections": 8, "max_idle": 0, "idle_timeout": "5s" },
            "path_prefix": "/api",
            "send_proxy": "v2",
        });

        let (options, problems) = read(&value);

        assert_eq!(problems, []);
        let mut written = Map::new();
        options.write(&mut written);
        assert_eq!(Value::Object(written), value);
    }

    #[test]
    fn what_is_outside_its_bounds_is_told_with_its_place() {
        for (value, pointer) in [
            (json!({ "connect_timeout": "0s" }), "/connect_timeout"),
            (json!({ "connect_timeout": 5 }), "/connect_timeout"),
            (json!({ "connect_timeout": "none" }), "/connect_timeout"),
            (json!({ "head_timeout": "2h" }), "/head_timeout"),
            (
                json!({ "pool": { "max_connections": 0 } }),
                "/pool/max_connections",
            ),
            (
                json!({ "pool": { "max_idle": 1_000_000 } }),
                "/pool/max_idle",
            ),
            (json!({ "pool": { "max_idel": 1 } }), "/pool/max_idel"),
            (json!({ "path_prefix": true }), "/path_prefix"),
            (json!({ "send_proxy": "v3" }), "/send_proxy"),
            (json!({ "send_proxy": true }), "/send_proxy"),
        ] {
            let (_, problems) = read(&value);
            let pointers: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
            assert_eq!(pointers, [pointer], "{value}");
        }
    }
}
