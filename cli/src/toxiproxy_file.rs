//! Toxiproxy's configuration file: a list of proxies.

use std::{fs, path::Path};

use serde_json::{Map, Value};

use crate::exit::{Exit, Failure};

/// One proxy of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyEntry {
    pub(crate) name: String,
    pub(crate) listen: String,
    pub(crate) upstream: String,
    pub(crate) enabled: bool,
}

/// Reads a file: every problem with its place.
pub(crate) fn read(path: &Path) -> Result<Vec<ProxyEntry>, Failure> {
    let shown = path.display();
    let usage = |why: String| Failure::new(Exit::Usage, why);
    let text = fs::read_to_string(path)
        .map_err(|error| usage(format!("could not read `{shown}`: {error}")))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| usage(format!("`{shown}` is not JSON: {error}")))?;
    let Value::Array(items) = value else {
        return Err(usage(format!("`{shown}` is no list of proxies")));
    };
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match entry(item) {
            Ok(entry) => entries.push(entry),
            Err(why) => problems.push(format!("proxy {}: {why}", index + 1)),
        }
    }
    if problems.is_empty() {
        Ok(entries)
    } else {
        Err(usage(format!(
            "`{shown}` cannot be used\n  {}",
            problems.join("\n  ")
        )))
    }
}

fn entry(value: &Value) -> Result<ProxyEntry, String> {
    let Value::Object(members) = value else {
        return Err("is no object".to_owned());
    };
    let text = |key: &str| match member(members, key) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{key}` is no text")),
    };
    let entry = ProxyEntry {
        name: text("name")?,
        listen: text("listen")?,
        upstream: text("upstream")?,
        enabled: match member(members, "enabled") {
            None => true,
            Some(Value::Bool(enabled)) => *enabled,
            Some(_) => return Err("`enabled` is neither true nor false".to_owned()),
        },
    };
    for (key, text) in [("name", &entry.name), ("upstream", &entry.upstream)] {
        if text.is_empty() {
            return Err(format!("missing required field: {key}"));
        }
    }
    Ok(entry)
}

/// As Go reads it: in whatever letters, the last one, and null is none.
fn member<'v>(members: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    let named = members
        .iter()
        .rev()
        .find(|(known, _)| known.eq_ignore_ascii_case(key));
    named
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

impl ProxyEntry {
    /// Where it listens, for us: nothing at all is any port.
    pub(crate) fn listen(&self) -> &str {
        match self.listen.as_str() {
            "" => ":0",
            listen => listen,
        }
    }
}

/// What stands for each flag of the original that is written with one dash.
pub(crate) fn with_two_dashes(
    words: impl Iterator<Item = std::ffi::OsString>,
) -> Vec<std::ffi::OsString> {
    const FLAGS: [&str; 7] = [
        "host",
        "port",
        "config",
        "seed",
        "proxy-metrics",
        "runtime-metrics",
        "version",
    ];
    let words: Vec<std::ffi::OsString> = words.collect();
    if words
        .get(1)
        .is_none_or(|command| command != "toxiproxy-server")
    {
        return words;
    }
    let mended = |word: std::ffi::OsString| {
        let flag = word.to_str().and_then(|word| word.strip_prefix('-'));
        let name = flag.map(|flag| flag.split_once('=').map_or(flag, |(name, _)| name));
        match (flag, name) {
            (Some(flag), Some(name)) if FLAGS.contains(&name) => format!("--{flag}").into(),
            _ => word,
        }
    };
    words.into_iter().map(mended).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_read_as_the_original_reads_them() {
        let read =
            entry(&json!({ "Name": "a", "listen": null, "UPSTREAM": "b:1", "toxics": 7 })).unwrap();
        assert_eq!(
            (read.name.as_str(), read.listen(), read.enabled),
            ("a", ":0", true)
        );
        assert_eq!(
            entry(&json!({ "name": "a" })).unwrap_err(),
            "missing required field: upstream"
        );
        assert_eq!(
            entry(&json!({ "name": 1 })).unwrap_err(),
            "`name` is no text"
        );
    }

    #[test]
    fn one_dash_is_as_good_as_two_for_the_originals_flags_alone() {
        let words = |line: &str| {
            line.split(' ')
                .map(Into::into)
                .collect::<Vec<std::ffi::OsString>>()
        };
        let mended = with_two_dashes(
            words("b toxiproxy-server -host=0.0.0.0 -port 1 --config x -seed -3").into_iter(),
        );
        assert_eq!(
            mended,
            words("b toxiproxy-server --host=0.0.0.0 --port 1 --config x --seed -3")
        );
        let other = with_two_dashes(words("b fault add -host").into_iter());
        assert_eq!(other, words("b fault add -host"));
    }
}
