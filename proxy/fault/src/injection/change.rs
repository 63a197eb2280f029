//! Changes of a message's head and body.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::merge::merge;

/// What is changed about a message; everything else stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// The status of an answer.
    pub status: Option<StatusCode>,
    /// Fields that go, before others are set.
    pub remove: Vec<HeaderName>,
    /// Fields that are set; values of one name follow each other.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Option<BodyChange>,
}

/// What is changed about a body.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyChange {
    /// This instead.
    Replace(Bytes),
    /// A JSON merge patch (RFC 7396). What is no JSON stays as it is.
    Merge(Value),
}

impl Change {
    /// The longest body that is merged: it must be kept whole. Longer ones pass as they are.
    pub const MERGED_BYTES_MAX: usize = 1024 * 1024;

    /// Changes the fields.
    pub fn apply_to(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        let mut previous = None;
        for (name, value) in &self.set {
            if previous == Some(name) {
                headers.append(name.clone(), value.clone());
            } else {
                headers.insert(name.clone(), value.clone());
            }
            previous = Some(name);
        }
    }
}

impl BodyChange {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_go_before_others_are_set() {
        let change = Change {
            remove: vec![HeaderName::from_static("server")],
            set: vec![
                (HeaderName::from_static("x-a"), HeaderValue::from(1)),
                (HeaderName::from_static("x-a"), HeaderValue::from(2)),
            ],
            ..Change::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("nginx"));
        headers.insert("x-a", HeaderValue::from(0));

        change.apply_to(&mut headers);

        let values: Vec<_> = headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(!headers.contains_key("server"));
    }

    #[test]
    fn a_merge_changes_json_and_leaves_the_rest() {
        let merge = BodyChange::Merge(json!({ "price": -1, "stock": null }));

        let changed = merge.apply(br#"{"id":7,"price":3,"stock":4}"#).unwrap();
        assert_eq!(changed, r#"{"id":7,"price":-1}"#);
        assert_eq!(merge.apply(b"not json"), None);
    }
}
