//! A change of a fault, as a JSON merge patch (RFC 7396).

use serde_json::Value;

use crate::{
    merge::merge,
    read::{Problem, expected},
    spec::FaultSpec,
};

/// The spec after a merge patch. The id stays. A `start` that is over and not named is no longer held against the `ttl`.
pub(super) fn patched(
    spec: &FaultSpec,
    id: &str,
    patch: &Value,
    begun: bool,
) -> Result<FaultSpec, Vec<Problem>> {
    if !patch.is_object() {
        return Err(vec![expected("an object", patch)]);
    }
    if patch.get("id").is_some_and(|named| named != id) {
        return Err(vec![Problem::at(
            "id",
            format!("cannot be changed; it is `{id}`"),
        )]);
    }
    let mut value = spec.to_value();
    if begun && patch.get("start").is_none() {
        value["start"] = "0s".into();
    }
    merge(&mut value, patch);
    FaultSpec::read(&value)
}
