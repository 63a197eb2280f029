//! What a parameter takes, as a JSON Schema (draft 2020-12).

use serde_json::{Value, json};

use super::{accepts::Accepts, kind::FaultKind, latency::Latency};
use crate::wait::Wait;

impl Accepts {
    /// The same as a JSON Schema (draft 2020-12).
    ///
    /// It refuses what can never be read. What depends on another parameter, or on a span of time or a size being in
    /// its bounds, is left to the reader of the fault, which has the last word.
    #[must_use]
    pub fn schema(&self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::TextUpTo(kib) => json!({ "type": "string", "maxLength": kib * 1024 }),
            Self::Location => json!({ "type": "string", "minLength": 1 }),
            Self::Truth => json!({ "type": "boolean" }),
            Self::Duration(_) | Self::Seconds => text_like(DURATION),
            Self::Date => text_like(&format!("^date:-?{}", &DURATION[1..])),
            Self::Margin => text_like(&DURATION.replacen(r"\s*", r"\s*-?", 1)),
            Self::Durations(max) => json!({
                "type": "array", "items": text_like(DURATION), "minItems": 1, "maxItems": max,
            }),
            Self::Distribution => json!({
                "anyOf": [text_like(DURATION), distribution()],
            }),
            Self::Size | Self::SizeWith(_) => json!({
                "anyOf": [text_like(&format!("{SIZE}\\s*$")), text_like("^[0-9]+$"), { "type": "integer", "minimum": 0 }],
            }),
            Self::Rate => text_like(&format!("{SIZE}\\s*/s\\s*$")),
            Self::Whole(min, max) => {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            }
            Self::OneOf(numbers) => json!({ "enum": numbers }),
            Self::Above(low, high) => {
                json!({ "type": "number", "exclusiveMinimum": low, "maximum": high })
            }
            Self::Below(low, high) => {
                json!({ "type": "number", "minimum": low, "exclusiveMaximum": high })
            }
            Self::Words(words) => json!({ "enum": words }),
            Self::Methods | Self::Names => {
                one_or_many(&json!({ "type": "string", "minLength": 1 }))
            }
            Self::Key => json!({
                "type": "string",
                "pattern": "^(global|connection|client|trace|(header|cookie):.+)$",
            }),
            Self::Fields => json!({
                "type": "object", "additionalProperties": one_or_many(&json!({ "type": "string" })),
            }),
            Self::Weights => json!({
                "type": "object", "minProperties": 1,
                "propertyNames": { "pattern": "^[2-5][0-9][0-9]$" },
                "additionalProperties": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
            }),
            Self::Object(_, members) => {
                let members = members.iter();
                let properties = members.map(|(name, accepts)| (*name, accepts.schema()));
                object(properties)
            }
            Self::Json => json!({}),
            Self::Operations => json!({
                "type": "array", "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["op", "path"],
                    "properties": {
                        "op": { "enum": ["add", "remove", "replace", "move", "copy", "test"] },
                        "path": { "type": "string" },
                        "from": { "type": "string" },
                        "value": {},
                    },
                },
            }),
            Self::Any(all) => {
                let all: Vec<Value> = all.iter().map(Self::schema).collect();
                json!({ "anyOf": all })
            }
        }
    }
}

/// A duration such as `250ms`, `1h30m` or `PT5S`; a bare number is none.
const DURATION: &str = r"^\s*[0-9.Pp].*([A-Za-zµ]|:[0-9.,]+)\s*$";
/// How a size begins.
const SIZE: &str = r"^\s*[0-9]+(\.[0-9]{1,9})?\s*([KkMmGg][Ii]?)?[Bb]";

fn text_like(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// The forms of a distribution, as `latency` has them.
fn distribution() -> Value {
    let params = Latency::PARAMS.iter();
    let own = params.filter(|param| Wait::KEYS.contains(&param.name) || param.name == "cap");
    object(own.map(|param| (param.name, param.accepts.schema())))
}

fn one_or_many(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

/// An object of these members and no others.
pub(crate) fn object<'n>(properties: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let properties = properties.into_iter();
    let properties: serde_json::Map<String, Value> = properties
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}
