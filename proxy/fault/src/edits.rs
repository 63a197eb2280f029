//! Changes of header fields, as a list to be applied to any head.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of a field: a token in lower case (RFC 9110 §5.1).
pub type FieldName = Cow<'static, str>;

/// A header field that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: FieldName,
    /// Its value: no control bytes but HTAB (RFC 9110 §5.5).
    pub value: Bytes,
}

impl Field {
    /// The caller has checked both.
    pub(crate) fn new(name: impl Into<FieldName>, value: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// One change of a head's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldEdit {
    /// All fields of this name go.
    Remove(FieldName),
    /// This field stands in the place of all fields of its name, or is added.
    Set(Field),
    /// This field is added behind those of its name.
    Append(Field),
}

/// A head whose fields can be changed. Names are in lower case.
pub trait EditFields {
    /// Removes all fields of this name.
    fn remove(&mut self, name: &str);

    /// Puts this field in the place of all fields of its name, or adds it.
    fn set(&mut self, field: &Field);

    /// Adds this field behind those of its name.
    fn append(&mut self, field: &Field);
}

/// Makes the changes of `edits` to `head`, in order.
pub fn apply(edits: &[FieldEdit], head: &mut impl EditFields) {
    for edit in edits {
        match edit {
            FieldEdit::Remove(name) => head.remove(name),
            FieldEdit::Set(field) => head.set(field),
            FieldEdit::Append(field) => head.append(field),
        }
    }
}

/// Sets each of `fields`; the values of one name that follow each other are all kept.
pub(crate) fn setting(fields: impl IntoIterator<Item = Field>) -> Vec<FieldEdit> {
    let mut edits: Vec<FieldEdit> = Vec::new();
    for field in fields {
        let follows = match edits.last() {
            Some(FieldEdit::Set(previous) | FieldEdit::Append(previous)) => {
                previous.name == field.name
            }
            Some(FieldEdit::Remove(_)) | None => false,
        };
        edits.push(if follows {
            FieldEdit::Append(field)
        } else {
            FieldEdit::Set(field)
        });
    }
    edits
}

impl EditFields for HeaderMap {
    fn remove(&mut self, name: &str) {
        self.remove(name);
    }

    fn set(&mut self, field: &Field) {
        let (name, value) = pair(field);
        self.insert(name, value);
    }

    fn append(&mut self, field: &Field) {
        let (name, value) = pair(field);
        self.append(name, value);
    }
}

fn pair(field: &Field) -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_bytes(field.name.as_bytes());
    let value = HeaderValue::from_maybe_shared(field.value.clone());
    (
        name.expect("names are checked when a fault is read"),
        value.expect("values are checked when a fault is read"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_in_order_and_values_of_one_name_stay_together() {
        let mut edits = vec![FieldEdit::Remove("server".into())];
        edits.extend(setting([
            Field::new("x-a", "1"),
            Field::new("x-a", "2"),
            Field::new("x-b", "3"),
        ]));
        let mut head = HeaderMap::new();
        head.insert("server", HeaderValue::from_static("nginx"));
        head.insert("x-a", HeaderValue::from(0));

        apply(&edits, &mut head);

        let values: Vec<_> = head.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(head["x-b"], "3");
        assert!(!head.contains_key("server"));
    }
}
