//! `mutate`: requests and answers are changed on their way.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::{
    Accepts, Draw, FaultKind, Param, Phase,
    message::{FieldValues, flat, header_name, headers, headers_value, status},
    params, written,
};
use crate::{
    edits::{FieldEdit, setting},
    injection::{BodyChange, Change, Injection},
    read::{Object, Problem, expected, one_of, one_or_many, text},
    written::single_or_list,
};

/// Changes requests before the upstream sees them, and answers before the client does: fields, status, body.
///
/// A JSON patch (RFC 6902) or merge patch (RFC 7396) needs the whole body, so the answer waits until the body has
/// come, up to 1 MiB. What it does not name keeps its text, every digit of a number included. What is longer, compressed,
/// of a type that is not JSON's, or what the patch does not fit passes as it is. An answer to HEAD and one with the status
/// 204, 205 or 304 gets no body. A fault that changed nothing counts as skipped.
///
/// A preset is an answer that looks well and is of no use: `wrong_type_json` gives each member of a JSON object, or other JSON as a
/// whole, a value of another type; `empty_object` is `{}` with 200; `html_200` is a small HTML page with 200.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutate {
    preset: Option<Preset>,
    request: Option<Box<Side>>,
    response: Option<Box<Side>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preset {
    WrongTypeJson,
    EmptyObject,
    Html200,
}

impl Preset {
    const WORDS: &'static [&'static str] = &["wrong_type_json", "empty_object", "html_200"];

    fn read(value: &Value) -> Result<Self, Problem> {
        Ok(match one_of("preset", Self::WORDS)(value)? {
            "wrong_type_json" => Self::WrongTypeJson,
            "empty_object" => Self::EmptyObject,
            _ => Self::Html200,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::WrongTypeJson => "wrong_type_json",
            Self::EmptyObject => "empty_object",
            Self::Html200 => "html_200",
        }
    }

    fn response(self) -> Box<Side> {
        const PAGE: &str = "<!doctype html>\n<html><head><title>Welcome</title></head>\n<body><h1>Welcome</h1></body></html>\n";
        let well = |content_type: &str, body: &str| {
            let answer = json!({ "status": 200, "set": { "content-type": content_type }, "body": body });
            let object = Object::new(&answer).expect("it is an object");
            Side::from_object(&object).expect("it is well-formed")
        };
        Box::new(match self {
            Self::WrongTypeJson => Side::of_change(Change {
                body: Some(BodyChange::WrongTypes),
                ..Change::default()
            }),
            Self::EmptyObject => well("application/json", "{}"),
            Self::Html200 => well("text/html; charset=utf-8", PAGE),
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Side {
    set: FieldValues,
    remove: Vec<HeaderName>,
    status: Option<StatusCode>,
    body: Option<String>,
    json_merge: Option<Value>,
    json_patch: Option<Vec<PatchOperation>>,
    /// All of the above, made ready once.
    change: Arc<Change>,
}

/// What may be said of a request.
const REQUEST: &[(&str, Accepts)] = &[("set", Accepts::Fields), ("remove", Accepts::Names)];
/// What may be said of an answer.
const RESPONSE: &[(&str, Accepts)] = &[
    ("set", Accepts::Fields),
    ("remove", Accepts::Names),
    ("status", Accepts::Whole(200, 599)),
    ("body", Accepts::TextUpTo(64)),
    ("json_merge", Accepts::Json),
    ("json_patch", Accepts::Operations),
];

/// The longest body that may be given: 64 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most operations of a patch.
const OPERATIONS_MAX: usize = 100;

fn json_patch(value: &Value) -> Result<Vec<PatchOperation>, Problem> {
    let Value::Array(operations) = value else {
        return Err(expected("a list of operations (RFC 6902)", value));
    };
    if operations.is_empty() || operations.len() > OPERATIONS_MAX {
        return Err(Problem::here(format!("must have 1 to {OPERATIONS_MAX} operations")));
    }
    let operation = |value: &Value| {
        let words = ["add", "remove", "replace", "move", "copy", "test"];
        Object::new(value)?.required("op", one_of("operation", &words))?;
        serde_json::from_value(value.clone())
            .map_err(|error| Problem::here(format!("is no operation of RFC 6902: {error}")))
    };
    operations
        .iter()
        .enumerate()
        .map(|(at, value)| operation(value).map_err(|problem| problem.under(&at.to_string())))
        .collect()
}

impl Side {
    fn read(
        members: &'static [(&'static str, Accepts)],
    ) -> impl Fn(&Value) -> Result<Box<Self>, Problem> {
        move |value| {
            let keys: Vec<&str> = members.iter().map(|(key, _)| *key).collect();
            let object = Object::new(value)?;
            object.only(&keys)?;
            if object.keys().next().is_none() {
                let known = keys.join("`, `");
                return Err(Problem::here(format!("changes nothing; give `{known}`")));
            }
            Self::from_object(&object).map(Box::new)
        }
    }

    /// What cannot be written by its members.
    fn of_change(change: Change) -> Self {
        Self {
            set: FieldValues::new(),
            remove: Vec::new(),
            status: None,
            body: None,
            json_merge: None,
            json_patch: None,
            change: Arc::new(change),
        }
    }

    fn from_object(object: &Object<'_>) -> Result<Self, Problem> {
        let set = object.optional("set", headers(&[]))?.unwrap_or_default();
        let remove = object.optional("remove", one_or_many(|value| header_name(text(value)?)))?;
        let remove = remove.unwrap_or_default();
        let status = object.optional("status", status)?;
        let body = object.optional("body", |value| text(value).map(str::to_owned))?;
        let json_merge = object.optional("json_merge", |value| Ok(value.clone()))?;
        if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err(Problem::at("body", "is longer than 64 KiB"));
        }
        let json_patch = object.optional("json_patch", json_patch)?;
        let change = match (&body, &json_merge, &json_patch) {
            (Some(_), Some(_), _) => {
                return Err(Problem::at("json_merge", "does not go with `body`"));
            }
            (Some(_), _, Some(_)) => {
                return Err(Problem::at("json_patch", "does not go with `body`"));
            }
            (_, Some(_), Some(_)) => {
                return Err(Problem::at("json_patch", "does not go with `json_merge`"));
            }
            (Some(body), None, None) => Some(BodyChange::Replace(Bytes::from(body.clone()))),
            (None, Some(patch), None) => Some(BodyChange::Merge(patch.clone())),
            (None, None, Some(patch)) => Some(BodyChange::Patch(patch.clone())),
            (None, None, None) => None,
        };
        let removing = remove.iter().map(|name| FieldEdit::Remove(name.as_str().to_owned().into()));
        let change = Change {
            status,
            edits: removing.chain(setting(flat(&set))).collect(),
            body: change,
        };
        Ok(Self {
            set,
            remove,
            status,
            body,
            json_merge,
            json_patch,
            change: Arc::new(change),
        })
    }

    fn to_value(&self) -> Value {
        let remove = self.remove.iter().map(ToString::to_string);
        written([
            ("set", (!self.set.is_empty()).then(|| headers_value(&self.set))),
            ("remove", (!self.remove.is_empty()).then(|| single_or_list(remove))),
            ("status", self.status.map(|status| json!(status.as_u16()))),
            ("body", self.body.as_ref().map(|body| json!(body))),
            ("json_merge", self.json_merge.clone()),
            ("json_patch", self.json_patch.as_ref().map(|patch| json!(patch))),
        ])
    }
}

impl FaultKind for Mutate {
    const NAME: &'static str = "mutate";
    const SUMMARY: &'static str = "changes requests and answers on their way";
    const PHASE: Phase = Phase::ResponseHead;
    const PARAMS: &'static [Param] = &[
        Param::new("request", Accepts::Object("object of set and remove", REQUEST), "", "header fields that are set, and names of those that go, before the upstream sees them"),
        Param::new("response", Accepts::Object("object of set, remove, status, body, json_merge and json_patch", RESPONSE), "", "the same for the answer, another status, and another body (up to 64 KiB), a JSON merge patch (RFC 7396) or a JSON patch (RFC 6902) of it: of bodies up to 1 MiB that are JSON and not compressed, others pass as they are; what a patch does not name keeps its text"),
        Param::new("preset", Accepts::Words(Preset::WORDS), "", "instead of both, an answer that looks well and is of no use: JSON with values of other types in the members of its object, `{}`, or an HTML page, these two with 200"),
    ];
    const EXAMPLE: &'static str = r#"{"response":{"status":201,"set":{"x-mutated":"yes"}}}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let request = object.optional("request", Side::read(REQUEST))?;
        let response = object.optional("response", Side::read(RESPONSE))?;
        let preset = object.optional("preset", Preset::read)?;
        match (preset, &request, &response) {
            (None, None, None) => {
                Err(Problem::here("changes nothing; give `request`, `response` or `preset`"))
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                Err(Problem::at("preset", "does not go with `request` and `response`"))
            }
            (Some(preset), None, None) => Ok(Self {
                preset: Some(preset),
                request,
                response: Some(preset.response()),
            }),
            (None, _, _) => Ok(Self {
                preset,
                request,
                response,
            }),
        }
    }

    fn to_value(&self) -> Value {
        if let Some(preset) = self.preset {
            return json!({ "preset": preset.word() });
        }
        written([
            ("request", self.request.as_deref().map(Side::to_value)),
            ("response", self.response.as_deref().map(Side::to_value)),
        ])
    }

    fn phase(&self) -> Phase {
        match self.request {
            Some(_) => Phase::Request,
            None => Phase::ResponseHead,
        }
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        if let Some(side) = &self.request {
            into.edit_request(&side.change.edits);
        }
        if let Some(side) = &self.response {
            into.change_answer(&side.change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_it_was_written() {
        let spec = json!({
            "request": { "set": { "x-a": ["1", "2"] }, "remove": "cookie" },
            "response": { "status": 201, "json_merge": { "price": null } },
        });

        assert_eq!(Mutate::read(&spec).unwrap().to_value(), spec);

        let patch = json!([
            { "op": "replace", "path": "/price", "value": -1 },
            { "op": "move", "from": "/a", "path": "/b" },
        ]);
        let spec = json!({ "response": { "json_patch": patch } });
        assert_eq!(Mutate::read(&spec).unwrap().to_value(), spec);
    }

    #[test]
    fn a_preset_stands_alone_and_reads_back() {
        for word in Preset::WORDS {
            let spec = json!({ "preset": word });
            assert_eq!(Mutate::read(&spec).unwrap().to_value(), spec);
        }
        let both = Mutate::read(&json!({ "preset": "html_200", "response": { "status": 201 } }));
        assert_eq!(both.unwrap_err().pointer, "/preset");
        let unknown = Mutate::read(&json!({ "preset": "html" })).unwrap_err();
        assert_eq!(unknown.pointer, "/preset");
    }

    #[test]
    fn what_changes_nothing_or_breaks_framing_is_refused_with_its_place() {
        let cases = [
            (json!({}), ""),
            (json!({ "response": {} }), "/response"),
            (json!({ "request": { "status": 200 } }), "/request/status"),
            (json!({ "request": { "remove": "content-length" } }), "/request/remove"),
            (json!({ "response": { "set": { "transfer-encoding": "x" } } }), "/response/set/transfer-encoding"),
            (json!({ "response": { "body": "a", "json_merge": {} } }), "/response/json_merge"),
            (json!({ "response": { "body": "a", "json_patch": [{ "op": "remove", "path": "/a" }] } }), "/response/json_patch"),
            (json!({ "response": { "json_patch": [] } }), "/response/json_patch"),
            (json!({ "response": { "json_patch": {} } }), "/response/json_patch"),
            (json!({ "response": { "json_patch": [{ "op": "ad", "path": "/a", "value": 1 }] } }), "/response/json_patch/0/op"),
            (json!({ "response": { "json_patch": [{ "op": "add", "path": "/a" }] } }), "/response/json_patch/0"),
            (json!({ "response": { "json_patch": [{ "op": "remove", "path": "a" }] } }), "/response/json_patch/0"),
            (json!({ "request": { "json_patch": [{ "op": "remove", "path": "/a" }] } }), "/request/json_patch"),
        ];
        for (value, pointer) in cases {
            assert_eq!(Mutate::read(&value).unwrap_err().pointer, pointer, "{value}");
        }
    }
}
