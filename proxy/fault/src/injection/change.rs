//! Changes of a message's head and body.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use json_patch::PatchOperation;
use serde_json::Value;

use crate::{
    edits::{EditFields, FieldEdit, apply},
    fields::Fields,
    json_text::{JsonText, depth_of},
};

/// What is changed about a message; everything else stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// The status of an answer.
    pub status: Option<StatusCode>,
    /// The fields, in this order.
    pub edits: Arc<[FieldEdit]>,
    /// The body.
    pub body: Option<BodyChange>,
}

/// What is changed about a body.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyChange {
    /// This instead.
    Replace(Bytes),
    /// A JSON merge patch (RFC 7396). What is no JSON stays as it is, and members that stay keep their order.
    Merge(Value),
    /// A JSON patch (RFC 6902). What is no JSON stays as it is, and so does what one of its operations does not fit.
    Patch(Vec<PatchOperation>),
    /// JSON with a value of another type in each place where a client looks first: in the members of an object, or instead of
    /// anything else. What is no JSON stays as it is.
    WrongTypes,
}

/// How deep a JSON text may be nested after a patch. What is deeper stays as it is.
const DEPTH_MAX: usize = 128;

impl Change {
    /// The longest body that is patched: it must be kept whole. Longer ones pass as they are.
    pub const PATCHED_BYTES_MAX: usize = 1024 * 1024;

    /// Whether it sets the field of this name, which is in lower case.
    #[must_use]
    pub fn sets(&self, name: &str) -> bool {
        self.edits.iter().any(|edit| match edit {
            FieldEdit::Set(field) | FieldEdit::Append(field) => field.name == name,
            FieldEdit::Remove(_) => false,
        })
    }

    /// Changes the fields of `head`.
    pub fn apply_to(&self, head: &mut impl EditFields) {
        apply(&self.edits, head);
    }
}

impl BodyChange {
    /// Whether it changes JSON, and nothing else.
    #[must_use]
    pub fn needs_json(&self) -> bool {
        match self {
            Self::Replace(_) => false,
            Self::Merge(_) | Self::Patch(_) | Self::WrongTypes => true,
        }
    }

    /// Whether a body with these fields may be JSON that can be read: of a JSON type, or of none, and not compressed.
    #[must_use]
    pub fn may_be_json(fields: &dyn Fields) -> bool {
        if fields.has("content-encoding") {
            return false;
        }
        let Some(content_type) = fields.first("content-type") else {
            return true;
        };
        let content_type = std::str::from_utf8(content_type).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        // RFC 6839 §3.1: `+json` says how it is written.
        matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json")
    }

    /// The body after the change; `None` when it stays as it is.
    #[must_use]
    pub fn apply(&self, body: &[u8]) -> Option<Bytes> {
        match self {
            Self::Replace(other) => Some(other.clone()),
            Self::Merge(patch) => {
                let mut text = JsonText::read(body)?;
                text.merge(patch);
                written(&text, body)
            }
            Self::Patch(operations) => {
                let mut text = JsonText::read(body)?;
                for operation in operations {
                    text.patch(operation)?;
                    // Each copy may double it.
                    let mut bytes_left = Change::PATCHED_BYTES_MAX * 4;
                    if !text.fits(DEPTH_MAX, &mut bytes_left) {
                        return None;
                    }
                }
                written(&text, body)
            }
            Self::WrongTypes => {
                let value = serde_json::from_slice(body).ok()?;
                Some(Bytes::from(with_wrong_types(value).to_string()))
            }
        }
    }
}

/// Of an object, the same members with values of other types; of anything else, a value of another type.
fn with_wrong_types(value: Value) -> Value {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let members = members.into_iter();
            Value::Object(members.map(|(key, it)| (key, of_wrong_type(&it))).collect())
        }
        other => of_wrong_type(&other),
    }
}

fn of_wrong_type(value: &Value) -> Value {
    match value {
        Value::Null => Value::Bool(false),
        Value::Bool(truth) => Value::String(truth.to_string()),
        Value::Number(number) => Value::String(number.to_string()),
        Value::String(_) => Value::Array(Vec::new()),
        Value::Array(_) => Value::Object(serde_json::Map::new()),
        Value::Object(_) => Value::Array(Vec::new()),
    }
}

/// The text, unless it is nested too deep or is `body` still.
fn written(text: &JsonText<'_>, body: &[u8]) -> Option<Bytes> {
    let text = text.to_string();
    let is_changed = text.as_bytes() != body && depth_of(&text) <= DEPTH_MAX;
    is_changed.then(|| Bytes::from(text))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_changes_json_and_leaves_the_rest() {
        let merge = BodyChange::Merge(json!({ "price": -1, "stock": null }));

        let changed = merge.apply(br#"{"id":7,"price":3,"stock":4}"#).unwrap();
        assert_eq!(changed, r#"{"id":7,"price":-1}"#);
        assert_eq!(merge.apply(b"not json"), None);
        let without_a = BodyChange::Merge(json!({ "a": null }));
        let changed = without_a.apply(br#"{"a":1,"b":2,"c":3}"#).unwrap();
        assert_eq!(changed, r#"{"b":2,"c":3}"#);
    }

    #[test]
    fn wrong_types_keep_the_members_and_change_each_value() {
        let wrong = |body: &str| {
            let changed = BodyChange::WrongTypes.apply(body.as_bytes())?;
            Some(String::from_utf8(changed.to_vec()).unwrap())
        };

        let page = r#"{"items":[1],"total":1,"next":null,"ok":true,"name":"a","page":{"n":1}}"#;
        assert_eq!(
            wrong(page).unwrap(),
            r#"{"items":{},"total":"1","next":false,"ok":"true","name":[],"page":[]}"#
        );
        assert_eq!(wrong("[1,2]").unwrap(), "{}");
        assert_eq!(wrong("{}").unwrap(), "[]");
        assert_eq!(wrong("7").unwrap(), r#""7""#);
        assert_eq!(wrong("hello"), None);
    }

    fn patching(operations: Value) -> BodyChange {
        BodyChange::Patch(serde_json::from_value(operations).unwrap())
    }

    #[test]
    fn a_patch_that_does_not_fit_changes_nothing_at_all() {
        let patch = patching(json!([
            { "op": "replace", "path": "/price", "value": -1 },
            { "op": "test", "path": "/id", "value": 7 },
        ]));

        let changed = patch.apply(br#"{"id":7,"price":3}"#).unwrap();

        assert_eq!(changed, r#"{"id":7,"price":-1}"#);
        assert_eq!(patch.apply(br#"{"id":8,"price":3}"#), None);
        assert_eq!(patch.apply(br#"{"id":7}"#), None);
        assert_eq!(patch.apply(b"not json"), None);
    }

    #[test]
    fn a_patch_that_grows_without_end_is_stopped() {
        let copies = |from: &str, path: &str| {
            let copy = json!({ "op": "copy", "from": from, "path": path });
            patching(Value::Array(vec![copy; 60]))
        };
        let deep = copies("", "/a");
        let long = copies("/a", "/a/-");

        let nested = format!("{}{{}}{}", r#"{"a":"#.repeat(100), "}".repeat(100));

        assert_eq!(deep.apply(nested.as_bytes()), None);
        assert_eq!(long.apply(br#"{"a":["0123456789"]}"#), None);
    }

    #[test]
    fn only_what_says_it_is_json_or_says_nothing_is_taken_for_json() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            BodyChange::may_be_json(&headers)
        };

        assert!(BodyChange::may_be_json(&HeaderMap::new()));
        assert!(with("content-type", "application/json"));
        assert!(with(
            "content-type",
            "Application/Problem+JSON; charset=utf-8"
        ));
        assert!(!with("content-type", "text/html"));
        assert!(!with("content-type", "application/x-ndjson"));
        assert!(!with("content-encoding", "gzip"));
    }
}
