//! Keys of span attributes that are our own.
//!
//! Those of HTTP follow OpenTelemetry's semantic conventions and are set by
//! [`Tracer::server`](crate::Tracer::server) and [`Span::client`](crate::Span::client). No
//! convention exists for injected faults and client policies.

/// What is known about an attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its key on spans.
    pub key: &'static str,
    /// The kind of span that has it.
    pub on: &'static str,
    /// One sentence for people.
    pub help: &'static str,
}

macro_rules! table {
    ($($constant:ident = $key:literal on $on:literal $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $key;
        )*

        /// Every attribute of ours.
        pub const ALL: &[Attribute] = &[$(Attribute { key: $key, on: $on, help: $help }),*];
    };
}

table! {
    FAULT_INJECTED = "fault.injected" on "SERVER"
        "`true` on a span that a fault touched; absent otherwise."
    FAULT_ID = "fault.id" on "SERVER"
        "Id of the fault; of several, the first that ended the exchange."
    FAULT_TYPE = "fault.type" on "SERVER"
        "The fault's kind: `latency`, `abort`, `reset` and so on."
    FAULT_PHASE = "fault.phase" on "SERVER"
        "Where it struck: `request`, `response` or `body`."
    FAULT_DELAY_MS = "fault.delay_ms" on "SERVER"
        "The delay that was really added, in milliseconds."
    FAULT_STATUS_CODE = "fault.status_code" on "SERVER"
        "The status that was answered in the upstream's place."
    FAULT_MATCH = "fault.match" on "SERVER"
        "By what the fault chose the request: `baggage`, `header`, `request` (any other condition), `percent` or `all`."
    FAULT_BYTES = "fault.bytes" on "SERVER"
        "Bytes of the answer's body that were passed on under a fault that shapes or ends it."
    FAULT_REVISION = "fault.revision" on "SERVER"
        "Revision of the fault set that was in force."
    FAULT_IDS = "fault.ids" on "SERVER"
        "Ids of all faults that struck, when there were several."
    FAULT_TYPES = "fault.types" on "SERVER"
        "Kinds of all faults that struck, in the order of `fault.ids`."
    BROWNOUT_ROUTE = "brownout.route" on "SERVER"
        "Name of the proxy's route."
    BROWNOUT_UPSTREAM_MS = "brownout.upstream_ms" on "SERVER"
        "Time that the upstream took, in milliseconds. With the three that follow it sums to the whole."
    BROWNOUT_FAULT_MS = "brownout.fault_ms" on "SERVER"
        "Time that faults took."
    BROWNOUT_CLIENT_MS = "brownout.client_ms" on "SERVER"
        "Time in which the client did not take what there was, or its content was waited for."
    BROWNOUT_OWN_MS = "brownout.own_ms" on "SERVER"
        "Time that the proxy took itself."
    RESILIENCE_POLICY = "resilience.policy" on "INTERNAL"
        "Name of the policy that governed the call."
    RESILIENCE_OUTCOME = "resilience.outcome" on "INTERNAL"
        "`ok`, `retried_ok`, `fallback`, `failed` or `rejected`."
    RESILIENCE_ATTEMPTS = "resilience.attempts" on "INTERNAL"
        "Requests that the call sent."
    HEDGE_INDEX = "hedge.index" on "CLIENT"
        "Which request of an attempt a hedge is, from 1; the first request has none."
    CIRCUITBREAKER_NAME = "circuitbreaker.name" on "INTERNAL"
        "Name of the circuit breaker."
    CIRCUITBREAKER_STATE = "circuitbreaker.state" on "INTERNAL"
        "Its state when the call asked: `closed`, `half_open` or `open`."
    FALLBACK_USED = "fallback.used" on "INTERNAL"
        "`true` when the fallback answered."
    FALLBACK_REASON = "fallback.reason" on "INTERNAL"
        "The error that the fallback hid."
}
