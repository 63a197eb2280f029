//! What happened, as `GET /events` tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CountersAnswer;

/// One event. What does not belong to its sort is left out. Times are µs on the proxy's clock, as in `GET /requests`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// Its number, from 1, without gaps; `clock` and `lost` have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it happened. Events come as they were noticed: a first strike is noticed some milliseconds later.
    pub t_us: u64,
    /// Its sort, such as `fault.created`.
    pub event: String,
    /// The id of the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The name of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The id of the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The kind of the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why the fault ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the fault did until it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<CountersAnswer>,
    /// The faults that a halt removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Vec<String>>,
    /// Who made the change: `api`, `file`, `signal`, `clock` or `shutdown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The number of the change of what is armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// How many events made room for others before they could be sent to this reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// When the clock was 0, in µs since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_unix_us: Option<u64>,
}

impl EventRecord {
    /// The sort of the first event of a stream: it tells the clock.
    pub const CLOCK: &'static str = "clock";
    /// The sort of the event that tells what a reader lost.
    pub const LOST: &'static str = "lost";
}
