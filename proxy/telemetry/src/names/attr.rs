//! Keys of span attributes that are our own.
//!
//! Those of HTTP follow OpenTelemetry's semantic conventions and are set by
//! [`Tracer::server`](crate::Tracer::server) and [`Span::client`](crate::Span::client). No
//! convention exists for injected faults and client policies.

/// `true` on a span that a fault touched; absent otherwise.
pub const FAULT_INJECTED: &str = "fault.injected";
/// Id of the fault; of several, the first that ended the exchange.
pub const FAULT_ID: &str = "fault.id";
/// The fault's kind: `latency`, `abort`, `reset` and so on.
pub const FAULT_TYPE: &str = "fault.type";
/// Where it struck: `request`, `response` or `body`.
pub const FAULT_PHASE: &str = "fault.phase";
/// The delay that was really added, in milliseconds.
pub const FAULT_DELAY_MS: &str = "fault.delay_ms";
/// The status that was answered in the upstream's place.
pub const FAULT_STATUS_CODE: &str = "fault.status_code";
/// By what the fault chose the request: `baggage`, `header`, `request` (any other condition), `percent` or `all`.
pub const FAULT_MATCH: &str = "fault.match";
/// Bytes of the answer's body that were passed on under a fault that shapes or ends it.
pub const FAULT_BYTES: &str = "fault.bytes";
/// Revision of the fault set that was in force.
pub const FAULT_REVISION: &str = "fault.revision";
/// Ids of all faults that struck, when there were several.
pub const FAULT_IDS: &str = "fault.ids";
/// Kinds of all faults that struck, in the order of [`FAULT_IDS`].
pub const FAULT_TYPES: &str = "fault.types";

/// Name of the proxy's route.
pub const BROWNOUT_ROUTE: &str = "brownout.route";

/// Name of the policy that governed the call.
pub const RESILIENCE_POLICY: &str = "resilience.policy";
/// `ok`, `retried_ok`, `fallback`, `failed` or `rejected`.
pub const RESILIENCE_OUTCOME: &str = "resilience.outcome";
/// Requests that the call sent.
pub const RESILIENCE_ATTEMPTS: &str = "resilience.attempts";
/// Which request of an attempt a hedge is, from 1; the first request has none.
pub const HEDGE_INDEX: &str = "hedge.index";
/// Name of the circuit breaker.
pub const CIRCUITBREAKER_NAME: &str = "circuitbreaker.name";
/// Its state when the call asked: `closed`, `half_open` or `open`.
pub const CIRCUITBREAKER_STATE: &str = "circuitbreaker.state";
/// `true` when the fallback answered.
pub const FALLBACK_USED: &str = "fallback.used";
/// The error that the fallback hid.
pub const FALLBACK_REASON: &str = "fallback.reason";
