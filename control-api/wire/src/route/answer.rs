//! Routes as the API shows them.

use brownout_fault::MayAsk;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{ListenerTlsSpec, Protocol, RouteOptions, UpstreamTlsSpec};

fn schema_of_may_ask(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "array", "items": { "type": "string" } }] })
}

/// A route as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteAnswer {
    /// The name of the route.
    pub name: String,
    /// Where it listens, with the port it got.
    pub listen: String,
    /// The upstream, as it was given.
    pub upstream: String,
    /// Each of its servers, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerAnswer>,
    /// The protocol, which never changes.
    pub protocol: Protocol,
    /// TLS of its listener, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTlsSpec>,
    /// TLS to its upstream, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_tls: Option<UpstreamTlsSpec>,
    /// The `Host` that requests have at the upstream, if it is not the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How it treats its upstream, where that is not the default.
    #[serde(flatten)]
    pub options: RouteOptions,
    /// Whether it accepts connections; a route that is disabled refuses them.
    pub enabled: bool,
    /// Whether its callers may ask for faults by header fields, or the ranges of addresses from which they may.
    #[serde(default)]
    #[schemars(schema_with = "schema_of_may_ask")]
    pub caller_faults: MayAsk,
    /// Whether its connections begin with a header of the PROXY protocol.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_proxy: bool,
    /// Client connections that are open.
    pub connections: u64,
    /// Requests since it was made.
    pub requests: u64,
    /// Bytes of request content since it was made.
    pub bytes_in: u64,
    /// Bytes of answer content since it was made.
    pub bytes_out: u64,
    /// Attempts to connect that were not answered since it listens: each SYN, also one that is sent again, that a fault
    /// ignored or for which the kernel's queue had no place.
    #[serde(default)]
    pub unanswered_syns: u64,
    /// The ids of the armed faults that act on it.
    pub faults: Vec<String>,
}

/// One of several servers of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerAnswer {
    /// As it is written in the upstream.
    pub url: String,
    /// Whether it could be connected to when that was tried last.
    pub state: ServerState,
    /// How often it could not be connected to, since the route has this upstream.
    pub connect_failures: u64,
}

/// Whether a server gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// It gets them in its turn.
    Ok,
    /// It is tried last; every 10 s one request finds out whether it accepts again.
    Failing,
}

/// `GET /routes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteList {
    /// Sorted by name.
    pub routes: Vec<RouteAnswer>,
}
