//! What `GET /stats` says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A service's own account of itself since its start: the body of `GET /stats`.
///
/// Asking is not counted and waits for no worker. What a request has caused is counted before its answer leaves, so
/// whoever has the answer finds it here. Once nothing is queued or running, `received` is the sum of `answered`,
/// `abandoned`, `shed` and `expired`.
///
/// ```json
/// {
///   "service": "homepage",
///   "workers": 2,
///   "received": 30, "answered": 30, "abandoned": 0, "shed": 0, "expired": 0,
///   "queued": 0, "running": 0,
///   "upstreams": {
///     "recommendations": {
///       "policy": "gold",
///       "calls": 30, "attempts": 10, "retries": 0, "retry_budget_exhausted": 0, "hedges": 0,
///       "timeouts": 10, "rejected": 20, "fallbacks": 30,
///       "refused": { "rate_limited": 0, "bulkhead_full": 0, "load_shed": 0 },
///       "outcomes": { "ok": 0, "retried_ok": 0, "fallback": 30, "failed": 0, "rejected": 0 },
///       "breaker": { "scope": "worker", "states": ["open", "open"], "opened": 2, "not_permitted": 20 }
///     }
///   }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Its name in metrics, `popular_items`.
    pub service: String,
    /// Requests that it works on at once.
    pub workers: u64,
    /// Requests that came for its resource.
    pub received: u64,
    /// Requests whose work is done and whose caller was there.
    pub answered: u64,
    /// Requests whose work is done for nobody: the caller had left.
    pub abandoned: u64,
    /// Requests refused because the queue was full.
    pub shed: u64,
    /// Requests dropped before they were begun, because the time that their caller gave them was over.
    pub expired: u64,
    /// Requests that wait for a worker, whether or not their caller still waits.
    pub queued: u64,
    /// Requests that a worker has, whether or not their caller still waits.
    pub running: u64,
    /// Its calls, by the called service's name in metrics.
    pub upstreams: BTreeMap<String, UpstreamStats>,
}

/// A service's calls to one upstream, by all workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStats {
    /// The name of the policy.
    pub policy: String,
    /// Calls, however many attempts each took.
    pub calls: u64,
    /// Requests sent, retries and hedges included.
    pub attempts: u64,
    /// Attempts after the first of a call.
    pub retries: u64,
    /// Calls that were not tried again, only because the budget for retries was used up.
    pub retry_budget_exhausted: u64,
    /// Requests sent because another one of the same attempt took long.
    pub hedges: u64,
    /// Calls that a guard other than the breaker refused.
    pub refused: RefusalStats,
    /// Attempts that ran out of time.
    pub timeouts: u64,
    /// Calls that the breaker refused.
    pub rejected: u64,
    /// Calls that the policy's fallback answered.
    pub fallbacks: u64,
    /// How calls ended. The sum is the calls that have ended.
    pub outcomes: OutcomeStats,
    /// Its breakers, if the policy has one.
    pub breaker: Option<BreakerStats>,
}

/// Calls that a guard refused without sending anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalStats {
    /// By the rate limit.
    pub rate_limited: u64,
    /// By the bulkhead.
    pub bulkhead_full: u64,
    /// By the adaptive bound.
    pub load_shed: u64,
}

/// How calls ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeStats {
    /// With the first attempt's answer.
    pub ok: u64,
    /// With a later attempt's answer.
    pub retried_ok: u64,
    /// With the policy's fallback.
    pub fallback: u64,
    /// With an error, or an answer that is one.
    pub failed: u64,
    /// With a refusal by the breaker, and nothing to fall back to.
    pub rejected: u64,
}

/// The breakers before one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerStats {
    /// `shared` or `worker`.
    pub scope: String,
    /// The state of the shared breaker, or of each worker's: `closed`, `open`, `half_open`.
    pub states: Vec<String>,
    /// How often they went open, all together.
    pub opened: u64,
    /// How often they refused, all together.
    pub not_permitted: u64,
}
