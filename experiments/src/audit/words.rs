//! What an experiment breaks, in words that need no knowledge of the proxy's faults.

use serde_json::Value;

use crate::run::describe_fault;

/// The first of the faults of an experiment in words; empty without one.
///
/// `form` is the form of the experiment, which names what an answer is replaced by. `alone` is the path that alone is struck, of several.
pub(super) fn in_words(faults: &[Value], form: &str, alone: Option<&str>) -> String {
    let Some(fault) = faults.first() else {
        return String::new();
    };
    let told = told(fault, form).unwrap_or_else(|| describe_fault(fault));
    let told = match (&fault["percent"], &fault["limit"]) {
        (Value::Number(percent), _) => match told.strip_prefix("each call is") {
            Some(rest) => format!("{percent} % of the calls are{rest}"),
            None => format!("{percent} % of the calls: {told}"),
        },
        (_, Value::Number(_)) => told.replacen("each", "one", 1),
        _ => told,
    };
    match alone {
        Some(path) => format!("{told} (calls of {path})"),
        None => told,
    }
}

fn told(fault: &Value, form: &str) -> Option<String> {
    let kinds = fault.as_object()?;
    if let Some(it) = kinds.get("blackhole") {
        return Some(match it["at"].as_str() {
            Some("syn") => "no connection is accepted, and none refused".to_owned(),
            _ => "no call is answered".to_owned(),
        });
    }
    if let Some(it) = kinds.get("latency") {
        return Some(format!("each answer comes {} later", it.as_str()?));
    }
    if let Some(it) = kinds.get("reset") {
        return Some(match it["at"].as_str() {
            Some("response_head") => "each connection is reset after the work is done".to_owned(),
            _ => "each connection is reset before an answer".to_owned(),
        });
    }
    if let Some(it) = kinds.get("abort") {
        return Some(abort(it));
    }
    if kinds.contains_key("corrupt") {
        return Some(format!("each answer is {form}"));
    }
    if let Some(it) = kinds.get("mutate") {
        return it["response"]["body"]
            .is_string()
            .then(|| format!("each answer is {form}"));
    }
    if let Some(it) = kinds.get("truncate") {
        let end = match it["ending"].as_str()? {
            "fin" => "then the connection is closed",
            "rst" => "then the connection is reset",
            _ => "and looks whole",
        };
        let share = it["fraction"].as_f64()? * 100.0;
        let framing = match it["framing"].as_str() {
            Some("content_length") => ", which has a Content-Length",
            Some("chunked") => ", which comes in chunks",
            _ => "",
        };
        return Some(format!(
            "each answer ends after {share:.0} % of its body{framing}, {end}"
        ));
    }
    if let Some(it) = kinds.get("dribble") {
        return Some(format!(
            "each answer comes in {} pieces over {}",
            it["chunks"],
            it["duration"].as_str()?
        ));
    }
    if let Some(it) = kinds.get("stall") {
        let bytes = it["after_bytes"].as_str()?.trim_end_matches('B');
        return Some(format!("each answer stops after {bytes} bytes of its body"));
    }
    None
}

fn abort(parameters: &Value) -> String {
    let status = match parameters {
        Value::Object(members) => members.get("status").cloned().unwrap_or_default(),
        status => status.clone(),
    };
    let when = match parameters["at"].as_str() {
        Some("after") => ", after its work is done",
        Some("before") => ", before any work is done",
        _ => "",
    };
    let wait = match parameters["retry_after"].as_str() {
        Some(wait) => match wait.strip_prefix("date:") {
            Some(ahead) => format!(" and a Retry-After whose date is {ahead} ahead"),
            None => format!(" and Retry-After {wait}"),
        },
        None => String::new(),
    };
    format!("each call is answered with {status}{wait}{when}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_broken_is_told_in_words() {
        for (fault, form, words) in [
            (json!({ "blackhole": {} }), "/items", "no call is answered"),
            (
                json!({ "blackhole": { "at": "syn" } }),
                "connecting",
                "no connection is accepted, and none refused",
            ),
            (
                json!({ "latency": "60ms" }),
                "60ms",
                "each answer comes 60ms later",
            ),
            (
                json!({ "reset": {}, "limit": 1 }),
                "reset",
                "one connection is reset before an answer",
            ),
            (
                json!({ "reset": { "at": "response_head" } }),
                "a reset",
                "each connection is reset after the work is done",
            ),
            (
                json!({ "abort": 503, "percent": 40 }),
                "40 %",
                "40 % of the calls are answered with 503",
            ),
            (
                json!({ "abort": { "status": 429, "retry_after": "2s" } }),
                "429",
                "each call is answered with 429 and Retry-After 2s",
            ),
            (
                json!({ "abort": { "status": 503, "retry_after": "date:3s" } }),
                "503 with a date",
                "each call is answered with 503 and a Retry-After whose date is 3s ahead",
            ),
            (
                json!({ "abort": { "status": 503, "at": "after" } }),
                "a 503",
                "each call is answered with 503, after its work is done",
            ),
            (
                json!({ "corrupt": { "how": "json" } }),
                "broken JSON",
                "each answer is broken JSON",
            ),
            (
                json!({ "mutate": { "response": { "body": "{}" } } }),
                "an empty object",
                "each answer is an empty object",
            ),
            (
                json!({ "truncate": { "fraction": 0.5, "ending": "clean" } }),
                "clean",
                "each answer ends after 50 % of its body, and looks whole",
            ),
            (
                json!({ "truncate": { "fraction": 0.5, "ending": "rst", "framing": "chunked" } }),
                "chunked, reset",
                "each answer ends after 50 % of its body, which comes in chunks, then the connection is reset",
            ),
            (
                json!({ "dribble": { "chunks": 15, "duration": "1.8s" } }),
                "/",
                "each answer comes in 15 pieces over 1.8s",
            ),
            (
                json!({ "stall": { "after_bytes": "764B" } }),
                "/",
                "each answer stops after 764 bytes of its body",
            ),
        ] {
            assert_eq!(in_words(std::slice::from_ref(&fault), form, None), words);
            let of_one = in_words(&[fault], form, Some("/prices"));
            assert_eq!(of_one, format!("{words} (calls of /prices)"));
        }
        assert_eq!(in_words(&[], "no fault", None), "");
    }
}
