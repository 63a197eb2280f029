//! Names of faults, routes and groups.

/// Whether `word` may name a fault or a route: `[a-z0-9][a-z0-9._-]{0,63}`.
#[must_use]
pub fn is_name(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    word.len() <= 64
        && word.starts_with(plain)
        && word
            .chars()
            .all(|c| plain(c) || matches!(c, '.' | '_' | '-'))
}
