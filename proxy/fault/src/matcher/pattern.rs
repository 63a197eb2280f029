//! Texts that stand for many texts: globs and regular expressions.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use crate::read::{Problem, shorten, text};

/// A pattern in which `*` stands for any run of bytes, `/` included. Everything else is literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Makes a pattern. Every text is one.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits the pattern.
    ///
    /// Linear in both for patterns with one star; a star that matched too little is tried again further on,
    /// and only the last star needs that.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut t) = (0, 0);
        let mut star = None;
        while t < text.len() {
            if p < pattern.len() && pattern[p] == b'*' {
                star = Some((p, t));
                p += 1;
            } else if p < pattern.len() && pattern[p] == text[t] {
                p += 1;
                t += 1;
            } else if let Some((star_p, star_t)) = star {
                p = star_p + 1;
                t = star_t + 1;
                star = Some((star_p, t));
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

/// A glob, or a regular expression written as `re:EXPRESSION`.
///
/// A glob must fit the whole text. An expression is looked for anywhere in it, as everywhere else; `^` and `$`
/// bind it to the ends. Its syntax is that of the `regex` crate, which never takes more than linear time.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Fits the whole text.
    Glob(Glob),
    /// Is found in the text.
    Regex(Regex),
}

impl Pattern {
    const REGEX: &'static str = "re:";
    /// The longest pattern, in bytes.
    pub const BYTES_MAX: usize = 1_024;
    /// The most memory that a compiled expression may take, in bytes; and again for what it learns while it searches.
    pub const COMPILED_BYTES_MAX: usize = 256 * 1024;

    /// Whether a text is written as a regular expression.
    pub(crate) fn is_expression(text: &str) -> bool {
        text.starts_with(Self::REGEX)
    }

    /// Reads a glob or an expression.
    ///
    /// # Errors
    /// When it is no text, too long, or its expression is none.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let pattern = text(value)?;
        if pattern.len() > Self::BYTES_MAX {
            return Err(Problem::here("is longer than 1024 bytes"));
        }
        let Some(expression) = pattern.strip_prefix(Self::REGEX) else {
            return Ok(Self::Glob(Glob::new(pattern)));
        };
        RegexBuilder::new(expression)
            .size_limit(Self::COMPILED_BYTES_MAX)
            .dfa_size_limit(Self::COMPILED_BYTES_MAX)
            .build()
            .map(Self::Regex)
            .map_err(|error| {
                // The crate draws the place over several lines; the last says what is wrong.
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default();
                let why = why.trim().trim_start_matches("error: ");
                Problem::here(format!(
                    "`{}` is not a regular expression: {why}",
                    shorten(expression)
                ))
            })
    }

    /// What every text that fits begins with.
    pub(crate) fn literal_prefix(&self) -> &[u8] {
        match self {
            Self::Regex(_) => &[],
            Self::Glob(glob) => {
                let pattern = glob.as_str().as_bytes();
                let star = pattern.iter().position(|byte| *byte == b'*');
                &pattern[..star.unwrap_or(pattern.len())]
            }
        }
    }

    /// Whether `text` fits.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Glob(glob) => glob.as_str().to_owned(),
            Self::Regex(regex) => format!("{}{}", Self::REGEX, regex.as_str()),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Glob(one), Self::Glob(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (Self::Glob(_), Self::Regex(_)) | (Self::Regex(_), Self::Glob(_)) => false,
        }
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_matches_any_run_with_slashes() {
        let cases = [
            ("/v1/*", "/v1/", true),
            ("/v1/*", "/v1/a/b", true),
            ("/v1/*", "/v1", false),
            ("*", "", true),
            ("/*/x*z", "/a/b/xyz", true),
            ("/*/x*z", "/a/b/xy", false),
            ("/a.b", "/aXb", false),
            ("**", "/a", true),
        ];
        for (pattern, path, wanted) in cases {
            assert_eq!(
                Glob::new(pattern).matches(path.as_bytes()),
                wanted,
                "{pattern} on {path}"
            );
        }
    }

    #[test]
    fn an_expression_is_found_anywhere_unless_it_is_bound() {
        let fits = |pattern: &str, text: &str| {
            Pattern::read(&json!(pattern))
                .unwrap()
                .matches(text.as_bytes())
        };

        assert!(fits("re:items/[0-9]+", "/v1/items/17/x"));
        assert!(!fits("re:^/items/[0-9]+$", "/v1/items/17"));
        assert!(fits("re:^/v[12]/", "/v2/a"));
        assert!(fits(r"re:^/u/\w+/\w+/o/\d+/\w+$", "/u/ada/über/o/17/x"));
    }

    #[test]
    fn a_broken_expression_is_refused_with_what_is_wrong() {
        let problem = Pattern::read(&json!("re:/v1/(a")).unwrap_err();

        assert_eq!(
            problem.detail,
            "`/v1/(a` is not a regular expression: unclosed group"
        );
    }

    #[test]
    fn an_expression_that_would_fill_memory_is_refused_with_the_bound() {
        for expression in ["re:(((a{100}){100}){100})", r"re:[\w\d]{8}"] {
            let problem = Pattern::read(&json!(expression)).unwrap_err();

            assert!(problem.detail.contains("262144"), "{}", problem.detail);
        }
    }

    proptest! {
        #[test]
        fn a_glob_agrees_with_the_obvious_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            fn naive(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
                    Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
                }
            }

            prop_assert_eq!(
                Glob::new(pattern.clone()).matches(text.as_bytes()),
                naive(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
