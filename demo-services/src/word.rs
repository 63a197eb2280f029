//! What to say about a word that is not known.

/// "did you mean `NEAREST`?", or all known words when none is near: one slip for every three letters.
pub(crate) fn hint(word: &str, known: &[&str]) -> String {
    let word = word.to_lowercase();
    let slips = |candidate: &&str| strsim::damerau_levenshtein(&word, candidate);
    let allowed = (word.chars().count() / 3).max(1);
    match known.iter().copied().min_by_key(slips) {
        Some(nearest) if slips(&nearest) <= allowed => format!("did you mean `{nearest}`?"),
        _ => format!("known: {}", known.join(", ")),
    }
}
