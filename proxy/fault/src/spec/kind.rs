//! The one kind that a fault names.

use serde_json::Value;

use crate::{
    faults::{Fault, NOT_YET, kind_meant},
    read::{Object, Problem, nearest},
};

/// The one kind that is named; `None` when a misspelt one is reported as an unknown key already.
///
/// `common` are the keys that are not a kind.
pub(super) fn read(object: &Object<'_>, common: &[&str]) -> Result<Option<Fault>, Problem> {
    let named: Vec<&str> = object
        .keys()
        .filter(|key| Fault::NAMES.contains(key))
        .collect();
    let not_yet = |key: &str| NOT_YET.iter().find(|(name, _)| *name == key);
    if let Some((name, reason)) = object.keys().find_map(not_yet) {
        return Err(Problem::at(name, *reason));
    }
    match named.as_slice() {
        [name] => object
            .optional(name, |value| {
                Fault::read(name, value).expect("the name was found in the registry")
            })
            .map_err(|problem| shorthand_hint(object, problem, name)),
        [] if object
            .keys()
            .any(|key| is_near_a_kind(key, common) || kind_meant(key).is_some()) =>
        {
            Ok(None)
        }
        [] => Err(Problem::here(format!(
            "names no kind of fault; give one of {}",
            Fault::NAMES.join(", ")
        ))),
        [first, second, ..] => Err(Problem::at(
            second,
            format!("is a second kind beside `{first}`; a fault has one"),
        )),
    }
}

/// Names the kind where an unknown key is a word that means one elsewhere.
pub(super) fn meant(problem: Problem) -> Problem {
    let key = problem.pointer.trim_start_matches('/');
    match kind_meant(key) {
        Some(meant) => Problem {
            detail: format!("unknown key `{key}`; here it is {meant}"),
            ..problem
        },
        None => problem,
    }
}

/// A key that no kind and no common field has, and that is nearest to a kind.
fn is_near_a_kind(key: &str, common: &[&str]) -> bool {
    let known: Vec<&str> = common.iter().chain(Fault::NAMES).copied().collect();
    !known.contains(&key) && nearest(key, &known).is_some_and(|near| Fault::NAMES.contains(&near))
}

/// Names the empty object where a kind without parameters was given something else.
fn shorthand_hint(object: &Object<'_>, problem: Problem, name: &str) -> Problem {
    let value = object.iter().find(|(key, _)| *key == name);
    if let Some((_, Value::String(text))) = value
        && let Ok(number @ Value::Number(_)) = serde_json::from_str(text)
        && matches!(Fault::read(name, &number), Some(Ok(_)))
    {
        let detail = format!("is a text; write the number without quotes: {number}");
        return Problem { detail, ..problem };
    }
    if problem.pointer == format!("/{name}") && problem.detail.starts_with("expected an object") {
        let detail = format!("{}; write {{}} for its defaults", problem.detail);
        return Problem { detail, ..problem };
    }
    problem
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::spec::FaultSpec;

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn problems(value: Value) -> Vec<(String, String)> {
        let problems = FaultSpec::read(&value).unwrap_err();
        problems
            .into_iter()
            .map(|p| (p.pointer, p.detail))
            .collect()
    }

    #[test]
    fn no_kind_two_kinds_and_a_misspelt_kind_are_told_apart() {
        let none = problems(json!({ "route": "web" }));
        let two = problems(json!({ "route": "web", "reset": {}, "abort": 503 }));
        let misspelt = problems(json!({ "route": "web", "latencey": "1s" }));

        assert_eq!(none[0].0, "");
        assert!(
            none[0]
                .1
                .contains("latency, abort, reset, close, blackhole"),
            "{}",
            none[0].1
        );
        let theirs = problems(json!({ "route": "web", "delay": "1s" }));
        assert_eq!(
            theirs,
            [(
                "/delay".to_owned(),
                "unknown key `delay`; here it is `latency`".to_owned()
            )]
        );
        let later = problems(json!({ "route": "web", "grpc_abort": {} }));
        assert_eq!(
            later,
            [(
                "/grpc_abort".to_owned(),
                "is still to come; `abort` ends a gRPC call with a status of gRPC".to_owned()
            )]
        );
        assert_eq!(two[0].0, "/abort");
        assert_eq!(
            misspelt,
            [(
                "/latencey".to_owned(),
                "unknown key `latencey`; did you mean `latency`?".to_owned()
            )]
        );
    }

    #[test]
    fn a_number_in_quotes_is_told_as_such() {
        let found = problems(json!({ "route": "web", "abort": "503" }));

        assert_eq!(
            found,
            [(
                "/abort".to_owned(),
                "is a text; write the number without quotes: 503".to_owned()
            )]
        );
    }

    #[test]
    fn a_kind_without_parameters_says_how_to_write_it() {
        let found = problems(json!({ "route": "web", "reset": true }));

        assert_eq!(
            found,
            [(
                "/reset".to_owned(),
                "expected an object, found `true`; write {} for its defaults".to_owned()
            )]
        );
    }
}
