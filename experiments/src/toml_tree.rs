//! A TOML file as a value tree, with the place of everything in it.

use std::{collections::HashMap, fmt, ops::Range};

use brownout_fault::read::Problem;
use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A parsed file.
#[derive(Debug)]
pub struct TomlTree<'t> {
    text: &'t str,
    /// What it says, as the same JSON would.
    pub value: Value,
    /// By JSON pointer, where a value stands in the text.
    places: HashMap<String, Range<usize>>,
}

/// A problem with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// From 1.
    pub line: usize,
    /// In characters, from 0.
    pub column: usize,
    /// The line itself.
    pub source: String,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            source,
            detail,
        } = self;
        writeln!(f, "line {line}: {detail}")?;
        writeln!(f, "  {line} | {source}")?;
        let margin = line.to_string().len() + 6 + column;
        write!(f, "{:>margin$}", "^")
    }
}

/// The key and value of a line `key = word`, where the word is a text that was written without quotes.
fn bare_word(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = line.split_once('=')?;
    let word = rest.split('#').next().unwrap_or_default().trim();
    let is_value = matches!(word, "true" | "false" | "inf" | "nan");
    let is_bare = |text: &str, more: &str| {
        let mut letters = text.chars();
        letters.next().is_some_and(char::is_alphanumeric)
            && letters.all(|c| c.is_alphanumeric() || more.contains(c))
    };
    let has_letter = word.chars().any(char::is_alphabetic);
    let key = key.trim();
    (!is_value && has_letter && is_bare(word, "._-/:%*") && is_bare(key, "._-"))
        .then_some((key, word))
}

impl<'t> TomlTree<'t> {
    /// Parses a file.
    ///
    /// # Errors
    /// When it is no TOML, with the place; or when it has a date or a number that JSON has not.
    pub fn parse(text: &'t str) -> Result<Self, Located> {
        let mut tree = Self {
            text,
            value: Value::Null,
            places: HashMap::new(),
        };
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let located = tree.locate(at, error.message().to_owned());
            let bare = bare_word(&located.source)
                .map(|(key, word)| format!("a text needs quotes: write {key} = \"{word}\""));
            Located {
                detail: bare.unwrap_or(located.detail),
                ..located
            }
        })?;
        let table = tree
            .table("", document.get_ref())
            .map_err(|problem| tree.place(&problem))?;
        tree.value = Value::Object(table);
        Ok(tree)
    }

    /// Where a problem is: at its value, or at the nearest that stands in the file.
    #[must_use]
    pub fn place(&self, problem: &Problem) -> Located {
        let mut pointer = problem.pointer.as_str();
        let at = loop {
            match (self.places.get(pointer), pointer.rfind('/')) {
                (Some(span), _) => break span.start,
                (None, Some(parent)) => pointer = &pointer[..parent],
                (None, None) => break 0,
            }
        };
        // The pointer says which part of that value is meant.
        let detail = match problem.pointer.rsplit('/').next() {
            // The number of an entry says nothing that its line does not.
            Some(key) if key.bytes().all(|byte| byte.is_ascii_digit()) => problem.detail.clone(),
            Some(key) => format!("`{key}` {}", problem.detail),
            _ => problem.detail.clone(),
        };
        self.locate(at, detail)
    }

    /// Where a problem inside a text is: `at` so many bytes behind the text's beginning.
    #[must_use]
    pub fn place_in_text(&self, pointer: &str, at: usize, detail: &str) -> Located {
        let span = self.places.get(pointer).cloned().unwrap_or(0..0);
        let written = &self.text[span.clone()];
        // A text that is written with escapes or over several lines has no such place; its beginning will do.
        let is_plain = !written.starts_with("\"\"\"") && !written.contains('\\');
        let at = if is_plain {
            span.start + 1 + at
        } else {
            span.start
        };
        self.locate(at, detail.to_owned())
    }

    /// The line and column of a value, both from 1; the file's beginning where it is not written.
    #[must_use]
    pub fn line_and_column(&self, pointer: &str) -> (usize, usize) {
        let at = self.places.get(pointer).map_or(0, |span| span.start);
        let located = self.locate(at, String::new());
        (located.line, located.column + 1)
    }

    fn locate(&self, at: usize, detail: String) -> Located {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[begin..].chars().count();
        Located {
            line,
            column,
            source: self
                .text
                .lines()
                .nth(line - 1)
                .unwrap_or_default()
                .to_owned(),
            detail,
        }
    }

    fn table(&mut self, pointer: &str, table: &DeTable<'_>) -> Result<Map<String, Value>, Problem> {
        let mut members: Vec<_> = table.iter().collect();
        // In the order of the file, so that problems come in that order.
        members.sort_by_key(|(key, _)| key.span().start);
        let mut map = Map::new();
        for (key, value) in members {
            let name = key.get_ref().as_ref();
            let place = format!("{pointer}{}", Problem::at(name, "").pointer);
            self.places.insert(place.clone(), key.span());
            map.insert(name.to_owned(), self.value(&place, value)?);
        }
        Ok(map)
    }

    fn value(&mut self, pointer: &str, value: &Spanned<DeValue<'_>>) -> Result<Value, Problem> {
        let problem = |detail: String| Problem {
            pointer: pointer.to_owned(),
            detail,
        };
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(integer) => {
                let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
                let parsed =
                    parsed.map_err(|_| problem(format!("{} is too large", integer.as_str())))?;
                Value::Number(parsed.into())
            }
            DeValue::Float(float) => {
                let parsed = float.as_str().parse().ok().and_then(Number::from_f64);
                let wrong = || {
                    problem(format!(
                        "{} is not a number that can be used",
                        float.as_str()
                    ))
                };
                Value::Number(parsed.ok_or_else(wrong)?)
            }
            DeValue::Datetime(_) => {
                return Err(problem("is a date, which nothing here takes".to_owned()));
            }
            DeValue::Array(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let place = format!("{pointer}/{index}");
                    self.places.insert(place.clone(), item.span());
                    list.push(self.value(&place, item)?);
                }
                Value::Array(list)
            }
            DeValue::Table(table) => Value::Object(self.table(pointer, table)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_becomes_the_tree_that_json_would_be() {
        let text = "seed = 42\n[[fault]]\nroute = 'web'\npercent = 0.5\nlatency = { min = '1s', max = '2s' }\n";

        let tree = TomlTree::parse(text).unwrap();

        assert_eq!(
            tree.value,
            json!({
                "seed": 42,
                "fault": [{ "route": "web", "percent": 0.5, "latency": { "min": "1s", "max": "2s" } }],
            })
        );
    }

    #[test]
    fn a_text_without_quotes_is_told_as_such() {
        for (line, told) in [
            ("ttl = none", "a text needs quotes: write ttl = \"none\""),
            (
                "latency = 250ms # slow",
                "a text needs quotes: write latency = \"250ms\"",
            ),
        ] {
            let text = format!("[[fault]]\n{line}\n");
            let wrong = TomlTree::parse(&text).unwrap_err();
            assert_eq!((wrong.line, wrong.detail.as_str()), (2, told), "{line}");
        }
        let other = TomlTree::parse("[[fault]\n").unwrap_err();
        assert!(!other.detail.contains("quotes"), "{}", other.detail);
    }

    #[test]
    fn the_number_of_an_entry_is_not_told() {
        let tree = TomlTree::parse("[[fault]]\nroute = 'web'\n").unwrap();

        let placed = tree.place(&Problem {
            pointer: "/fault/0".to_owned(),
            detail: "names no kind of fault".to_owned(),
        });

        assert_eq!(placed.detail, "names no kind of fault");
    }

    #[test]
    fn a_problem_is_shown_at_its_line() {
        let text = "[[fault]]\nroute = 'web'\npercent = 150\n";
        let tree = TomlTree::parse(text).unwrap();

        let place = tree.place(&Problem {
            pointer: "/fault/0/percent".to_owned(),
            detail: "150 is outside 0 to 100".to_owned(),
        });

        assert_eq!(
            place.to_string(),
            "line 3: `percent` 150 is outside 0 to 100\n  3 | percent = 150\n      ^"
        );
    }

    #[test]
    fn what_is_missing_is_shown_where_it_should_stand() {
        let text = "[[fault]]\nroute = 'web'\n";
        let tree = TomlTree::parse(text).unwrap();

        let place = tree.place(&Problem {
            pointer: "/fault/0/id".to_owned(),
            detail: "is required".to_owned(),
        });

        assert_eq!(place.line, 1);
    }

    #[test]
    fn what_is_no_toml_says_where() {
        let wrong = TomlTree::parse("[[route]]\nname = web\n").unwrap_err();

        assert_eq!(wrong.line, 2, "{wrong}");
    }

    #[test]
    fn numbers_that_json_has_not_are_refused() {
        for text in [
            "percent = nan",
            "percent = inf",
            "limit = 99999999999999999999",
            "at = 2026-01-01",
        ] {
            assert!(TomlTree::parse(text).is_err(), "{text}");
        }
    }
}
