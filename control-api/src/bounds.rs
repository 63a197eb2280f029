//! How large the parts of an input may be: looked at before anything is read, so that no part costs more than its
//! length.

use brownout_fault::read::{Problem, shorten};
use serde_json::Value;

/// The longest key of an object.
const KEY_BYTES_MAX: usize = 256;
/// Members of one object.
const MEMBERS_MAX: usize = 256;
/// Elements of one list inside a fault or a route.
const ELEMENTS_MAX: usize = 1_000;
/// What is told at most.
const PROBLEMS_MAX: usize = 50;

/// Checks the parts of one fault, route, lease or other object.
///
/// # Errors
/// The first problems, each with its place.
pub(crate) fn check(value: &Value) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    look(value, &mut problems);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// As [`check`], of one thing or a list of them.
///
/// # Errors
/// The first problem.
pub(crate) fn check_list_of(value: &Value) -> Result<(), Problem> {
    let checked = match value {
        Value::Array(items) if items.len() <= ELEMENTS_MAX => items.iter().try_for_each(check),
        one => check(one),
    };
    checked.map_err(|problems| {
        let first = problems.into_iter().next();
        first.unwrap_or_else(|| Problem::here("is too large"))
    })
}

/// As deep as JSON is read: 128 levels.
fn look(value: &Value, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(members) if members.len() > MEMBERS_MAX => {
            let count = members.len();
            let detail = format!("has {count} members; at most {MEMBERS_MAX} are read");
            problems.push(Problem::here(detail));
        }
        Value::Object(members) => {
            for (key, value) in members {
                if problems.len() >= PROBLEMS_MAX {
                    return;
                }
                if key.len() > KEY_BYTES_MAX {
                    let bytes = key.len();
                    let detail =
                        format!("is a key of {bytes} bytes; at most {KEY_BYTES_MAX} are read");
                    problems.push(Problem::at(&shorten(key), detail));
                    continue;
                }
                look_under(key, value, problems);
            }
        }
        Value::Array(items) if items.len() > ELEMENTS_MAX => {
            let count = items.len();
            let detail = format!("has {count} elements; at most {ELEMENTS_MAX} are read");
            problems.push(Problem::here(detail));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if problems.len() >= PROBLEMS_MAX {
                    return;
                }
                look_under(&index.to_string(), item, problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn look_under(key: &str, value: &Value, problems: &mut Vec<Problem>) {
    if !matches!(value, Value::Object(_) | Value::Array(_)) {
        return;
    }
    let mut inner = Vec::new();
    look(value, &mut inner);
    problems.extend(inner.into_iter().map(|problem| problem.under(key)));
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn pointers(value: &Value) -> Vec<String> {
        let problems = check(value).unwrap_err();
        problems
            .into_iter()
            .map(|problem| problem.pointer)
            .collect()
    }

    #[test]
    fn what_is_usual_passes() {
        let path: Vec<String> = (0..1_000).map(|n| format!("/{n}")).collect();

        assert_eq!(
            check(&json!({ "route": "web", "match": { "path": path } })),
            Ok(())
        );
    }

    #[test]
    fn what_is_too_large_is_told_with_its_place() {
        let many: Map<String, Value> = (0..257).map(|n| (format!("k{n}"), json!(1))).collect();
        let long = vec![0; 1_001];

        assert_eq!(
            pointers(&json!({ "match": { "path": long } })),
            ["/match/path"]
        );
        assert_eq!(
            pointers(&json!({ "abort": { "headers": many } })),
            ["/abort/headers"]
        );
        let key = "k".repeat(257);
        assert_eq!(pointers(&json!({ key: 1 })).len(), 1);
    }

    #[test]
    fn at_most_fifty_problems_are_told() {
        let long = vec![0; 1_001];
        let many: Vec<Value> = (0..500).map(|_| json!(long)).collect();

        assert_eq!(check(&json!(many)).unwrap_err().len(), 50);
    }
}
