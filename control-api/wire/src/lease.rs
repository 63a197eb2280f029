//! Leases: a fault that has one ends when nobody renews it.

use std::time::Duration;

use brownout_fault::{
    read::{Object, Problem},
    units::{duration, show_duration},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::tags::{free_text, lease_id};

/// A lease to be made: the body of `POST /leases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSpec {
    /// The id; `None` lets the proxy make one.
    pub id: Option<String>,
    /// How long it lasts when it is not renewed.
    pub ttl: Duration,
    /// The owner, as free text.
    pub owner: Option<String>,
}

/// The shortest time to live of a lease.
const TTL_MIN: Duration = Duration::from_millis(100);
/// The longest.
const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl LeaseSpec {
    const KEYS: [&'static str; 3] = ["id", "ttl", "owner"];

    /// Reads a lease.
    ///
    /// # Errors
    /// All problems, one for each field.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let mut problems: Vec<Problem> = object.unknown(&Self::KEYS).collect();
        let mut keep = |problem| problems.push(problem);
        let id = object.optional("id", lease_id).map_err(&mut keep).ok();
        let ttl = object.required("ttl", ttl).map_err(&mut keep).ok();
        let owner = object.optional("owner", free_text).map_err(&mut keep).ok();
        match (id, ttl, owner) {
            (Some(id), Some(ttl), Some(owner)) if problems.is_empty() => {
                Ok(Self { id, ttl, owner })
            }
            _ => Err(problems),
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut members = Map::new();
        if let Some(id) = &self.id {
            members.insert("id".to_owned(), json!(id));
        }
        members.insert("ttl".to_owned(), json!(show_duration(self.ttl)));
        if let Some(owner) = &self.owner {
            members.insert("owner".to_owned(), json!(owner));
        }
        Value::Object(members)
    }
}

/// The renewal of a lease: the body of `PUT /leases/{id}`, which may be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// A new time to live; `None` keeps the one it has.
    pub ttl: Option<Duration>,
}

impl LeaseRenewal {
    /// Reads a renewal.
    ///
    /// # Errors
    /// Every problem with the body, each with its place.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let mut problems: Vec<Problem> = object.unknown(&["ttl"]).collect();
        let ttl = object.optional("ttl", ttl).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if problems.is_empty() {
            Ok(Self { ttl })
        } else {
            Err(problems)
        }
    }
}

fn ttl(value: &Value) -> Result<Duration, Problem> {
    let ttl = duration(value)?;
    if (TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Ok(ttl);
    }
    Err(Problem::here(format!(
        "{} is outside 100ms to 24h",
        show_duration(ttl)
    )))
}

/// A lease as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseAnswer {
    /// The id of the lease.
    pub id: String,
    /// How long it lasts when it is not renewed, as text.
    pub ttl: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When it was made, on the wall clock.
    pub created_at: Timestamp,
    /// When it ends if it is not renewed.
    pub expires_at: Timestamp,
    /// The ids of the faults that end with it.
    pub faults: Vec<String>,
}

/// `GET /leases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseList {
    /// Sorted by id.
    pub leases: Vec<LeaseAnswer>,
}
