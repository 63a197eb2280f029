//! Every metric's name, in one table.
//!
//! The constants are typed by kind and by number of tags, so that a gauge's name cannot make a
//! counter and a tag cannot be forgotten:
//!
//! ```
//! use brownout_telemetry::{Metrics, names};
//!
//! let metrics = Metrics::new();
//! let requests = metrics.counter(names::PROXY_REQUESTS, &["web"]);
//! requests.add(1);
//! assert_eq!(requests.total(), 1);
//! ```
//!
//! Names that are only known at run time, such as `homepage.get`, are made with
//! [`Metrics::counter_named`](crate::Metrics::counter_named) instead.

pub mod attr;

/// What is known about a metric before anything is counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Dots between parts, lower snake case, for example `proxy.requests`.
    pub name: &'static str,
    /// How its values add up.
    pub kind: Kind,
    /// What one of it is. Durations are `ms`, as they go to statsd; a scraper gets seconds, and inside they are
    /// microseconds.
    pub unit: &'static str,
    /// The keys whose values tell its series apart, in the order in which values are given.
    pub tags: &'static [&'static str],
    /// One sentence for people.
    pub help: &'static str,
}

/// How the values of a metric add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How long things took.
    Histogram,
}

/// The name of a counter with `TAGS` tags.
#[derive(Debug, Clone, Copy)]
pub struct CounterName<const TAGS: usize>(pub(crate) &'static Metric);

/// The name of a gauge with `TAGS` tags.
#[derive(Debug, Clone, Copy)]
pub struct GaugeName<const TAGS: usize>(pub(crate) &'static Metric);

/// The name of a histogram with `TAGS` tags.
#[derive(Debug, Clone, Copy)]
pub struct HistogramName<const TAGS: usize>(pub(crate) &'static Metric);

macro_rules! table {
    ($($kind:ident $constant:ident = $name:literal [$($tag:literal),*] $unit:literal $help:literal)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub const $constant: name_type!($kind, { <[&str]>::len(&[$($tag),*]) }) =
                name_type!($kind)(&Metric {
                    name: $name,
                    kind: Kind::$kind,
                    unit: $unit,
                    tags: &[$($tag),*],
                    help: $help,
                });
        )*

        /// Every metric of the table, in its order.
        pub const ALL: &[&Metric] = &[$($constant.0),*];
    };
}

macro_rules! name_type {
    (Counter $(, $tags:block)?) => { CounterName $(::<$tags>)? };
    (Gauge $(, $tags:block)?) => { GaugeName $(::<$tags>)? };
    (Histogram $(, $tags:block)?) => { HistogramName $(::<$tags>)? };
}

table! {
    Counter PROXY_REQUESTS = "proxy.requests" ["route"] "requests"
        "Requests whose head was read from a client."
    Counter PROXY_RESPONSES = "proxy.responses" ["route", "class"] "responses"
        "Answers by class: 1xx to 5xx, or none when the exchange ended without a head."
    Counter PROXY_ERRORS = "proxy.errors" ["route", "error"] "errors"
        "Exchanges that broke: connect, reset, timeout, head_timeout, pool_full, protocol, client_disconnect, or a word of docs/tls.md."
    Counter PROXY_REFUSED = "proxy.refused" ["route", "why"] "requests"
        "Requests that the proxy answered itself as they broke a rule or a limit of HTTP, by the reason; clients with whom TLS failed, or who sent no header of the PROXY protocol where one is asked for."
    Counter PROXY_BYTES_IN = "proxy.bytes_in" ["route"] "bytes"
        "Bytes received from clients."
    Counter PROXY_BYTES_OUT = "proxy.bytes_out" ["route"] "bytes"
        "Bytes sent to clients."
    Counter PROXY_UPSTREAM_RETRIES = "proxy.upstream_retries" ["route"] "requests"
        "Requests sent again because a pooled upstream connection had gone stale."
    Counter PROXY_SERVER_FAILURES = "proxy.server_failures" ["route", "server"] "attempts"
        "Attempts to connect to one of a route's several servers that failed, or were not accepted for 250 ms. The server is tried last then."
    Histogram PROXY_LATENCY = "proxy.latency" ["route"] "ms"
        "From the request's head to the end of the answer's body."
    Histogram PROXY_UPSTREAM_LATENCY = "proxy.upstream_latency" ["route"] "ms"
        "The upstream's share of the latency."
    Histogram PROXY_OVERHEAD = "proxy.overhead" ["route"] "ms"
        "The proxy's own share: the latency less the upstream's share and injected delays."
    Histogram PROXY_TIME = "proxy.time" ["route", "part"] "ms"
        "Parts of the latency: upstream (it is being waited for), fault, client (it does not take what there is, or its body is being waited for) and own. The four sum to the whole."
    Gauge PROXY_IN_FLIGHT = "proxy.in_flight" ["route"] "requests"
        "Requests that have begun and not ended."
    Gauge PROXY_CONNECTIONS = "proxy.connections" ["route"] "connections"
        "Open client connections."

    Counter FAULT_MATCHED = "fault.matched" ["route", "fault_type"] "requests"
        "Requests or connections that a fault's matcher chose."
    Counter FAULT_INJECTED = "fault.injected" ["route", "fault_type"] "injections"
        "Faults that were carried out."
    Counter FAULT_SKIPPED = "fault.skipped" ["route", "fault_type"] "requests"
        "Matched, but spared: by percent, counts, a fault that ended the exchange first, or an answer that left it nothing to do."
    Counter FAULT_OVERFLOW = "fault.overflow" ["route", "fault_type"] "requests"
        "Passed through untouched because too many requests were already held."
    Counter FAULT_CLIENT_GAVE_UP = "fault.client_gave_up" ["route", "fault_type"] "requests"
        "Clients that left while a fault held their request."
    Counter FAULT_CALLER_IGNORED = "fault.caller_ignored" ["route"] "requests"
        "Requests that asked for a fault by a header field which was malformed, not allowed, or ignored as somebody had halted."
    Histogram FAULT_DELAY = "fault.delay" ["route", "fault_type"] "ms"
        "Time that faults really added."
    Histogram FAULT_LATENESS = "fault.lateness" ["route", "fault_type"] "ms"
        "How much longer than asked for faults held, of holds that were not cut short."
    Gauge FAULT_ACTIVE = "fault.active" ["route", "fault_type"] "requests"
        "Requests or connections that a fault holds now."

    Counter CLIENT_CALLS = "client.calls" ["client", "upstream"] "calls"
        "Logical calls, however many attempts each took."
    Counter CLIENT_OUTCOME = "client.outcome" ["client", "upstream", "outcome"] "calls"
        "How calls ended: ok, retried_ok, fallback, failed or rejected."
    Counter CLIENT_ATTEMPTS = "client.attempts" ["client", "upstream"] "attempts"
        "Requests sent, retries included."
    Counter CLIENT_RETRIES = "client.retries" ["client", "upstream"] "attempts"
        "Attempts after the first."
    Counter CLIENT_RETRY_BUDGET_EXHAUSTED = "client.retry_budget_exhausted" ["client", "upstream"] "calls"
        "Calls that were not tried again, only because the budget for retries was used up."
    Counter CLIENT_HEDGES = "client.hedges" ["client", "upstream"] "requests"
        "Requests sent because another one of the same attempt took long."
    Counter CLIENT_REFUSED = "client.refused" ["client", "upstream", "guard"] "calls"
        "Calls that a rate limit, bulkhead or adaptive bound refused without sending anything."
    Counter CLIENT_TIMEOUTS = "client.timeouts" ["client", "upstream"] "attempts"
        "Attempts that ran out of time."
    Counter CLIENT_FALLBACKS = "client.fallbacks" ["client", "upstream"] "calls"
        "Calls that a fallback answered."
    Histogram CLIENT_LATENCY = "client.latency" ["client", "upstream"] "ms"
        "How long calls took, retries and waits included."
    Histogram CLIENT_ATTEMPT_LATENCY = "client.attempt_latency" ["client", "upstream"] "ms"
        "How long single attempts took."
    Gauge CLIENT_IN_FLIGHT = "client.in_flight" ["client", "upstream"] "calls"
        "Calls that are being made."
    Gauge CLIENT_BULKHEAD_FREE = "client.bulkhead_free" ["client", "upstream"] "places"
        "Free places in the bulkhead."

    Counter CIRCUITBREAKER_TRANSITIONS = "circuitbreaker.transitions" ["breaker", "to"] "transitions"
        "Changes of state, by the state that was entered."
    Counter CIRCUITBREAKER_REJECTED = "circuitbreaker.rejected" ["breaker"] "calls"
        "Calls refused without being sent."
    Gauge CIRCUITBREAKER_STATE = "circuitbreaker.state" ["breaker"] "state"
        "0 closed, 1 half-open, 2 open."
    Gauge CIRCUITBREAKER_FAILURE_RATE = "circuitbreaker.failure_rate" ["breaker"] "percent"
        "Failed calls in the window of the breaker that a call asked last; -1 below the minimum of calls (`NaN` at `/metrics`)."

    Counter CONTROL_REQUESTS = "control.requests" ["method", "route"] "requests"
        "Calls of the control API, by method and route pattern."
    Counter CONTROL_FAULT_CHANGES = "control.fault_changes" [] "changes"
        "Faults made, changed or removed, by whatever cause."
    Gauge CONTROL_REVISION = "control.revision" [] "revision"
        "The number of the last change of what is armed."
    Histogram CONTROL_LATENCY = "control.latency" ["method", "route"] "ms"
        "How long calls of the control API took."

    Counter TELEMETRY_SPANS_ENDED = "telemetry.spans_ended" [] "spans"
        "Recorded spans that ended: the sum of exported, failed, dropped and those still queued."
    Counter TELEMETRY_SPANS_EXPORTED = "telemetry.spans_exported" [] "spans"
        "Spans that the collector accepted."
    Counter TELEMETRY_SPANS_FAILED = "telemetry.spans_failed" [] "spans"
        "Spans that could not be delivered."
    Counter TELEMETRY_SPANS_DROPPED = "telemetry.spans_dropped" [] "spans"
        "Spans given up because the queue was full or the shutdown's deadline had passed."
    Histogram TELEMETRY_EXPORT_TIME = "telemetry.export_time" [] "ms"
        "How long one export of spans took."
    Counter TELEMETRY_STATSD_LINES = "telemetry.statsd_lines" [] "lines"
        "Lines sent to the statsd daemon, up to the flush before."
    Counter TELEMETRY_STATSD_PACKETS = "telemetry.statsd_packets" [] "packets"
        "Packets sent to the statsd daemon, up to the flush before."
    Counter TELEMETRY_STATSD_SEND_ERRORS = "telemetry.statsd_send_errors" [] "errors"
        "Packets that the system refused to send, mostly as nobody listens there. Not seen in the dialect etsy."
    Counter TELEMETRY_SERIES_OVERFLOW = "telemetry.series_overflow" [] "series"
        "Series that were asked for beyond the limit and are counted together as `other`."
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_of_at_most_four_lower_snake_case_parts() {
        let mut seen = BTreeSet::new();

        for metric in ALL {
            assert!(seen.insert(metric.name), "{} is there twice", metric.name);
            for part in metric.name.split('.').chain(metric.tags.iter().copied()) {
                assert!(
                    !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                    "`{part}` in {}",
                    metric.name
                );
            }
            assert!(metric.name.split('.').count() <= 4);
        }
    }
}
