//! The page `docs/policies.md` and the code tell the same: every key, and its default.

use std::{collections::BTreeMap, fs, path::Path};

use brownout_resilience::Policy;

type Defaults = BTreeMap<(String, String), String>;

/// Each section's keys with their defaults, as the page's tables have them.
fn on_the_page() -> Defaults {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
    let page = fs::read_to_string(page).unwrap();
    let mut defaults = Defaults::new();
    let mut section = String::new();
    for line in page.lines() {
        if line.starts_with('#') {
            let named = line.split('`').nth(1).unwrap_or_default();
            section = named.trim_matches(['[', ']']).to_owned();
        }
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let (key, rest) = row.split_once("` | `").unwrap_or((row, ""));
        if let Some((default, _)) = rest.split_once("` |") {
            defaults.insert((section.clone(), key.to_owned()), default.to_owned());
        }
    }
    defaults
}

/// The same as printed by the policies that these texts are.
fn in_the_code(texts: &[&str]) -> Defaults {
    let mut defaults = Defaults::new();
    for text in texts {
        let printed = Policy::from_toml("test", text).unwrap().to_toml();
        let mut section = String::new();
        for line in printed.lines() {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
            } else if let Some((key, value)) = line.split_once(" = ")
                && !line.starts_with('#')
            {
                let place = (section.clone(), key.to_owned());
                defaults.entry(place).or_insert(value.to_owned());
            }
        }
    }
    defaults
}

#[test]
fn every_key_is_on_the_page_with_its_default_and_nothing_else_is() {
    const ALL: &str = "[timeout]\nattempt = '1s'\n[retry]\n[retry.budget]\n[breaker]\n[rate_limit]\n\
        [bulkhead]\n[adaptive]\n[hedge]\n[fallback]";
    // Keys that have no effect by default, and are therefore not printed.
    const GROWING: &str = "[retry]\nbackoff = 'exponential'\njitter = 'randomized'";
    let mut code = in_the_code(&[ALL, GROWING]);
    // One of the two time limits must be given; the default of each is none.
    let attempt = ("timeout".to_owned(), "attempt".to_owned());
    code.insert(attempt, "\"none\"".to_owned());

    let page = on_the_page();

    let missing: Vec<_> = code
        .iter()
        .filter(|(key, _)| !page.contains_key(key))
        .collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    assert_eq!(page, code);
}
