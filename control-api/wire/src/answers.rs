//! The small answers.

use std::time::Duration;

use brownout_fault::{
    read::{Object, Problem},
    units::{duration_up_to, parse_duration},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::FaultAnswer;

/// `GET /healthz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `ok`: a process that cannot say so says nothing.
    pub status: String,
}

/// `GET /readyz`: 200 with `ready`, or 503 with `draining`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// `ready`, or `draining` once the process was asked to stop.
    pub status: String,
    /// The routes, sorted by name; none are told to a caller without the token that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteReadiness>>,
}

/// Whether a route takes connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteReadiness {
    /// Its name.
    pub name: String,
    /// Where it listens, with the port that it got.
    pub listen: String,
    /// What becomes of a new connection.
    pub state: RouteState,
}

/// What becomes of a new connection to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// It is accepted.
    Listening,
    /// It is refused, because the route is disabled. That is meant, and keeps nobody from being ready.
    Disabled,
    /// It is refused, or about to be: the process ends.
    Draining,
}

/// `GET /version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// The version of Toxiproxy's API that its clients find here.
    pub version: String,
    /// The version of brownout, such as `0.1.0`.
    pub brownout: String,
}

/// What a call that removes faults took away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// The ids, in the order of creation.
    pub removed: Vec<String>,
    /// The same faults with what they had done; not told by a halt, which has no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Vec<FaultAnswer>>,
}

/// The body of `POST /halt`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Halt {
    /// How long nothing may be armed, zero to lift a lock; `None` leaves a lock as it is.
    pub rearm_after: Option<Duration>,
}

impl Halt {
    /// The longest lock: a day.
    pub const REARM_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// Reads the body.
    ///
    /// # Errors
    /// Every problem with the body, each with its place.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let mut problems: Vec<Problem> = object.unknown(&["rearm_after"]).collect();
        let read = object.optional("rearm_after", |value| {
            match value.as_str().map(parse_duration) {
                Some(Ok(Duration::ZERO)) => Ok(Duration::ZERO),
                _ => duration_up_to(Self::REARM_AFTER_MAX)(value),
            }
        });
        let rearm_after = read.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if problems.is_empty() {
            Ok(Self { rearm_after })
        } else {
            Err(problems)
        }
    }
}
