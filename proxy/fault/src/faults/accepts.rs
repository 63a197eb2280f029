//! What a parameter takes, once for people and once for programs.

use std::fmt;

use serde_json::{Value, json};

use super::{FaultKind, kinds::Latency};
use crate::wait::Wait;

/// What may stand at a parameter. Shown it is a phrase for people; [`schema`](Self::schema) says the same as a JSON
/// Schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Accepts {
    /// Any text.
    Text,
    /// A text of at most so many KiB.
    TextUpTo(u64),
    /// A URL or a path.
    Location,
    /// `true` or `false`.
    Truth,
    /// A span of time of at most so long, such as `"24h"`.
    Duration(&'static str),
    /// A span of time in whole seconds.
    Seconds,
    /// A moment so many whole seconds away, written `date:2s`.
    Date,
    /// A span of time, behind a moment or, with `-`, before it.
    Margin,
    /// Up to so many spans of time.
    Durations(u64),
    /// A span of time, or a form of distribution with its keys.
    Distribution,
    /// A number of bytes.
    Size,
    /// A number of bytes with a bound that is told in words.
    SizeWith(&'static str),
    /// Bytes a second.
    Rate,
    /// A whole number between two, both included.
    Whole(u64, u64),
    /// One of these numbers.
    OneOf(&'static [u64]),
    /// A number above the first and up to the second.
    Above(u64, u64),
    /// A number from the first to below the second.
    Below(u64, u64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A method or several.
    Methods,
    /// The name of a key, as `per` has it, or `"global"`.
    Key,
    /// Header fields with one value or several.
    Fields,
    /// Statuses with weights.
    Weights,
    /// An object of these members and no others; the phrase is for people.
    Object(&'static str, &'static [(&'static str, Self)]),
    /// Names of header fields.
    Names,
    /// Any JSON.
    Json,
    /// A list of operations (RFC 6902).
    Operations,
    /// One of these.
    Any(&'static [Self]),
}

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
            Self::Date => text_like(&format!("^date:{}", &DURATION[1..])),
            Self::Margin => text_like(&DURATION.replacen(r"\s*", r"\s*-?", 1)),
            Self::Durations(max) => json!({
                "type": "array", "items": text_like(DURATION), "minItems": 1, "maxItems": max,
            }),
            Self::Distribution => json!({
                "anyOf": [text_like(DURATION), distribution()],
            }),
            Self::Size | Self::SizeWith(_) => text_like(&format!("{SIZE}\\s*$")),
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

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::TextUpTo(kib) => write!(f, "text, up to {kib} KiB"),
            Self::Location => f.write_str("URL or path"),
            Self::Truth => f.write_str("true or false"),
            Self::Duration(max) => write!(f, "duration, up to {max}"),
            Self::Seconds => f.write_str("duration in whole seconds"),
            Self::Date => f.write_str("\"date:\" and a duration in whole seconds"),
            Self::Margin => f.write_str("duration, up to 1h, or the same with \"-\" before it"),
            Self::Durations(max) => write!(f, "list of up to {max} durations"),
            Self::Distribution => f.write_str("duration or a distribution, as of latency"),
            Self::Size => f.write_str("size"),
            Self::SizeWith(bound) => write!(f, "size, {bound}"),
            Self::Rate => f.write_str("rate, 1B/s to 1TiB/s"),
            Self::Whole(min, max) => write!(f, "whole number, {min} to {max}"),
            Self::OneOf(numbers) => list(f, numbers),
            Self::Above(low, high) => write!(f, "number above {low}, up to {high}"),
            Self::Below(low, high) => write!(f, "number, {low} to below {high}"),
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                list(f, &quoted)
            }
            Self::Methods => f.write_str("method or list of methods"),
            Self::Names => f.write_str("name or list of names"),
            Self::Key => f.write_str(
                "\"global\", or as per: \"client\", \"header:NAME\", \"cookie:NAME\", ...",
            ),
            Self::Fields => f.write_str("object of texts or lists of texts"),
            Self::Weights => f.write_str("object of statuses with weights"),
            Self::Object(phrase, _) => f.write_str(phrase),
            Self::Json => f.write_str("any JSON"),
            Self::Operations => f.write_str("list of operations"),
            Self::Any(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(", or "))
            }
        }
    }
}

/// "a, b or c".
fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        match (at, items.len() - at) {
            (0, _) => {}
            (_, 1) => f.write_str(" or ")?,
            _ => f.write_str(", ")?,
        }
        write!(f, "{item}")?;
    }
    Ok(())
}
