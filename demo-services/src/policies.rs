//! The policies that come with the binary: the files in the repository's `policies/`, word for word.

use brownout_resilience::{
    Policy,
    policy::{Library, Source},
};
use thiserror::Error;

use crate::word;

macro_rules! built_in {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../policies/", $name, ".toml")),
        )
    };
}

const BUILT_IN: &[(&str, &str)] = &[
    built_in!("none"),
    built_in!("timeout"),
    built_in!("retries"),
    built_in!("circuit-breakers"),
    built_in!("gold"),
    built_in!("deadline"),
    built_in!("slow-calls"),
    built_in!("fragile"),
    built_in!("resilient"),
    built_in!("library/fallback"),
    built_in!("library/gate"),
    built_in!("library/gate-1"),
    built_in!("library/gate-2"),
    built_in!("library/gate-3"),
    built_in!("library/gate-4"),
    built_in!("library/gate-5"),
];

/// Each policy's name and its file. Where it is in a folder the name says so: `library/gate-1`.
#[must_use]
pub fn built_in() -> &'static [(&'static str, &'static str)] {
    BUILT_IN
}

/// The built-in policy of this name.
///
/// # Errors
/// When there is none.
///
/// # Panics
/// Never: a test reads them all.
pub fn named(name: &str) -> Result<Policy, UnknownPolicy> {
    let (name, text) = entry(name)?;
    let mut policy =
        Policy::from_toml_in(name, text, &BuiltIn).expect("a test reads every built-in policy");
    // Its name is part of metrics and spans, where a folder would be a part of its own.
    policy.name = name.replace('/', "-");
    Ok(policy)
}

fn entry(name: &str) -> Result<(&'static str, &'static str), UnknownPolicy> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    found.copied().ok_or_else(|| {
        let known: Vec<_> = BUILT_IN.iter().map(|(known, _)| *known).collect();
        UnknownPolicy {
            hint: word::hint(name, &known),
            name: name.to_owned(),
        }
    })
}

/// The built-in policies as what others inherit from: first the one in the same folder, then the one of the very name.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn;

impl Library for BuiltIn {
    fn find(&self, from: &str, base: &str) -> Result<Source, String> {
        let beside = from
            .rsplit_once('/')
            .map(|(folder, _)| format!("{folder}/{base}"));
        let beside = beside.and_then(|name| entry(&name).ok());
        let (name, text) = match beside {
            Some(found) => found,
            None => entry(base).map_err(|unknown| unknown.to_string())?,
        };
        Ok(Source {
            name: name.to_owned(),
            text: text.to_owned(),
        })
    }
}

/// There is no built-in policy of this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown policy `{name}`; {hint}")]
pub struct UnknownPolicy {
    /// What was asked for.
    pub name: String,
    hint: String,
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::*;

    /// Every policy file below `folder`, by its path from there without `.toml`.
    fn files(folder: &Path, prefix: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if path.is_dir() {
                found.extend(files(&path, &format!("{prefix}{stem}/")));
            } else if path.extension().is_some_and(|it| it == "toml") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(format!("{prefix}{stem}"), text);
            }
        }
        found
    }

    #[test]
    fn the_built_in_policies_are_the_files_of_the_repository() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");

        let built_in = built_in()
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));

        assert_eq!(built_in.collect::<BTreeMap<_, _>>(), files(&folder, ""));
    }

    #[test]
    fn every_built_in_policy_can_be_read_here_and_as_a_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
        for (name, _) in built_in() {
            let policy = named(name).unwrap();
            let file = Policy::from_file(folder.join(format!("{name}.toml"))).unwrap();

            assert_eq!(policy.name, name.replace('/', "-"));
            assert_eq!(
                Policy {
                    name: policy.name.clone(),
                    ..file
                },
                policy
            );
        }
    }

    #[test]
    fn each_gate_of_the_library_differs_in_one_thing() {
        let breaker = |name: &str| named(name).unwrap().breaker.unwrap();
        let gate = breaker("library/gate");

        assert_eq!(breaker("library/gate-1"), gate);
        assert!(!breaker("library/gate-2").automatic_transition);
        assert_eq!(
            breaker("library/gate-3").slow_call_duration.as_millis(),
            100
        );
        assert_eq!(breaker("library/gate-4").probes, 2);
        assert_eq!(breaker("library/gate-5").size, 1);
        let first = named("library/gate-1").unwrap();
        assert!(first.timeout.attempt.is_some() && first.retry.is_some());
        assert!(first.rate_limit.is_some() && first.bulkhead.is_some());
    }

    #[test]
    fn an_unknown_policy_is_told_the_nearest() {
        let error = named("circuit-breaker").unwrap_err();

        assert_eq!(
            error.to_string(),
            "unknown policy `circuit-breaker`; did you mean `circuit-breakers`?"
        );
    }
}
