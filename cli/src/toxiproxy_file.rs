//! Toxiproxy's configuration file: a list of proxies.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use serde_json::{Map, Value};

use crate::{
    exit::{Exit, Failure},
    show,
    variables::variable,
};

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

/// What `LOG_LEVEL`, the original's variable, says is logged. `None` where it is not set; a word that is no level is told,
/// and counts as not set.
pub(crate) fn log_level() -> Option<String> {
    let said = variable("LOG_LEVEL")?;
    let level = match said.trim().to_lowercase().as_str() {
        "panic" | "fatal" | "error" => "error",
        "warn" | "warning" => "warn",
        "info" => "info",
        "debug" => "debug",
        "trace" => "trace",
        "disabled" => "off",
        _ => {
            show::warning(&format!(
                "LOG_LEVEL: `{said}` is no level; it may be panic, fatal, error, warn, info, debug or trace"
            ));
            return None;
        }
    };
    Some(level.to_owned())
}

/// The subcommand that stands in for the original.
const COMMAND: &str = "toxiproxy-server";

/// The command line as ours: the original's may be given as it is.
///
/// Each flag of the original with one dash gets two. The subcommand is put before them where it is missing: when the first
/// word is such a flag, which no command of ours begins with, or when the binary was started under the original's name. So
/// the image takes the place of the original's with the same `command`.
pub(crate) fn as_ours(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    let is_the_command = |word: &OsString| word == COMMAND;
    let begins_with_a_flag = || {
        let first = words.get(1).and_then(|word| word.to_str());
        // `--version` is ours.
        let flag = first.and_then(|word| word.strip_prefix("--").or(word.strip_prefix('-')));
        flag.is_some_and(|flag| is_flag(flag) && first != Some("--version"))
    };
    let has_its_name = || {
        let program = words.first().and_then(|it| Path::new(it).file_name());
        program.is_some_and(|name| name == COMMAND || name == "toxiproxy")
    };
    if !words.get(1).is_some_and(is_the_command) {
        if !begins_with_a_flag() && !has_its_name() {
            return words;
        }
        words.insert(1, COMMAND.into());
    }
    let mended = |word: OsString| with_two_dashes(&word).unwrap_or(word);
    words.into_iter().map(mended).collect()
}

/// A flag of the original with two dashes; `None` for a word that is no such flag with one dash.
fn with_two_dashes(word: &OsStr) -> Option<OsString> {
    let flag = word.to_str()?.strip_prefix('-')?;
    is_flag(flag).then(|| format!("--{flag}").into())
}

/// Whether this, without its dashes, is a flag of the original. It may have its value behind a `=`.
fn is_flag(flag: &str) -> bool {
    const FLAGS: [&str; 7] = [
        "host",
        "port",
        "config",
        "seed",
        "proxy-metrics",
        "runtime-metrics",
        "version",
    ];
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    FLAGS.contains(&name)
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
        let mended = as_ours(
            words("b toxiproxy-server -host=0.0.0.0 -port 1 --config x -seed -3").into_iter(),
        );
        assert_eq!(
            mended,
            words("b toxiproxy-server --host=0.0.0.0 --port 1 --config x --seed -3")
        );
        let other = as_ours(words("b fault add -host").into_iter());
        assert_eq!(other, words("b fault add -host"));
    }

    #[test]
    fn the_subcommand_may_be_left_out_before_the_originals_flags_and_under_its_name() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        for (line, ours) in [
            ("b -host=0.0.0.0", "b toxiproxy-server --host=0.0.0.0"),
            ("b -config x", "b toxiproxy-server --config x"),
            ("b --host 0.0.0.0", "b toxiproxy-server --host 0.0.0.0"),
            (
                "/bin/toxiproxy --port 1",
                "/bin/toxiproxy toxiproxy-server --port 1",
            ),
            ("toxiproxy-server", "toxiproxy-server toxiproxy-server"),
            ("b --version", "b --version"),
            ("b -h", "b -h"),
            ("b", "b"),
        ] {
            assert_eq!(as_ours(words(line).into_iter()), words(ours), "{line}");
        }
    }
}
