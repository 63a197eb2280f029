//! JSON merge patch (RFC 7396).

use serde_json::Value;

/// Changes `target` as `patch` says: RFC 7396 §2.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(target), Value::Object(patch)) = (&mut *target, patch) else {
        patch.clone_into(target);
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.shift_remove(key);
            }
            Value::Object(_) => {
                let member = target
                    .entry(key.as_str())
                    .or_insert_with(|| Value::Object(Default::default()));
                if !member.is_object() {
                    *member = Value::Object(Default::default());
                }
                merge(member, value);
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}
