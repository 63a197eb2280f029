//! What happened, as `GET /events` tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CountersAnswer, RequestRecord};

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
    /// What was lost, where it was not events with a number: `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// A request that has ended, as `GET /requests` tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RequestRecord>>,
    /// What routes did in the last `over_us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Vec<RouteStats>>,
    /// The time that `stats` are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_us: Option<u64>,
    /// When the clock was 0, in µs since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_unix_us: Option<u64>,
}

impl EventRecord {
    /// The sort of the first event of a stream: it tells the clock.
    pub const CLOCK: &'static str = "clock";
    /// The sort of the event that tells what a reader lost.
    pub const LOST: &'static str = "lost";
    /// The sort of an event that tells a request which has ended.
    pub const REQUEST: &'static str = "request";
    /// The sort of an event that tells what routes did in the last second.
    pub const STATS: &'static str = "stats";
    /// What a reader may ask for besides what happens to faults, routes and leases.
    pub const INCLUDES: [&'static str; 2] = [Self::REQUEST, Self::STATS];
}

/// What one route did in a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteStats {
    /// The route.
    pub route: String,
    /// Requests that began.
    pub requests: u64,
    /// Requests that ended, answered or not.
    pub ended: u64,
    /// Of these, those answered with 500 and above, and those without an answer.
    pub errors: u64,
    /// The mean of how long they took, in µs; none where none ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_us: Option<u64>,
    /// Requests in flight now.
    pub in_flight: i64,
    /// Connections of clients now.
    pub connections: i64,
}
