//! The JSON Schema of an experiment's file.

use brownout_fault::FaultSpec;
use brownout_wire::schema::RouteTls;
use serde_json::{Value, json};

use super::VerdictRule;

/// The JSON Schema (draft 2020-12) of a file, for editors: `#:schema ./experiment.schema.json` in its first line.
///
/// It knows every key and type. What needs the whole file (names of routes and faults, units against measures) is
/// checked by [`Experiment::read`](super::Experiment::read) alone.
#[must_use]
pub fn schema() -> Value {
    let duration = json!({ "type": "string", "pattern": "^\\s*[0-9.]+\\s*[a-zµ]+", "examples": ["250ms", "1.5s", "2m"] });
    let name = json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$" });
    let text = json!({ "type": "string" });
    let path = json!({ "type": "string", "pattern": "^/" });
    let watch = json!({
        "description": "Another endpoint, asked all the while; `watch` in expectations",
        "anyOf": [path, {
            "type": "object", "additionalProperties": false, "required": ["path"],
            "properties": { "path": path, "to": text, "rate": { "type": "string", "examples": ["10/s"] } },
        }],
    });
    let positive = json!({ "type": "integer", "minimum": 1 });
    let count = json!({ "type": "integer", "minimum": 0 });
    let expect = json!({
        "type": "array",
        "items": { "$ref": "#/$defs/expectation" },
    });
    let text_or_list =
        json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "brownout experiment",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "phase"],
        "properties": {
            "schema": { "const": 1, "description": "The version of this form" },
            "name": name,
            "title": { "type": "string", "description": "What it shows, as a sentence" },
            "because": { "type": "string", "description": "Why it is there, such as an incident" },
            "owner": text,
            "tags": text_or_list,
            "seed": { "type": "integer", "minimum": 0, "description": "Where all chance comes from" },
            "timeout": { "$ref": "#/$defs/duration", "description": "The wall clock for the whole run; default 10m" },
            "proxy": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "control": { "type": "string", "description": "The control API of a running proxy" },
                    "start": { "type": "boolean", "description": "Start a proxy where none answers" },
                },
            },
            "routes": {
                "type": "object",
                "propertyNames": name,
                "additionalProperties": route(),
            },
            "demo": {
                "type": "object", "additionalProperties": false, "required": ["system"],
                "description": "The demo that `brownout simulate` starts as the system under test",
                "properties": {
                    "system": { "enum": ["homepage", "library"] },
                    "timeout": { "$ref": "#/$defs/duration" },
                    "retries": { "type": "boolean" },
                    "circuit_breakers": { "type": "boolean" },
                    "policy": { "anyOf": [text, { "type": "object" }], "description": "A policy's name, its file, or all of it" },
                    "wait": { "$ref": "#/$defs/duration", "description": "How long open breakers of the gates wait" },
                    "scales": { "type": "boolean", "description": "Another duration scales every time in the file" },
                },
            },
            "load": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "to": { "type": "string", "description": "A route, or http://HOST:PORT" },
                    "path": { "type": "string", "default": "/" },
                    "method": { "type": "string", "default": "GET" },
                    "headers": { "type": "object", "additionalProperties": text },
                    "body": text,
                    "rate": { "type": "string", "examples": ["100/s"], "description": "An open loop" },
                    "connections": { "type": "integer", "minimum": 1, "maximum": 4096, "description": "A closed loop" },
                    "serial": {
                        "type": "object", "additionalProperties": false, "required": ["pages"],
                        "properties": {
                            "pages": { "type": "integer", "minimum": 1, "maximum": 10000 },
                            "to": text, "path": text,
                            "patience": { "$ref": "#/$defs/duration" },
                            "pause": { "$ref": "#/$defs/duration" },
                            "mark": { "$ref": "#/$defs/mark" },
                        },
                    },
                    "external": { "type": "boolean", "description": "Others make the load" },
                    "timeout": { "$ref": "#/$defs/duration" },
                    "mark": { "$ref": "#/$defs/mark" },
                    "watch": watch,
                },
            },
            "steady": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "warmup": { "$ref": "#/$defs/duration" },
                    "duration": { "$ref": "#/$defs/duration" },
                    "min_samples": count,
                    "expect": expect,
                },
            },
            "fault": { "type": "array", "items": { "allOf": [{ "$ref": "#/$defs/fault" }], "required": ["id"] } },
            "phase": {
                "type": "array", "minItems": 1, "maxItems": 100,
                "items": {
                    "type": "object", "additionalProperties": false,
                    "properties": {
                        "name": name,
                        "duration": { "$ref": "#/$defs/duration" },
                        "faults": { "type": "array", "items": { "anyOf": [name, { "$ref": "#/$defs/fault" }] } },
                        "tail": {
                            "description": "The load leaves, and the faults stay until this service is idle",
                            "anyOf": [text, {
                                "type": "object", "additionalProperties": false, "required": ["of"],
                                "properties": { "of": text, "limit": { "$ref": "#/$defs/duration" } },
                            }],
                        },
                        "expect": expect,
                        "after": expect,
                        "load": {
                            "type": "object", "additionalProperties": false,
                            "properties": { "leave_after": { "$ref": "#/$defs/duration" } },
                        },
                    },
                },
            },
            "recovery": {
                "type": "object", "additionalProperties": false,
                "properties": { "observe": { "$ref": "#/$defs/duration" }, "expect": expect },
            },
            "guard": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "halt_if": expect,
                    "min_samples": positive,
                    "lease": { "$ref": "#/$defs/duration" },
                },
            },
            "verdict": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "repeat": {
                        "type": "integer", "minimum": 1, "maximum": VerdictRule::REPEAT_MAX,
                        "description": "How often all is done; an expectation must come out the same each time",
                    },
                    "confidence": { "type": "number", "minimum": 0.5, "exclusiveMaximum": 1 },
                    "inconclusive": { "enum": ["fail", "skip"] },
                    "min_samples": count,
                },
            },
            "report": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "junit": text, "json": text, "html": text, "markdown": text,
                    "github": { "enum": ["auto", "off"] },
                    "traces": { "type": "string", "pattern": "\\{trace_id\\}" },
                },
            },
        },
        "$defs": {
            "duration": duration,
            "mark": { "anyOf": [
                { "enum": ["traceparent", "x-request-id"] },
                { "type": "array", "items": { "enum": ["traceparent", "x-request-id"] } },
            ] },
            "expectation": {
                "type": "string", "maxLength": 300,
                "examples": ["edge.p99 < 1.5x baseline within 10s", "fault(reco-dead).injected >= 20"],
            },
            "fault": {
                "type": "object",
                "required": ["route"],
                "properties": fault_properties(),
                "additionalProperties": false,
            },
        },
    })
}

/// A route of `[routes]`: as that of `POST /routes`, but named by its key, and on a free port where it says nothing.
fn route() -> Value {
    let mut route = brownout_wire::schema::route(&RouteTls::inline());
    if let Some(properties) = route["properties"].as_object_mut() {
        properties.remove("name");
        properties["listen"]["default"] = json!("127.0.0.1:0");
    }
    route["required"] = json!(["upstream"]);
    route
}

/// Every key of a fault: those that all kinds share, `pages` and `for`, and one for each kind with its own schema.
fn fault_properties() -> Value {
    let mut properties = serde_json::Map::new();
    for key in FaultSpec::KEYS {
        properties.insert(key.to_owned(), json!({}));
    }
    for kind in brownout_fault::Fault::kinds() {
        let mut schema = kind.schema();
        if let Some(members) = schema.as_object_mut() {
            members.remove("$schema");
        }
        properties.insert(kind.name.to_owned(), schema);
    }
    properties.insert("for".to_owned(), json!({ "$ref": "#/$defs/duration" }));
    properties.insert(
        "pages".to_owned(),
        json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "every": { "type": "integer", "minimum": 1, "maximum": 1000 },
                "attempts": { "type": "integer", "minimum": 1, "maximum": 1000 },
            },
        }),
    );
    Value::Object(properties)
}
