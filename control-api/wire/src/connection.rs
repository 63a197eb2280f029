//! Records of connections, as `GET /connections` answers them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer of `GET /connections`. Times are µs on the proxy's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionList {
    /// Those that are open, the newest first, then those that ended, the last one first.
    pub connections: Vec<ConnectionRecord>,
    /// The clock at the time of the answer, in µs since `began_unix_us`.
    pub now_us: u64,
    /// When the clock was 0, in µs since 1970.
    pub began_unix_us: u64,
    /// The `after` of the next call, to read on without a gap.
    pub next: u64,
    /// Whether further records have ended already: call again at once.
    pub more: bool,
    /// Records after `after` (without it: of all) that were overwritten before they could be read, on any route.
    pub lost: u64,
}

/// What to ask `GET /connections` for. What is `None` is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionQuery {
    /// Only connections of this route; `None` for all routes.
    pub route: Option<String>,
    /// Whether they are open; `None` for either.
    pub open: Option<bool>,
    /// Only those that ended with a greater `seq`, the lowest first; without it the highest.
    pub after: Option<u64>,
    /// So many of those that ended, and so many that are open: 1 to 1,000, by default 100.
    pub limit: Option<usize>,
}

impl ConnectionQuery {
    /// The query's pairs.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let same = crate::RequestQuery {
            route: self.route.clone(),
            fault: None,
            open: self.open,
            after: self.after,
            limit: self.limit,
        };
        same.pairs()
    }
}

/// One connection of a client to a route. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionRecord {
    /// Its number, unique in the process, from 1: the `conn` of its requests.
    pub conn: u64,
    /// Its number in the order of ends, from 1; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The name of its route.
    pub route: String,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<std::net::SocketAddr>,
    /// When it was accepted, in µs on the clock of the answer.
    pub t_open: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_close: Option<u64>,
    /// Time from its acceptance to its end, or to now, in µs.
    pub age_us: u64,
    /// Content that it carried to the upstream so far, in bytes: of requests, without their heads; on a `tcp` route everything.
    #[serde(default)]
    pub bytes_in: u64,
    /// Content that it carried to the client so far.
    #[serde(default)]
    pub bytes_out: u64,
    /// The ids of the faults in force on it: those that are active on its route and take its client, the oldest first, at most
    /// 100. Whether one strikes is also up to its other conditions and its draws. None of a connection that has ended.
    #[serde(default)]
    pub faults: Vec<String>,
    /// Requests that it carried; none on a `tcp` route.
    pub requests: u64,
    /// Whether a request is in progress on it.
    pub busy: bool,
    /// The longest time without a request in progress, in µs; a time that still lasts counts.
    pub longest_idle_us: u64,
    /// Who ended it, and how.
    pub end: ConnectionEnd,
}

/// Who ended a connection, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionEnd {
    /// It has not ended.
    StillOpen,
    /// The client closed it, or its sending side, first.
    ClientFin,
    /// The client reset it.
    ClientRst,
    /// The proxy closed it first.
    ProxyFin,
    /// The proxy reset it.
    ProxyRst,
    /// It carried another protocol than HTTP, and both sides may have ended it.
    Unknown,
}
