//! Changes of a message's head and body.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use json_patch::{PatchOperation, patch};
use serde_json::Value;

use crate::{
    edits::{EditFields, FieldEdit, apply},
    fields::Fields,
    merge::merge,
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
    /// The members of an object of which one is removed may come in another order.
    Patch(Vec<PatchOperation>),
}

/// How deep a JSON text may be nested after a patch, as deep as one may be that is read.
const DEPTH_MAX: usize = 128;

impl Change {
    /// The longest body that is patched: it must be kept whole. Longer ones pass as they are.
    pub const PATCHED_BYTES_MAX: usize = 1024 * 1024;

    /// Whether it does nothing but patch a body, and so nothing at all to an answer whose body does not fit.
    pub(crate) fn needs_a_fitting_body(&self) -> bool {
        let patches = self.body.as_ref().is_some_and(BodyChange::needs_json);
        patches && self.status.is_none() && self.edits.is_empty()
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
            Self::Merge(_) | Self::Patch(_) => true,
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
                let mut value: Value = serde_json::from_slice(body).ok()?;
                merge(&mut value, patch);
                Some(Bytes::from(value.to_string()))
            }
            Self::Patch(operations) => {
                let mut value: Value = serde_json::from_slice(body).ok()?;
                for operation in operations {
                    patch(&mut value, std::slice::from_ref(operation)).ok()?;
                    // Each copy may double it.
                    let mut bytes_left = Change::PATCHED_BYTES_MAX * 4;
                    if !fits(&value, DEPTH_MAX, &mut bytes_left) {
                        return None;
                    }
                }
                Some(Bytes::from(value.to_string()))
            }
        }
    }
}

/// Whether a value is no deeper than `depth` and, roughly, no longer than `bytes_left`.
fn fits(value: &Value, depth: usize, bytes_left: &mut usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    let own = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.len() + 2,
        Value::Object(members) => members.keys().map(|key| key.len() + 4).sum::<usize>() + 2,
    };
    let Some(left) = bytes_left.checked_sub(own) else {
        return false;
    };
    *bytes_left = left;
    match value {
        Value::Array(items) => items.iter().all(|item| fits(item, depth, bytes_left)),
        Value::Object(members) => members.values().all(|item| fits(item, depth, bytes_left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
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
