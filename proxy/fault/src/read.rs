//! Reading a value tree, JSON or TOML, with problems that name their place.
//!
//! A reader is a function from a [`Value`] to a checked type or a [`Problem`]. A problem's pointer is
//! relative to the value it was found in; [`Object`] puts the key in front, so a whole path comes together
//! on the way out.

use std::fmt;

use serde_json::{Map, Value};

/// One thing wrong with an input: where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer (RFC 6901) to the value, empty for the whole input.
    pub pointer: String,
    /// What is wrong, for a person; lowercase, no full stop.
    pub detail: String,
}

impl Problem {
    /// A problem with the value itself.
    pub fn here(detail: impl Into<String>) -> Self {
        Self {
            pointer: String::new(),
            detail: detail.into(),
        }
    }

    /// A problem with the member `key` of the value.
    pub fn at(key: &str, detail: impl Into<String>) -> Self {
        Self::here(detail).under(key)
    }

    /// The same problem seen from one level further out.
    #[must_use]
    pub fn under(mut self, key: &str) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        self.pointer = format!("/{key}{}", self.pointer);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.detail)
        } else {
            write!(f, "{}: {}", self.pointer, self.detail)
        }
    }
}

/// The members of one object.
#[derive(Debug, Clone, Copy)]
pub struct Object<'v>(&'v Map<String, Value>);

impl<'v> Object<'v> {
    /// Takes `value` as an object.
    ///
    /// # Errors
    /// When it is something else.
    pub fn new(value: &'v Value) -> Result<Self, Problem> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(expected("an object", other)),
        }
    }

    /// The names of all members, as written.
    pub fn keys(&self) -> impl Iterator<Item = &'v str> {
        self.0.keys().map(String::as_str)
    }

    /// All members with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'v str, &'v Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether a member is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Reads a member that may be left out.
    ///
    /// # Errors
    /// What `read` finds wrong, under the key.
    pub fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        match self.0.get(key) {
            None => Ok(None),
            Some(value) => read(value).map(Some).map_err(|problem| problem.under(key)),
        }
    }

    /// Reads a member that must be there.
    ///
    /// # Errors
    /// When it is not, or what `read` finds wrong, under the key.
    pub fn required<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.optional(key, read)?
            .ok_or_else(|| Problem::at(key, "is required"))
    }

    /// One problem for each member that is not in `known`, with the nearest known name.
    pub fn unknown(&self, known: &[&str]) -> impl Iterator<Item = Problem> {
        self.0
            .keys()
            .filter(|key| !known.contains(&key.as_str()))
            .map(|key| Problem::at(key, unknown("key", key, known)))
    }

    /// Refuses members that are not in `known`.
    ///
    /// # Errors
    /// The first of [`unknown`](Self::unknown).
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        self.unknown(known).next().map_or(Ok(()), Err)
    }
}

/// "unknown WHAT `word`", with the nearest of `known`, or all of them when none is near.
#[must_use]
pub fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let near = nearest(word, known);
    let word = shorten(word);
    match near {
        Some(near) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        None if known.is_empty() => format!("unknown {what} `{word}`; none is known here"),
        None => format!("unknown {what} `{word}`; known: {}", known.join(", ")),
    }
}

/// The word of `known` that `word` most likely meant, if one is near enough to say so: one slip for every three
/// letters. A word of more than 64 bytes, which no name has, is near to none: comparing takes time and memory by its length.
#[must_use]
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    const COMPARED_BYTES_MAX: usize = 64;
    if word.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    let slips = |candidate: &&'k str| strsim::damerau_levenshtein(&word, candidate);
    let length = word.chars().count();
    let allowed = (length / 3).max(1);
    // Each character too many is a slip: a word of a megabyte is like none, and comparing it would take seconds.
    let comparable = |candidate: &&'k str| candidate.chars().count().abs_diff(length) <= allowed;
    let near = (known.iter().copied().filter(comparable)).min_by_key(slips)?;
    (slips(&near) <= allowed).then_some(near)
}

/// "expected WANTED, found ..." for a value of another type.
#[must_use]
pub fn expected(wanted: &str, found: &Value) -> Problem {
    let found = match found {
        Value::Null => "null (leave the key out for its default)".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(value) => format!("the text \"{}\"", shorten(value)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    Problem::here(format!("expected {wanted}, found {found}"))
}

/// The first characters of a text that may be long, for a message.
#[must_use]
pub fn shorten(text: &str) -> String {
    const KEPT: usize = 40;
    if text.chars().count() <= KEPT {
        text.to_owned()
    } else {
        let kept: String = text.chars().take(KEPT).collect();
        format!("{kept}…")
    }
}

/// Reads a text.
///
/// # Errors
/// When the value is of another type.
pub fn text(value: &Value) -> Result<&str, Problem> {
    value.as_str().ok_or_else(|| expected("a text", value))
}

/// Reads `true` or `false`.
///
/// # Errors
/// When the value is of another type.
pub fn boolean(value: &Value) -> Result<bool, Problem> {
    value
        .as_bool()
        .ok_or_else(|| expected("true or false", value))
}

/// Reads one of the words of `known`; `what` names them in the message.
///
/// # Errors
/// When it is no text or another word.
pub fn one_of<'k>(what: &str, known: &'k [&'k str]) -> impl Fn(&Value) -> Result<&'k str, Problem> {
    move |value| {
        let word = text(value)?;
        let found = known.iter().find(|candidate| **candidate == word);
        let wrong = || Problem::here(unknown(what, word, known));
        found.copied().ok_or_else(wrong)
    }
}

/// Reads a whole number from `min` to `max`, both included.
///
/// # Errors
/// When the value is of another type, has a fraction or is out of range.
pub fn whole(min: u64, max: u64) -> impl Fn(&Value) -> Result<u64, Problem> {
    move |value| {
        let Value::Number(number) = value else {
            return Err(expected("a whole number", value));
        };
        match number.as_u64() {
            Some(whole) if (min..=max).contains(&whole) => Ok(whole),
            _ if number.is_f64() && number.as_f64().is_some_and(|n| n.fract() != 0.0) => {
                Err(expected("a whole number", value))
            }
            _ => Err(Problem::here(format!("{number} is outside {min} to {max}"))),
        }
    }
}

/// Reads one value, or a list of at least one: wherever a text may stand, a list may stand too.
///
/// # Errors
/// What `read` finds wrong, under the place in the list; or that the list is empty.
pub fn one_or_many<T>(
    read: impl Fn(&Value) -> Result<T, Problem>,
) -> impl Fn(&Value) -> Result<Vec<T>, Problem> {
    move |value| match value {
        Value::Array(items) if items.is_empty() => {
            Err(Problem::here("is an empty list, which matches nothing"))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| read(item).map_err(|problem| problem.under(&at.to_string())))
            .collect(),
        single => Ok(vec![read(single)?]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_that_is_longer_than_any_name_is_compared_with_none_and_shown_short() {
        let word = "r".repeat(1_000_000);

        assert_eq!(nearest(&word, &["reset", "rate_limit"]), None);
        let told = unknown("ending", &word, &["reset", "close"]);
        assert!(told.ends_with("…`; known: reset, close"), "{told}");
        assert_eq!(nearest("resett", &["reset", "rate_limit"]), Some("reset"));
    }

    #[test]
    fn a_pointer_comes_together_from_the_inside_out() {
        let problem = Problem::at("p99", "is below p50").under("a/b~c");

        assert_eq!(problem.pointer, "/a~1b~0c/p99");
        assert_eq!(problem.to_string(), "/a~1b~0c/p99: is below p50");
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let value = json!({ "latencey": "1s" });
        let problem = Object::new(&value).unwrap().only(&["latency", "abort"]);

        let detail = problem.unwrap_err().detail;
        assert_eq!(detail, "unknown key `latencey`; did you mean `latency`?");
    }

    #[test]
    fn a_word_that_is_far_too_long_is_like_none() {
        let long = "latency".repeat(100_000);

        assert_eq!(nearest(&long, &["latency", "abort"]), None);
        assert_eq!(nearest("abrt", &["latency", "abort"]), Some("abort"));
    }

    #[test]
    fn a_key_like_no_other_is_refused_with_the_list() {
        let value = json!({ "zzz": 1 });
        let problem = Object::new(&value).unwrap().only(&["latency", "abort"]);

        let detail = problem.unwrap_err().detail;
        assert_eq!(detail, "unknown key `zzz`; known: latency, abort");
    }

    #[test]
    fn whole_numbers_are_refused_out_of_range_and_with_a_fraction() {
        let read = whole(1, 10);

        assert_eq!(read(&json!(10)), Ok(10));
        assert_eq!(
            read(&json!(11)).unwrap_err().detail,
            "11 is outside 1 to 10"
        );
        assert_eq!(
            read(&json!(-1)).unwrap_err().detail,
            "-1 is outside 1 to 10"
        );
        assert_eq!(
            read(&json!(1.5)).unwrap_err().detail,
            "expected a whole number, found the number 1.5"
        );
        assert_eq!(
            read(&json!("1")).unwrap_err().detail,
            "expected a whole number, found the text \"1\""
        );
    }

    #[test]
    fn a_list_may_stand_where_a_text_may() {
        let texts = one_or_many(|value| text(value).map(str::to_owned));

        assert_eq!(texts(&json!("a")), Ok(vec!["a".to_owned()]));
        assert_eq!(texts(&json!(["a", "b"])).unwrap().len(), 2);
        assert_eq!(texts(&json!(["a", 3])).unwrap_err().pointer, "/1");
        assert!(texts(&json!([])).is_err());
    }
}
