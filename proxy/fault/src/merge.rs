//! JSON merge patch (RFC 7396). Members keep their order, which chance between weights depends on.

use serde_json::{Map, Value};

/// Changes `target` as `patch` says: RFC 7396 §2.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        patch.clone_into(target);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(mut target: Value, patch: &Value) -> String {
        merge(&mut target, patch);
        target.to_string()
    }

    #[test]
    fn the_cases_of_the_rfc_come_out_as_it_says() {
        for (target, patch, result) in [
            (json!({ "a": "b" }), json!({ "a": "c" }), r#"{"a":"c"}"#),
            (
                json!({ "a": "b" }),
                json!({ "b": "c" }),
                r#"{"a":"b","b":"c"}"#,
            ),
            (json!({ "a": "b" }), json!({ "a": null }), "{}"),
            (json!({ "a": ["b"] }), json!({ "a": "c" }), r#"{"a":"c"}"#),
            (
                json!({ "a": { "b": "c" } }),
                json!({ "a": { "b": "d", "c": null } }),
                r#"{"a":{"b":"d"}}"#,
            ),
            (json!(["a", "b"]), json!(["c", "d"]), r#"["c","d"]"#),
            (json!({ "a": "b" }), json!(null), "null"),
            (
                json!({ "e": null }),
                json!({ "a": 1 }),
                r#"{"e":null,"a":1}"#,
            ),
            (
                json!([1, 2]),
                json!({ "a": "b", "c": null }),
                r#"{"a":"b"}"#,
            ),
            (
                json!({}),
                json!({ "a": { "bb": { "ccc": null } } }),
                r#"{"a":{"bb":{}}}"#,
            ),
        ] {
            assert_eq!(merged(target.clone(), &patch), result, "{target} {patch}");
        }
    }

    #[test]
    fn what_stays_keeps_its_order() {
        let target = json!({ "a": 1, "b": { "x": 1, "y": 2, "z": 3 }, "c": 3 });
        let patch = json!({ "a": null, "b": { "x": null, "y": 4 } });

        assert_eq!(merged(target, &patch), r#"{"b":{"y":4,"z":3},"c":3}"#);
    }
}
