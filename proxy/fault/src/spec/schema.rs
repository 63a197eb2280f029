//! A fault as it is written, as a JSON Schema (draft 2020-12).

use serde_json::{Map, Value, json};

use super::FaultSpec;
use crate::faults::{Accepts, Fault};

impl FaultSpec {
    /// The JSON Schema (draft 2020-12) of a written fault: one kind, and what all kinds share.
    ///
    /// What it refuses is never read; what depends on several members is left to [`read`](Self::read), which has the last word.
    #[must_use]
    pub fn schema() -> Value {
        let kinds = Fault::NAMES
            .iter()
            .map(|kind| json!({ "required": [kind] }));
        json!({
            "type": "object",
            "description": "What goes wrong, where, how often and for how long. It has exactly one kind as a key.",
            "required": ["route"],
            "oneOf": kinds.collect::<Vec<_>>(),
            "properties": Self::properties(),
            "additionalProperties": false,
        })
    }

    /// The members of a written fault with their schemas.
    #[must_use]
    pub fn properties() -> Map<String, Value> {
        let mut properties = Map::new();
        for (key, schema, description) in shared() {
            let mut schema = schema;
            schema["description"] = json!(description);
            properties.insert(key.to_owned(), schema);
        }
        for kind in Fault::kinds() {
            let mut schema = kind.schema();
            if let Some(members) = schema.as_object_mut() {
                members.remove("$schema");
            }
            properties.insert(kind.name.to_owned(), schema);
        }
        properties
    }
}

/// What all kinds share.
fn shared() -> Vec<(&'static str, Value, &'static str)> {
    let text = || json!({ "type": "string" });
    let duration = || Accepts::Duration("").schema();
    let whole = |min: i64, max: i64| json!({ "type": "integer", "minimum": min, "maximum": max });
    let from = |min: u64| json!({ "type": "integer", "minimum": min });
    let some = || one_or_many(&text());
    let named = || json!({ "type": "object", "additionalProperties": some() });
    let object = || json!({ "type": "object" });
    vec![
        ("id", id(), "made from the kind when it is left out"),
        ("route", some(), "a route's name, several, or \"*\" for all"),
        (
            "layer",
            json!({ "enum": ["request", "stream"] }),
            "which engine does it, where a kind exists in both",
        ),
        (
            "direction",
            json!({ "enum": ["upstream", "downstream"] }),
            "which bytes of a connection",
        ),
        (
            "match",
            json!({
                "type": "object", "additionalProperties": false,
                "properties": {
                    "method": some(), "path": some(), "not_path": some(), "host": some(), "header": named(), "query": named(),
                    "cookie": named(), "client": some(), "grpc_method": some(), "baggage": named(),
                    "connection_seq": { "type": ["string", "integer", "object"] },
                },
            }),
            "the requests that it is meant for: all conditions must hold",
        ),
        (
            "percent",
            json!({ "anyOf": [{ "type": "number", "minimum": 0, "maximum": 100 }, { "type": "string", "pattern": "/" }] }),
            "the share of matches that it hits, or a ratio such as \"1/1000\"",
        ),
        ("per", text(), "what a draw belongs to"),
        ("skip_first", from(0), "so many matches pass first"),
        ("every", from(1), "then one match in so many is taken"),
        ("offset", from(0), "the one of those that is taken"),
        ("limit", from(1), "so many injections, then it is spent"),
        ("start", text(), "how long after arming it begins"),
        (
            "ttl",
            json!({ "anyOf": [duration(), { "const": "none" }] }),
            "how long it stays armed; 10m when left out, \"none\" for ever",
        ),
        ("ramp", object(), "grows to full strength"),
        ("wave", object(), "on and off in turn"),
        (
            "pulses",
            json!({ "type": "array", "items": { "type": "object" } }),
            "on in these windows alone",
        ),
        ("nemesis", object(), "on and off by chance"),
        ("burst", object(), "in bursts"),
        ("group", text(), "faults of one group draw alike"),
        (
            "max_active",
            whole(1, 10_000),
            "requests that it holds at once",
        ),
        ("seed", from(0), "its own seed"),
        (
            "priority",
            whole(-1_000_000, 1_000_000),
            "its order inside a phase, higher first",
        ),
        (
            "stealth",
            json!({ "type": "boolean" }),
            "no mark on injected answers",
        ),
        ("note", text(), "free text"),
    ]
}

/// An id, and any other name: `[a-z0-9][a-z0-9._-]{0,63}`.
fn id() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$" })
}

fn one_or_many(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_schema() {
        let properties = FaultSpec::properties();

        for key in FaultSpec::KEYS.iter().chain(Fault::NAMES) {
            assert!(properties.contains_key(*key), "{key}");
        }
        assert_eq!(properties.len(), FaultSpec::KEYS.len() + Fault::NAMES.len());
    }
}
