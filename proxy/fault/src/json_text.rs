//! JSON text that is changed in places: what no change names keeps its text, every digit of its numbers included.

mod marks;
mod numbers;

pub(crate) use self::marks::depth_of;
pub use self::numbers::inexact_number;

use std::{borrow::Cow, fmt};

use json_patch::{PatchOperation, jsonptr::Pointer};
use serde::de::IgnoredAny;
use serde_json::Value;

use self::marks::{end_of_name, parts, trimmed};

/// A value in a JSON text. It is taken apart only where a change leads through it.
#[derive(Debug, Clone)]
pub(crate) enum JsonText<'t> {
    /// As it was written. Text that is owned is never an array or an object.
    Verbatim(Cow<'t, str>),
    Array(Vec<Self>),
    Object(Vec<Member<'t>>),
}

/// A member of an object; `name` is a JSON string, as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Member<'t> {
    name: Cow<'t, str>,
    value: JsonText<'t>,
}

impl Member<'_> {
    fn is_named(&self, name: &str) -> bool {
        let quoted = self
            .name
            .strip_prefix('"')
            .and_then(|it| it.strip_suffix('"'));
        match quoted {
            Some(plain) if !plain.contains('\\') => plain == name,
            _ => serde_json::from_str::<String>(&self.name).is_ok_and(|own| own == name),
        }
    }
}

impl<'t> JsonText<'t> {
    /// The whole text; `None` if it is no JSON.
    pub(crate) fn read(text: &'t [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let _is_json: IgnoredAny = serde_json::from_str(text).ok()?;
        Some(Self::Verbatim(trimmed(text).into()))
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => Self::Array(items.iter().map(Self::of).collect()),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, value)| Member {
                        name: quoted(name),
                        value: Self::of(value),
                    })
                    .collect(),
            ),
            scalar => Self::Verbatim(scalar.to_string().into()),
        }
    }

    /// Changes it as `patch` says (RFC 7396 §2).
    pub(crate) fn merge(&mut self, patch: &Value) {
        let Value::Object(patch) = patch else {
            *self = Self::of(patch);
            return;
        };
        self.take_apart();
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        let Self::Object(members) = self else {
            return;
        };
        for (name, value) in patch {
            if value.is_null() {
                members.retain(|member| !member.is_named(name));
            } else if let Some(member) = members.iter_mut().rfind(|member| member.is_named(name)) {
                member.value.merge(value);
            } else {
                let mut added = Self::Object(Vec::new());
                added.merge(value);
                members.push(Member {
                    name: quoted(name),
                    value: added,
                });
            }
        }
    }

    /// Carries out one operation (RFC 6902 §4); `None` if it does not fit.
    pub(crate) fn patch(&mut self, operation: &PatchOperation) -> Option<()> {
        match operation {
            PatchOperation::Add(add) => self.add(&add.path, Self::of(&add.value)),
            PatchOperation::Remove(remove) => self.remove(&remove.path).map(drop),
            PatchOperation::Replace(replace) => {
                *self.at(&replace.path)? = Self::of(&replace.value);
                Some(())
            }
            PatchOperation::Move(moved) => {
                if moved.path.starts_with(&moved.from) && moved.path.len() != moved.from.len() {
                    return None;
                }
                let value = self.remove(&moved.from)?;
                self.add(&moved.path, value)
            }
            PatchOperation::Copy(copy) => {
                let value = self.at(&copy.from)?.clone();
                self.add(&copy.path, value)
            }
            PatchOperation::Test(test) => self.at(&test.path)?.equals(&test.value).then_some(()),
        }
    }

    fn at(&mut self, pointer: &Pointer) -> Option<&mut Self> {
        let mut tokens = pointer.tokens();
        tokens.try_fold(self, |place, token| place.child(&token.decoded()))
    }

    fn child(&mut self, token: &str) -> Option<&mut Self> {
        self.take_apart();
        match self {
            Self::Verbatim(_) => None,
            Self::Array(items) => items.get_mut(index(token)?),
            Self::Object(members) => {
                let member = members.iter_mut().rfind(|member| member.is_named(token))?;
                Some(&mut member.value)
            }
        }
    }

    fn add(&mut self, pointer: &Pointer, value: Self) -> Option<()> {
        let Some((parent, last)) = pointer.split_back() else {
            *self = value;
            return Some(());
        };
        let parent = self.at(parent)?;
        parent.take_apart();
        let last = last.decoded();
        match parent {
            Self::Verbatim(_) => return None,
            Self::Array(items) => {
                let at = if last == "-" {
                    items.len()
                } else {
                    index(&last)?
                };
                if at > items.len() {
                    return None;
                }
                items.insert(at, value);
            }
            Self::Object(members) => {
                match members.iter_mut().rfind(|member| member.is_named(&last)) {
                    Some(member) => member.value = value,
                    None => members.push(Member {
                        name: quoted(&last),
                        value,
                    }),
                }
            }
        }
        Some(())
    }

    fn remove(&mut self, pointer: &Pointer) -> Option<Self> {
        let (parent, last) = pointer.split_back()?;
        let parent = self.at(parent)?;
        parent.take_apart();
        let last = last.decoded();
        match parent {
            Self::Verbatim(_) => None,
            Self::Array(items) => {
                let at = index(&last).filter(|at| *at < items.len())?;
                Some(items.remove(at))
            }
            Self::Object(members) => {
                let at = members.iter().rposition(|member| member.is_named(&last))?;
                let removed = members.remove(at).value;
                // Of members with one name most readers take the last: the others must not come to light.
                members.retain(|member| !member.is_named(&last));
                Some(removed)
            }
        }
    }

    /// Whether it is the same value: numbers by what they are worth, objects in any order (RFC 6902 §4.6).
    fn equals(&self, value: &Value) -> bool {
        serde_json::from_str::<Value>(&self.to_string()).is_ok_and(|own| is_equal(&own, value))
    }

    /// Makes items or members of a text that is an array or an object.
    fn take_apart(&mut self) {
        let Self::Verbatim(Cow::Borrowed(text)) = self else {
            return;
        };
        let text: &'t str = text;
        let verbatim = |part: &'t str| Self::Verbatim(trimmed(part).into());
        match text.as_bytes().first() {
            Some(b'[') => *self = Self::Array(parts(text).into_iter().map(verbatim).collect()),
            Some(b'{') => {
                let member = |part: &'t str| {
                    let (name, value) = part.split_at(end_of_name(part));
                    Member {
                        name: trimmed(name).into(),
                        value: verbatim(value.strip_prefix(':').unwrap_or(value)),
                    }
                };
                *self = Self::Object(parts(text).into_iter().map(member).collect());
            }
            _ => {}
        }
    }

    /// Whether it is written in no more than `bytes_left`, and is taken apart no deeper than `depth`.
    pub(crate) fn fits(&self, depth: usize, bytes_left: &mut usize) -> bool {
        let mut takes = |bytes: usize| {
            let left = bytes_left.checked_sub(bytes);
            *bytes_left = left.unwrap_or(0);
            left.is_some()
        };
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        match self {
            Self::Verbatim(text) => takes(text.len()),
            Self::Array(items) => {
                takes(items.len() + 2) && items.iter().all(|item| item.fits(depth, bytes_left))
            }
            Self::Object(members) => {
                takes(
                    members
                        .iter()
                        .map(|member| member.name.len() + 2)
                        .sum::<usize>()
                        + 2,
                ) && members
                    .iter()
                    .all(|member| member.value.fits(depth, bytes_left))
            }
        }
    }
}

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verbatim(text) => f.write_str(text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at > 0 { "," } else { "" })?;
                    fmt::Display::fmt(item, f)?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (at, Member { name, value }) in members.iter().enumerate() {
                    f.write_str(if at > 0 { "," } else { "" })?;
                    write!(f, "{name}:{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(text: &str) -> Cow<'static, str> {
    Value::from(text).to_string().into()
}

/// An index of an array (RFC 6901 §4): digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let has_leading_zero = token.len() > 1 && token.starts_with('0');
    let is_number = token.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !has_leading_zero).then(|| token.parse().ok())?
}

fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let is_whole = |number: &serde_json::Number| !number.is_f64();
            one == other || (!(is_whole(one) && is_whole(other)) && one.as_f64() == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| is_equal(value, other))
            };
            one.len() == other.len() && one.iter().all(is_there)
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(text: &str, patch: &Value) -> String {
        let mut text = JsonText::read(text.as_bytes()).unwrap();
        text.merge(patch);
        text.to_string()
    }

    fn patched(text: &str, operation: Value) -> Option<String> {
        let operation: PatchOperation = serde_json::from_value(operation).unwrap();
        let mut text = JsonText::read(text.as_bytes()).unwrap();
        text.patch(&operation).map(|()| text.to_string())
    }

    #[test]
    fn the_cases_of_rfc_7396_come_out_as_it_says() {
        for (text, patch, result) in [
            (r#"{"a":"b"}"#, json!({ "a": "c" }), r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, json!({ "b": "c" }), r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, json!({ "a": null }), "{}"),
            (r#"{"a":"b","b":"c"}"#, json!({ "a": null }), r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, json!({ "a": "c" }), r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, json!({ "a": ["b"] }), r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                json!({ "a": { "b": "d", "c": null } }),
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, json!({ "a": [1] }), r#"{"a":[1]}"#),
            (r#"["a","b"]"#, json!(["c", "d"]), r#"["c","d"]"#),
            (r#"{"a":"b"}"#, json!(["c"]), r#"["c"]"#),
            (r#"{"a":"foo"}"#, json!(null), "null"),
            (r#"{"a":"foo"}"#, json!("bar"), r#""bar""#),
            (r#"{"e":null}"#, json!({ "a": 1 }), r#"{"e":null,"a":1}"#),
            ("[1,2]", json!({ "a": "b", "c": null }), r#"{"a":"b"}"#),
            (
                "{}",
                json!({ "a": { "bb": { "ccc": null } } }),
                r#"{"a":{"bb":{}}}"#,
            ),
        ] {
            assert_eq!(merged(text, &patch), result, "{text} {patch}");
        }
    }

    #[test]
    fn what_a_patch_does_not_name_keeps_its_text() {
        let numbers = r#"[123456789012345678901234567890, 19.999999999999999999,1E400,-0.0,1.10]"#;
        let text = format!(
            r#" {{ "\u0061b" : {numbers}, "s":"\u00e9\/\ud800", "o":{{"x": 1e2,"y":2}} }} "#
        );
        let merge = json!({ "o": { "y": 3 } });
        let expected =
            format!(r#"{{"\u0061b":{numbers},"s":"\u00e9\/\ud800","o":{{"x":1e2,"y":3}}}}"#);
        assert_eq!(merged(&text, &merge), expected);
        let replace = json!({ "op": "replace", "path": "/o/y", "value": 3 });
        assert_eq!(patched(&text, replace).unwrap(), expected);
        let first = json!({ "op": "replace", "path": "/ab/3", "value": 7 });
        let changed = patched(&text, first).unwrap();
        assert!(
            changed.contains("[123456789012345678901234567890,19.999999999999999999,1E400,7,1.10]"),
            "{changed}"
        );
        let moved = json!({ "op": "move", "from": "/ab/0", "path": "/o/id" });
        let changed = patched(&text, moved).unwrap();
        assert!(
            changed.contains(r#""id":123456789012345678901234567890}"#),
            "{changed}"
        );
    }

    #[test]
    fn the_operations_of_rfc_6902_do_what_it_says() {
        let text = r#"{"a":[1,2],"b/c":{"~":1},"d":1.0}"#;
        for (operation, result) in [
            (
                json!({ "op": "add", "path": "/a/1", "value": 7 }),
                Some(r#"{"a":[1,7,2],"b/c":{"~":1},"d":1.0}"#),
            ),
            (
                json!({ "op": "add", "path": "/a/-", "value": 7 }),
                Some(r#"{"a":[1,2,7],"b/c":{"~":1},"d":1.0}"#),
            ),
            (json!({ "op": "add", "path": "/a/3", "value": 7 }), None),
            (json!({ "op": "add", "path": "/a/01", "value": 7 }), None),
            (json!({ "op": "add", "path": "/d/x", "value": 7 }), None),
            (json!({ "op": "add", "path": "", "value": 7 }), Some("7")),
            (
                json!({ "op": "add", "path": "/d", "value": {} }),
                Some(r#"{"a":[1,2],"b/c":{"~":1},"d":{}}"#),
            ),
            (
                json!({ "op": "remove", "path": "/b~1c/~0" }),
                Some(r#"{"a":[1,2],"b/c":{},"d":1.0}"#),
            ),
            (json!({ "op": "remove", "path": "/a/2" }), None),
            (json!({ "op": "remove", "path": "/a/-" }), None),
            (json!({ "op": "remove", "path": "" }), None),
            (json!({ "op": "replace", "path": "/e", "value": 1 }), None),
            (
                json!({ "op": "replace", "path": "/a/0", "value": "x" }),
                Some(r#"{"a":["x",2],"b/c":{"~":1},"d":1.0}"#),
            ),
            (json!({ "op": "move", "from": "/a", "path": "/a/0" }), None),
            (
                json!({ "op": "move", "from": "/a/0", "path": "/a/1" }),
                Some(r#"{"a":[2,1],"b/c":{"~":1},"d":1.0}"#),
            ),
            (
                json!({ "op": "copy", "from": "/d", "path": "/a/0" }),
                Some(r#"{"a":[1.0,1,2],"b/c":{"~":1},"d":1.0}"#),
            ),
            (
                json!({ "op": "test", "path": "/d", "value": 1 }),
                Some(text),
            ),
            (
                json!({ "op": "test", "path": "/b~1c", "value": { "~": 1.0 } }),
                Some(text),
            ),
            (json!({ "op": "test", "path": "/a", "value": [2, 1] }), None),
        ] {
            let got = patched(text, operation.clone());
            assert_eq!(got.as_deref(), result, "{operation}");
        }
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        let text = r#"{"a":1,"a":2}"#;
        assert_eq!(merged(text, &json!({ "a": 3 })), r#"{"a":1,"a":3}"#);
        assert_eq!(merged(text, &json!({ "a": null })), "{}");
        let remove = json!({ "op": "remove", "path": "/a" });
        assert_eq!(patched(text, remove).unwrap(), "{}");
    }

    #[test]
    fn only_brackets_outside_of_strings_nest() {
        assert_eq!(depth_of(r#"{"[[\"[":[{"a":"}]"}],"b":[]}"#), 3);
        assert_eq!(depth_of("1"), 0);
    }
}
