//! The environment: read here, for everything that asks for it by name.

use brownout_fault::read::Problem;
use serde_json::Value;

/// What an environment variable says; `None` also for what is no Unicode.
pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what reads it, for all others"
    )]
    std::env::var(name).ok()
}

/// Puts `${NAME}` and `${NAME:-DEFAULT}` into every text of a file. `$${` stands for `${` itself. The default is also taken
/// when the variable is empty, as in a shell.
///
/// # Errors
/// One problem for each text that names a variable which is not set, or does not end its name.
pub(crate) fn expand(
    value: &mut Value,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    walk(value, variable, &mut problems);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn walk(
    value: &mut Value,
    variable: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) {
    let mut under = |key: &str, value: &mut Value| {
        let mut inner = Vec::new();
        walk(value, variable, &mut inner);
        problems.extend(inner.into_iter().map(|problem| problem.under(key)));
    };
    match value {
        Value::Object(members) => members
            .iter_mut()
            .for_each(|(key, value)| under(key, value)),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                under(&index.to_string(), item);
            }
        }
        Value::String(text) => match expanded(text, variable) {
            Ok(expanded) => *text = expanded,
            Err(detail) => problems.push(Problem::here(detail)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn expanded(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, behind) = (&rest[..at], &rest[at + 2..]);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = behind;
            continue;
        }
        out.push_str(before);
        let end = behind
            .find('}')
            .ok_or("has `${` without `}`; write `$${` for the text itself")?;
        let (name, default) = match behind[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&behind[..end], None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || !name.chars().all(plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(format!("`${{{name}}}` is not the name of a variable"));
        }
        let said = variable(name).filter(|said| default.is_none() || !said.is_empty());
        match (said, default) {
            (Some(said), _) => out.push_str(&said),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the variable `{name}` is not set; write ${{{name}:-DEFAULT}} for a default"
                ));
            }
        }
        rest = &behind[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        let cases = [
            ("http://${HOST}:9000", "http://db:9000"),
            ("${NONE:-127.0.0.1:0}", "127.0.0.1:0"),
            ("${EMPTY:-x}${EMPTY}", "x"),
            ("${NONE:-}", ""),
            ("$${HOST} $HOST 5$", "${HOST} $HOST 5$"),
            ("re:^/v1/x{2}$", "re:^/v1/x{2}$"),
        ];
        for (text, wanted) in cases {
            assert_eq!(expanded(text, &said).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_not_set_is_told_with_its_place() {
        let mut value =
            json!({ "route": [{ "upstream": "http://${NONE}:1" }], "a": "${", "b": "${A B}" });

        let problems = expand(&mut value, &said).unwrap_err();

        let told: Vec<&str> = problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(told, ["/route/0/upstream", "/a", "/b"]);
        assert!(
            problems[0]
                .detail
                .starts_with("the variable `NONE` is not set")
        );
    }
}
