//! The policies that come with the binary: the files in the repository's `policies/`, word for word.

use brownout_resilience::Policy;
use thiserror::Error;

use crate::word;

const BUILT_IN: &[(&str, &str)] = &[
    ("none", include_str!("../../policies/none.toml")),
    ("timeout", include_str!("../../policies/timeout.toml")),
    ("retries", include_str!("../../policies/retries.toml")),
    (
        "circuit-breakers",
        include_str!("../../policies/circuit-breakers.toml"),
    ),
    ("gold", include_str!("../../policies/gold.toml")),
];

/// Each policy's name and its file.
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
    let Some((name, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = BUILT_IN.iter().map(|(known, _)| *known).collect();
        return Err(UnknownPolicy {
            hint: word::hint(name, &known),
            name: name.to_owned(),
        });
    };
    Ok(Policy::from_toml(name, text).expect("a test reads every built-in policy"))
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

    #[test]
    fn the_built_in_policies_are_the_files_of_the_repository() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
        let files: BTreeMap<String, String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "toml"))
            .map(|path| {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();

        let built_in = built_in()
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));

        assert_eq!(built_in.collect::<BTreeMap<_, _>>(), files);
    }

    #[test]
    fn every_built_in_policy_can_be_read() {
        for (name, _) in built_in() {
            assert_eq!(named(name).unwrap().name, *name);
        }
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
