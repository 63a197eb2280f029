//! JSON Schemas (draft 2020-12) of what is not plain serde: the bodies of calls, and faults as they are shown.
//!
//! What a schema of a body refuses is never read; what depends on several members is left to the readers.

use std::borrow::Cow;

use brownout_fault::{FaultSpec, MayAsk};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    CountersAnswer, FaultAnswer, FaultTags, FaultTimes, ListenerTlsSpec, MagnitudeAnswer, PoolSpec,
    RouteCountersAnswer, UpstreamTlsSpec,
};

const NAME: &str = "^[a-z0-9][a-z0-9._-]{0,63}$";
const DURATION: &str = r"^\s*[0-9.Pp].*([A-Za-zµ]|:[0-9.,]+)\s*$";

fn name() -> Value {
    json!({ "type": "string", "pattern": NAME })
}

fn duration(description: &str) -> Value {
    json!({ "type": "string", "pattern": DURATION, "examples": ["250ms", "2m"], "description": description })
}

fn closed(properties: &Value, required: &[&str]) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

/// The tags of a fault, as members of one.
fn tags() -> Map<String, Value> {
    let text = json!({ "type": "string", "minLength": 1, "maxLength": FaultTags::TEXT_BYTES_MAX });
    let labels = json!({
        "anyOf": [text, { "type": "array", "items": text, "maxItems": FaultTags::LABELS_MAX }],
        "description": "words to find and remove it by",
    });
    let mut tags = Map::new();
    tags.insert("labels".to_owned(), labels);
    tags.insert("owner".to_owned(), text);
    tags.insert("lease".to_owned(), name());
    tags
}

/// A fault as it is sent.
#[must_use]
pub fn fault() -> Value {
    let mut schema = FaultSpec::schema();
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.extend(tags());
    }
    schema
}

/// A merge patch of a fault: any of its members, and null for what is to go back to its default.
#[must_use]
pub fn fault_patch() -> Value {
    let mut properties = FaultSpec::properties();
    properties.extend(tags());
    let orders = properties.into_iter();
    let properties: Map<String, Value> = orders
        .map(|(key, schema)| {
            // A patch may name single members of an object.
            let description = schema.get("description").cloned();
            let mut any = json!({});
            if let Some(description) = description {
                any["description"] = description;
            }
            (key, any)
        })
        .collect();
    closed(&Value::Object(properties), &[])
}

/// Schemas of a route's TLS.
#[derive(Debug)]
pub struct RouteTls {
    listener: Schema,
    upstream: Schema,
}

impl RouteTls {
    /// References to them in what `generator` makes.
    #[must_use]
    pub fn new(generator: &mut SchemaGenerator) -> Self {
        Self {
            listener: generator.subschema_for::<ListenerTlsSpec>(),
            upstream: generator.subschema_for::<UpstreamTlsSpec>(),
        }
    }

    /// Themselves, for a schema that has no place for them.
    #[must_use]
    pub fn inline() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.inline_subschemas = true;
        Self::new(&mut settings.into_generator())
    }
}

/// An upstream, or a list of servers that answer the same.
fn servers(description: &str) -> Value {
    let text = json!({ "type": "string" });
    let list = json!({ "type": "array", "items": text, "minItems": 1, "maxItems": 64 });
    json!({ "anyOf": [text, list], "description": format!("{description}; a list is of servers that answer the same") })
}

/// Options of a route, as members of one.
fn route_options() -> Map<String, Value> {
    let count = |min: u64| json!({ "type": "integer", "minimum": min, "maximum": PoolSpec::CONNECTIONS_MAX });
    let pool = json!({
        "max_connections": count(1),
        "max_idle": count(0),
        "idle_timeout": duration("how long a connection is kept unused: 60s by default"),
    });
    let mut pool = closed(&pool, &[]);
    pool["description"] =
        json!("connections of each core: at most so many, so many unused, for so long");
    let members = [
        (
            "connect_timeout",
            duration("how long the upstream may take to accept a connection: 5s by default"),
        ),
        (
            "head_timeout",
            json!({ "type": "string", "description": "how long the upstream may take to begin its final answer; none by default" }),
        ),
        ("pool", pool),
        (
            "path_prefix",
            json!({ "type": "string", "description": "what paths begin with at the listener; the upstream gets what follows" }),
        ),
        (
            "send_proxy",
            json!({
                "enum": ["v1", "v2", "none"],
                "description": "the header of the PROXY protocol that each connection to the upstream begins with; none by default",
            }),
        ),
    ];
    Map::from_iter(members.map(|(key, schema)| (key.to_owned(), schema)))
}

/// A schema with those of the options of a route.
fn with_route_options(mut schema: Value) -> Value {
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.extend(route_options());
    }
    schema
}

/// A route to be made.
#[must_use]
pub fn route(tls: &RouteTls) -> Value {
    with_route_options(closed(
        &json!({
            "name": name(),
            "listen": { "type": "string", "description": "HOST:PORT, with port 0 for a free one, or unix:/PATH[:MODE]" },
            "upstream": servers("http://HOST:PORT[/PATH], https://HOST:PORT[/PATH], tcp://HOST:PORT, tls://HOST:PORT, unix:/PATH or tcp+unix:/PATH; with `protocol` also HOST:PORT"),
            "protocol": {
                "enum": ["http", "http1", "h2", "auto", "tcp"],
                "description": "left out it is as the upstream's scheme says; h2 and auto: the version of HTTP that the upstream gets",
            },
            "tls": tls.listener,
            "upstream_tls": tls.upstream,
            "host": {
                "type": "string", "default": "keep",
                "description": "the Host at the upstream: keep, upstream, or a host",
            },
            "enabled": { "type": "boolean", "default": true },
            "caller_faults": may_ask(),
            "accept_proxy": {
                "type": "boolean", "default": false,
                "description": "whether its connections begin with a header of the PROXY protocol",
            },
        }),
        &["name", "listen", "upstream"],
    ))
}

/// Which callers of a route may ask for faults.
fn may_ask() -> Value {
    let range = json!({ "type": "string", "description": "an address, or a range of them such as 10.0.0.0/8" });
    let ranges =
        json!({ "type": "array", "items": range, "minItems": 1, "maxItems": MayAsk::NETWORKS_MAX });
    let percent = json!({
        "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 100 },
            { "type": "string", "pattern": "^[0-9]+/[0-9]+$" },
        ],
        "default": 100,
        "description": "of the requests that ask for one kind of fault, at most so many in a hundred are given it, or \"1/1000\"; a request may ask \
                        for less itself, not for more",
    });
    json!({
        "anyOf": [
            { "type": "boolean" },
            range,
            ranges,
            {
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "properties": {
                    "percent": percent,
                    "from": { "anyOf": [range, ranges], "description": "from where; left out from everywhere" },
                },
            },
        ],
        "description": "whether its callers may ask for faults by header fields, or from where, and at most how many of those that ask are \
                        given what they ask for; left out nobody may. For HTTP alone",
    })
}

/// A change of a route.
#[must_use]
pub fn route_patch(tls: &RouteTls) -> Value {
    with_route_options(closed(
        &json!({
            "listen": { "type": "string" },
            "upstream": servers("a new one"),
            "tls": tls.listener,
            "upstream_tls": tls.upstream,
            "host": { "type": "string" },
            "enabled": { "type": "boolean" },
            "caller_faults": may_ask(),
            "accept_proxy": { "type": "boolean" },
        }),
        &[],
    ))
}

/// A lease to be made.
#[must_use]
pub fn lease() -> Value {
    let properties = json!({
        "id": name(),
        "ttl": duration("how long it lasts when nobody renews it: 100ms to 24h"),
        "owner": { "type": "string", "minLength": 1, "maxLength": FaultTags::TEXT_BYTES_MAX },
    });
    closed(&properties, &["ttl"])
}

/// The renewal of a lease.
#[must_use]
pub fn lease_renewal() -> Value {
    closed(
        &json!({ "ttl": duration("a new length: 100ms to 24h") }),
        &[],
    )
}

/// A halt.
#[must_use]
pub fn halt() -> Value {
    let rearm_after = "how long nothing may be armed, up to 24h; \"0s\" lifts a lock";
    closed(&json!({ "rearm_after": duration(rearm_after) }), &[])
}

/// What is asked of `POST /explain`.
#[must_use]
pub fn explain() -> Value {
    let text = json!({ "type": "string" });
    let headers = json!({
        "type": "object",
        "additionalProperties": { "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] },
    });
    let imagined = closed(
        &json!({
            "route": text,
            "method": { "type": "string", "default": "GET", "maxLength": 32 },
            "path": { "type": "string", "default": "/", "description": "with its query" },
            "headers": headers,
            "client": { "type": "string", "default": "127.0.0.1", "description": "an IP address" },
            "connection_seq": { "type": "integer", "minimum": 1, "maximum": 1_000_000_000, "default": 1 },
        }),
        &["route"],
    );
    let number =
        json!({ "type": "integer", "minimum": 0, "description": "its number in GET /requests" });
    json!({ "oneOf": [imagined, closed(&json!({ "number": number }), &["number"])] })
}

/// What a dry run answers of one fault: it as it would be armed.
#[must_use]
pub fn tried(recent: &Value) -> Value {
    let mut properties = FaultSpec::properties();
    properties.extend(tags());
    properties.insert("dry_run".to_owned(), json!({ "const": true }));
    properties.insert(
        "acts_on".to_owned(),
        json!({ "type": "array", "items": { "type": "string" }, "description": "the routes that are there now" }),
    );
    properties.insert("recent".to_owned(), recent.clone());
    closed(
        &Value::Object(properties),
        &["route", "percent", "ttl", "dry_run", "acts_on"],
    )
}

impl JsonSchema for FaultAnswer {
    fn schema_name() -> Cow<'static, str> {
        "FaultAnswer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = FaultSpec::properties();
        properties.extend(tags());
        let time = json!({ "type": "string", "format": "date-time" });
        let beside = [
            (
                "id",
                json!({ "type": "string", "description": "that of a toxic is free text" }),
            ),
            (
                "state",
                json!({ "enum": ["waiting", "active", "spent", "expired", "ended"] }),
            ),
            ("created_at", time.clone()),
            (
                "expires_at",
                json!({ "type": ["string", "null"], "format": "date-time" }),
            ),
            ("revision", json!({ "type": "integer", "minimum": 0 })),
            (
                "counters",
                generator.subschema_for::<CountersAnswer>().to_value(),
            ),
            (
                "by_route",
                json!({
                    "type": "object",
                    "description": "what it did on each route that it met, if it names several",
                    "additionalProperties": generator.subschema_for::<RouteCountersAnswer>().to_value(),
                }),
            ),
            (
                "magnitude",
                generator.subschema_for::<MagnitudeAnswer>().to_value(),
            ),
            ("times", generator.subschema_for::<FaultTimes>().to_value()),
            ("ended_at", time),
            (
                "reason",
                json!({ "enum": ["removed", "replaced", "expired", "spent", "halted", "lease", "route", "shutdown"] }),
            ),
        ];
        properties.extend(beside.map(|(key, schema)| (key.to_owned(), schema)));
        let required = [
            "id",
            "route",
            "match",
            "percent",
            "ttl",
            "state",
            "created_at",
            "expires_at",
            "revision",
            "counters",
            "magnitude",
        ];
        let mut schema = closed(&Value::Object(properties), &required);
        schema["description"] =
            json!("A fault: its spec with every default, and what became of it.");
        Schema::try_from(schema).unwrap_or_default()
    }
}
