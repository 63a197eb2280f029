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
pub(crate) struct TomlTree<'t> {
    text: &'t str,
    pub(crate) value: Value,
    /// By JSON pointer, where a value stands in the text.
    places: HashMap<String, Range<usize>>,
}

/// A problem with its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// From 1.
    line: usize,
    column: usize,
    /// The line itself.
    source: String,
    detail: String,
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

impl<'t> TomlTree<'t> {
    /// Parses a file.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Located> {
        let mut tree = Self {
            text,
            value: Value::Null,
            places: HashMap::new(),
        };
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            tree.locate(at, error.message().to_owned())
        })?;
        let table = tree
            .table("", document.get_ref())
            .map_err(|problem| tree.place(&problem))?;
        tree.value = Value::Object(table);
        Ok(tree)
    }

    /// Where a problem is: at its value, or at the nearest that stands in the file.
    pub(crate) fn place(&self, problem: &Problem) -> Located {
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
            Some(key) if !key.is_empty() => format!("`{key}` {}", problem.detail),
            _ => problem.detail.clone(),
        };
        self.locate(at, detail)
    }

    fn locate(&self, at: usize, detail: String) -> Located {
        let before = &self.text[..at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
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
