//! Policies that begin with what another one says.

use std::{collections::BTreeMap, fs, time::Duration};

use brownout_resilience::{
    Policy,
    policy::{Library, ReadPolicyError, Source},
};

/// Policies by name.
struct Shelf(BTreeMap<&'static str, &'static str>);

impl Library for Shelf {
    fn find(&self, _: &str, base: &str) -> Result<Source, String> {
        let text = self.0.get(base).ok_or(format!("there is no `{base}`"))?;
        Ok(Source {
            name: base.to_owned(),
            text: (*text).to_owned(),
        })
    }
}

const PARENT: &str = "order = 'original'\n[timeout]\nattempt = '500ms'\n\
    [retry]\nbackoff = 'exponential'\nbase = '20ms'\nmultiplier = 3.0\njitter = 'full'\n\
    [breaker]\nsize = 20\nminimum_calls = 7\nwait = '3s'\n[fallback]";

fn heir(text: &str) -> Result<Policy, String> {
    let shelf = Shelf(BTreeMap::from([
        ("parent", PARENT),
        ("loop", "base = 'other-loop'"),
        ("other-loop", "base = 'loop'"),
        ("broken", "[retry]\nmax_atempts = 2"),
    ]));
    Policy::from_toml_in("heir", text, &shelf).map_err(|error| error.to_string())
}

#[test]
fn an_heir_is_its_base_under_its_own_name() {
    let parent = Policy::from_toml("heir", PARENT).unwrap();

    assert_eq!(heir("base = 'parent'"), Ok(parent));
}

#[test]
fn an_heir_changes_the_keys_it_names_and_no_others() {
    let heir = heir("base = 'parent'\n[breaker]\nwait = '10s'\n[retry]\nmultiplier = 2.0").unwrap();

    let mut expected = Policy::from_toml("heir", &PARENT.replace("3.0", "2.0")).unwrap();
    expected.breaker.as_mut().unwrap().wait = Duration::from_secs(10);
    assert_eq!(heir, expected);
}

#[test]
fn an_heir_takes_a_protection_away_with_none() {
    let heir = heir("base = 'parent'\nretry = 'none'\ntimeout = 'none'").unwrap();

    assert_eq!(heir.retry, None);
    assert_eq!(heir.timeout, Policy::none("").timeout);
    assert!(heir.breaker.is_some());
}

#[test]
fn a_smaller_window_lowers_the_inherited_minimum() {
    let heir = heir("base = 'parent'\n[breaker]\nsize = 5").unwrap();

    assert_eq!(heir.breaker.unwrap().minimum_calls, 5);
}

#[test]
fn a_base_that_will_not_do_is_told_at_the_line_that_names_it() {
    let begins = |text: &str, expected: &str| {
        let why = heir(text).unwrap_err();
        assert!(
            why.starts_with(&format!("policy `heir` is not valid\n  {expected}")),
            "{why}"
        );
    };

    begins("base = 'nobody'", "line 1: base: there is no `nobody`");
    begins(
        "order = 'original'\nbase = 'broken'",
        "line 2: base: policy `broken` is not valid\n  line 2: retry.max_atempts: unknown key; \
         did you mean `max_attempts`?",
    );
    begins("base = 'heir'", "line 1: base: there is no `heir`");
    begins(
        "base = 'loop'",
        "line 1: base: policy `loop` is not valid\n  line 1: base: policy `other-loop` is not valid\n  \
         line 1: base: `loop` inherits from this very policy",
    );
    begins(
        "base = 'parent.toml'",
        "line 1: base: leave out `.toml`: \"parent\"",
    );
    begins(
        "inherit = 'parent'",
        "line 1: inherit: unknown key; did you mean `base`?",
    );
}

#[test]
fn a_value_of_the_heir_must_go_with_the_inherited_ones() {
    let why = heir("base = 'parent'\n[breaker]\nminimum_calls = 30").unwrap_err();

    assert!(
        why.ends_with(
            "line 3: breaker.minimum_calls: 30 calls never fit into a window of `size` 20"
        ),
        "{why}"
    );
}

#[test]
fn files_name_their_base_by_its_path_from_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    file("parent.toml", PARENT);
    file("gates/base.toml", "base = '../parent'\nretry = 'none'");
    let gate = file("gates/one.toml", "base = 'base'\n[breaker]\nprobes = 2");
    let looped = file("gates/loop.toml", "base = 'loop'");

    let policy = Policy::from_file(&gate).unwrap();
    assert_eq!((policy.name.as_str(), policy.retry), ("one", None));
    let breaker = policy.breaker.unwrap();
    assert_eq!((breaker.probes, breaker.size), (2, 20));

    let why = Policy::from_file(looped).unwrap_err().to_string();
    assert!(
        why.ends_with("`loop` inherits from this very policy"),
        "{why}"
    );
    let missing = Policy::from_file(folder.path().join("nobody.toml"));
    assert!(matches!(missing, Err(ReadPolicyError::Read { .. })));
}
