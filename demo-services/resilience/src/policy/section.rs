//! Reading one table of a policy file, so that all that is wrong is told at once, with key and line.

use std::{cell::RefCell, fmt::Display, time::Duration};

use jiff::SignedDuration;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{ErrorSet, Problem, Refusal, StatusSet};
use crate::word::Word;

/// The text being read, and what was found wrong with it.
pub(super) struct Sheet<'i> {
    text: &'i str,
    problems: RefCell<Vec<Problem>>,
}

impl<'i> Sheet<'i> {
    pub(super) fn new(text: &'i str) -> Self {
        Self {
            text,
            problems: RefCell::default(),
        }
    }

    pub(super) fn problem(&self, path: String, at: Option<usize>, detail: String) {
        let newlines = |at| self.text.bytes().take(at).filter(|byte| *byte == b'\n');
        let line = at.map(|at| newlines(at).count() + 1);
        self.problems
            .borrow_mut()
            .push(Problem { path, line, detail });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// One table: `[breaker]`, or the whole file with the name "".
pub(super) struct Section<'t, 'i> {
    sheet: &'t Sheet<'i>,
    name: &'static str,
    /// Where its name stands in the text.
    at: Option<usize>,
    table: &'t DeTable<'i>,
    known: Vec<&'static str>,
    clean: bool,
}

impl<'t, 'i> Section<'t, 'i> {
    /// The whole file.
    pub(super) fn root(sheet: &'t Sheet<'i>, table: &'t DeTable<'i>) -> Self {
        Self {
            sheet,
            name: "",
            at: None,
            table,
            known: Vec::new(),
            clean: true,
        }
    }

    /// The value of a key that may be left out; a wrong one is noted and taken as left out.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'i>) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.find(key)?.1;
        read(value.get_ref())
            .map_err(|detail| self.refuse(key, detail))
            .ok()
    }

    /// The protection under `key`, which is called `name` in problems: read on top of the `inherited` one, or of the
    /// default where nothing was inherited. Left out, it is the inherited one; `"none"` takes that away.
    pub(super) fn protection<P: Default>(
        &mut self,
        key: &'static str,
        name: &'static str,
        inherited: Option<P>,
        read: impl FnOnce(Self, P) -> P,
    ) -> Option<P> {
        self.known.push(key);
        let Some((at, value)) = self.find(key) else {
            return inherited;
        };
        if value.get_ref().as_str() == Some("none") {
            return None;
        }
        let Some(table) = value.get_ref().as_table() else {
            let what = a(value.get_ref());
            self.refuse(key, format!("is {what}, expected a table [{name}]"));
            return None;
        };
        let section = Self {
            name,
            at: Some(at),
            table,
            ..Self::root(self.sheet, table)
        };
        Some(read(section, inherited.unwrap_or_default()))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Notes that a key's value is refused; the line is the key's, or the section's where a default was taken.
    pub(super) fn refuse(&mut self, key: &str, detail: impl Into<String>) {
        self.clean = false;
        let at = self.find(key).map(|(at, _)| at).or(self.at);
        self.sheet.problem(join(self.name, key), at, detail.into());
    }

    /// Refuses those of `keys` that were given, because they would do nothing.
    pub(super) fn without_effect(&mut self, keys: &[&str], unless: &str) {
        for key in keys {
            if self.has(key) {
                self.refuse(key, format!("has no effect unless {unless}"));
            }
        }
    }

    /// Refuses what is out of range, unless it may only seem so because a value could not be read; then
    /// [`Section::finish`].
    pub(super) fn finish_with<P>(
        mut self,
        policy: P,
        refusals: impl FnOnce(&P) -> Vec<Refusal>,
        synonyms: &[(&str, &str)],
    ) -> P {
        if self.clean {
            for (key, detail) in refusals(&policy) {
                self.refuse(key, detail);
            }
        }
        self.finish(synonyms);
        policy
    }

    /// Refuses every key that nobody asked for. `synonyms` are names that these keys have elsewhere.
    pub(super) fn finish(mut self, synonyms: &[(&str, &str)]) {
        let unknown: Vec<_> = self
            .table
            .keys()
            .map(|key| key.get_ref().as_ref())
            .filter(|key: &&str| !self.known.contains(key))
            .collect();
        for key in unknown {
            // resilience4j's keys are camelCase in code and kebab-case in Spring's files.
            let snake = snake_case(key);
            let synonym = synonyms.iter().find(|(other, _)| *other == snake);
            let same = || self.known.iter().copied().find(|known| *known == snake);
            let nearest = || nearest(key, &self.known);
            let synonym = synonym.map(|(_, ours)| *ours);
            let detail = match synonym.or_else(same).or_else(nearest) {
                Some(ours) => format!("unknown key; did you mean `{ours}`?"),
                None => format!("unknown key; known are {}", self.known.join(", ")),
            };
            self.refuse(key, detail);
        }
    }

    fn find(&self, key: &str) -> Option<(usize, &'t Spanned<DeValue<'i>>)> {
        let (key, value) = self
            .table
            .iter()
            .find(|(known, _)| known.get_ref().as_ref() == key)?;
        Some((key.span().start, value))
    }
}

/// `failureRateThreshold` and `failure-rate-threshold` as `failure_rate_threshold`.
fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        match letter {
            '-' => snake.push('_'),
            upper if upper.is_ascii_uppercase() => {
                if !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(upper.to_ascii_lowercase());
            }
            other => snake.push(other),
        }
    }
    snake
}

pub(super) fn join(section: &str, key: &str) -> String {
    match (section, key) {
        ("", key) => key.to_owned(),
        (section, "") => section.to_owned(),
        (section, key) => format!("{section}.{key}"),
    }
}

pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(word, known), *known))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// A value's type, with its article.
fn a(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn expected(what: &str, value: &DeValue<'_>) -> String {
    format!("is {}, expected {what}", a(value))
}

pub(super) fn integer(value: &DeValue<'_>) -> Result<u32, String> {
    let integer = value
        .as_integer()
        .ok_or_else(|| expected("a whole number", value))?;
    u32::from_str_radix(integer.as_str(), integer.radix())
        .map_err(|_| format!("{integer} is outside 0 to {}", u32::MAX))
}

pub(super) fn number<T: std::str::FromStr>(value: &DeValue<'_>) -> Result<T, String> {
    let text = match value {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        _ => return Err(expected("a number", value)),
    };
    text.parse().map_err(|_| format!("{text} is out of range"))
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| expected("true or false", value))
}

pub(super) fn word<W: Word>(value: &DeValue<'_>) -> Result<W, String> {
    one_of(W::WORDS)(value)
}

/// A reader of one of these words, for the value that belongs to it.
pub(super) fn one_of<T: Copy>(
    words: &[(&'static str, T)],
) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let listed = || format!("\"{}\"", known.join("\", \""));
        let text = value
            .as_str()
            .ok_or_else(|| expected(&format!("one of {}", listed()), value))?;
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meant);
        }
        Err(match nearest(text, &known) {
            Some(near) => format!("`{text}` is unknown; did you mean \"{near}\"?"),
            None => format!("`{text}` is unknown; known are {}", listed()),
        })
    }
}

/// A list of texts; a single text is a list of one, and a whole number is taken as its digits.
pub(super) fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(integer) => Ok(integer.to_string()),
        _ => Err(expected("a list of texts", value)),
    };
    match value.as_array() {
        Some(list) => list.iter().map(|value| one(value.get_ref())).collect(),
        None => Ok(vec![one(value)?]),
    }
}

pub(super) fn statuses(value: &DeValue<'_>) -> Result<StatusSet, String> {
    StatusSet::from_words(texts(value)?.iter().map(String::as_str)).map_err(|why| why.to_string())
}

pub(super) fn errors(value: &DeValue<'_>) -> Result<ErrorSet, String> {
    let kind = |text: String| word(&DeValue::String(text.into()));
    let kinds: Result<Vec<_>, _> = texts(value)?.into_iter().map(kind).collect();
    Ok(ErrorSet::of(&kinds?))
}

/// A span of time with its unit: `"250ms"`, `"1.5s"`, `"2m"`.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    let text = match value {
        DeValue::String(text) => text.trim(),
        DeValue::Integer(number) => return Err(without_unit(number)),
        DeValue::Float(number) => return Err(without_unit(number)),
        _ => return Err(expected("a duration such as \"250ms\"", value)),
    };
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(without_unit(&text));
    }
    let parsed = text.parse::<SignedDuration>().map_err(|_| {
        format!("`{text}` is not a duration; write it like \"250ms\", \"1.5s\" or \"2m\"")
    })?;
    Duration::try_from(parsed).map_err(|_| format!("`{text}` is negative"))
}

/// A span of time, or `"none"`.
pub(super) fn duration_or_none(value: &DeValue<'_>) -> Result<Option<Duration>, String> {
    match value.as_str() {
        Some("none") => Ok(None),
        _ => duration(value).map(Some),
    }
}

fn without_unit(number: &dyn Display) -> String {
    format!("{number} has no unit; write \"{number}ms\" or \"{number}s\"")
}
