//! The form in which parts of a fault are written.

use serde_json::{Map, Value};

/// An object of the members that are there.
pub(crate) fn written(members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let members = members.into_iter();
    let present = members.filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

/// A single text as it is, several as a list: the same reading both ways.
pub(crate) fn single_or_list(texts: impl Iterator<Item = String>) -> Value {
    let mut texts: Vec<Value> = texts.map(Value::from).collect();
    if texts.len() == 1 {
        texts.remove(0)
    } else {
        Value::Array(texts)
    }
}
