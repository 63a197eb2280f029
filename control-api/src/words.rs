//! Hints in messages, with a bound on the work and on the length.

use brownout_fault::read;

/// The longest word for which a nearest one is looked for: no name is longer.
const WORD_BYTES_MAX: usize = 64;
/// So many names are shown of a list.
const LISTED_MAX: usize = 20;

/// The word of `known` that `word` most likely meant; none for a word that is longer than any name.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    read::nearest(word, known)
}

/// The first names of a list, and how many more there are.
pub(crate) fn listed(names: &[&str]) -> String {
    match names.get(..LISTED_MAX) {
        Some(first) if names.len() > LISTED_MAX => {
            format!("{} and {} more", first.join(", "), names.len() - LISTED_MAX)
        }
        _ => names.join(", "),
    }
}

/// "unknown WHAT `word`", as [`read::unknown`], with the same bounds.
pub(crate) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    if word.len() > WORD_BYTES_MAX {
        let shown = read::shorten(word);
        return format!("unknown {what} `{shown}`; known: {}", listed(known));
    }
    read::unknown(what, word, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_costs_more_than_a_name() {
        let long = "a".repeat(1_000_000);

        assert_eq!(nearest(&long, &["aaaa"]), None);
        assert!(unknown("key", &long, &["aaaa"]).len() < 200);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..1_000).map(|n| format!("r{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();

        assert!(listed(&names).ends_with("r19 and 980 more"));
        assert_eq!(listed(&["a", "b"]), "a, b");
    }
}
