//! Books: what is sent, what is stored, what is answered, and what is wrong with what was sent.

use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::word;

/// A book as it is answered.
///
/// ```json
/// {"id":1,"title":"Wild","authors":["Cheryl Strayed"],"year":2012,"publisher":"Alfred A. Knopf","source":"primary"}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Its number in the library, from 1.
    pub id: i64,
    /// 1 to 500 characters.
    pub title: String,
    /// 1 to 50 of them, each of 1 to 200 characters.
    pub authors: Vec<String>,
    /// Of publication, -5000 to 9999.
    pub year: i32,
    /// 1 to 200 characters.
    pub publisher: String,
    /// Which service answered; no property of the book.
    pub source: Source,
}

/// Which of the book services answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The quick one.
    Primary,
    /// The old machine in the attic.
    Fallback,
}

/// What is to be known of a book to store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) title: String,
    pub(crate) authors: Vec<String>,
    pub(crate) year: i32,
    pub(crate) publisher: String,
}

impl Draft {
    pub(crate) fn into_book(self, id: i64, source: Source) -> Book {
        let Self {
            title,
            authors,
            year,
            publisher,
        } = self;
        Book {
            id,
            title,
            authors,
            year,
            publisher,
            source,
        }
    }
}

/// Why a body is no book.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not JSON, or no object.
    Syntax(String),
    /// It is an object, and these fields are wrong; never empty.
    Fields(Vec<String>),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => f.write_str(why),
            Self::Fields(all) => f.write_str(&all.join("; ")),
        }
    }
}

const TITLE_MAX: usize = 500;
const NAME_MAX: usize = 200;
const AUTHORS_MAX: usize = 50;
const YEARS: RangeInclusive<i32> = -5000..=9999;

/// A book to be created. The library gives it its id, so it has none yet.
pub(crate) fn to_create(body: &[u8]) -> Result<Draft, Unreadable> {
    let mut sheet = Sheet::read(body)?;
    if sheet.fields.remove("id").is_some() {
        sheet.refuse("id", "is given by the library; leave it out");
    }
    let draft = sheet.draft();
    sheet.finish(draft, &["title", "authors", "year", "publisher"])
}

/// A book that is to take the place of the one with its id. `source`, which is in every answer, may stay in it.
pub(crate) fn to_update(body: &[u8]) -> Result<(i64, Draft), Unreadable> {
    let mut sheet = Sheet::read(body)?;
    let id = sheet.id();
    sheet.fields.remove("source");
    let draft = sheet.draft();
    sheet.finish(
        id.zip(draft),
        &["id", "title", "authors", "year", "publisher"],
    )
}

/// An object that is read field by field, and what was wrong so far. Whatever is read is taken out.
struct Sheet {
    fields: Map<String, Value>,
    problems: Vec<String>,
}

impl Sheet {
    fn read(body: &[u8]) -> Result<Self, Unreadable> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self {
                fields,
                problems: Vec::new(),
            }),
            Ok(other) => Err(Unreadable::Syntax(format!(
                "a book is an object such as {{\"title\":\"Wild\", ...}}, not {}",
                kind(&other)
            ))),
            Err(error) => Err(Unreadable::Syntax(format!("not JSON: {error}"))),
        }
    }

    fn refuse(&mut self, field: &str, why: impl fmt::Display) {
        self.problems.push(format!("{field}: {why}"));
    }

    /// The field's value, or a problem if it is missing.
    fn take(&mut self, field: &str) -> Option<Value> {
        let value = self.fields.remove(field);
        if value.is_none() {
            self.refuse(field, "is missing");
        }
        value
    }

    /// The field as `read` has it, or a problem.
    fn field<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        match read(self.take(name)?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(name, why);
                None
            }
        }
    }

    fn id(&mut self) -> Option<i64> {
        self.field("id", |value| match value.as_i64() {
            Some(id) if id > 0 => Ok(id),
            _ => Err(format!(
                "{value} is no book's id, which is a whole number from 1"
            )),
        })
    }

    fn draft(&mut self) -> Option<Draft> {
        let title = self.field("title", |value| text(value, TITLE_MAX));
        let authors = self.field("authors", authors);
        let year = self.field("year", |value| year(&value));
        let publisher = self.field("publisher", |value| text(value, NAME_MAX));
        Some(Draft {
            title: title?,
            authors: authors?,
            year: year?,
            publisher: publisher?,
        })
    }

    /// What was read, unless anything was wrong or is left over.
    fn finish<T>(mut self, read: Option<T>, known: &[&str]) -> Result<T, Unreadable> {
        for name in self.fields.keys() {
            let hint = word::hint(name, known);
            self.problems.push(format!("{name}: is unknown; {hint}"));
        }
        match read {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => Err(Unreadable::Fields(self.problems)),
        }
    }
}

fn authors(value: Value) -> Result<Vec<String>, String> {
    let Value::Array(names) = value else {
        return Err(format!("is {}, not a list of names", kind(&value)));
    };
    if !(1..=AUTHORS_MAX).contains(&names.len()) {
        let count = names.len();
        return Err(format!("has {count} names, not 1 to {AUTHORS_MAX}"));
    }
    let names = names.into_iter().enumerate();
    names
        .map(|(at, name)| text(name, NAME_MAX).map_err(|why| format!("name {}: {why}", at + 1)))
        .collect()
}

fn year(value: &Value) -> Result<i32, String> {
    let year = value.as_i64().and_then(|year| i32::try_from(year).ok());
    year.filter(|year| YEARS.contains(year)).ok_or_else(|| {
        let (first, last) = YEARS.into_inner();
        format!("{value} is no year from {first} to {last}")
    })
}

/// Text that a reader can see. Databases differ in what they do with the rest.
fn text(value: Value, characters_max: usize) -> Result<String, String> {
    let Value::String(text) = value else {
        return Err(format!("is {}, not text", kind(&value)));
    };
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    let characters = text.chars().count();
    if characters > characters_max {
        return Err(format!(
            "has {characters} characters, more than {characters_max}"
        ));
    }
    Ok(text)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn wild() -> Draft {
        Draft {
            title: "Wild".to_owned(),
            authors: vec!["Cheryl Strayed".to_owned()],
            year: 2012,
            publisher: "Alfred A. Knopf".to_owned(),
        }
    }

    /// What is said of a body that is no book to be created.
    fn refusal(body: &str) -> String {
        to_create(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_book_is_read() {
        let body = r#"{"title":"Wild","authors":["Cheryl Strayed"],"year":2012,"publisher":"Alfred A. Knopf"}"#;

        assert_eq!(to_create(body.as_bytes()), Ok(wild()));
    }

    #[test]
    fn an_answered_book_can_be_sent_back_as_an_update() {
        let book = wild().into_book(7, Source::Fallback);
        let body = serde_json::to_vec(&book).unwrap();

        assert_eq!(to_update(&body), Ok((7, wild())));
    }

    #[test]
    fn what_is_no_book_is_told_what_one_is() {
        for (body, wanted) in [
            ("", "not JSON: EOF while parsing a value at line 1 column 0"),
            (
                "{\"title\":",
                "not JSON: EOF while parsing a value at line 1 column 9",
            ),
            (
                "[]",
                "a book is an object such as {\"title\":\"Wild\", ...}, not a list",
            ),
            (
                "{}",
                "title: is missing; authors: is missing; year: is missing; publisher: is missing",
            ),
        ] {
            assert_eq!(refusal(body), wanted);
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let with = |field: &str, value: Value| {
            let mut book = json!({"title":"Wild","authors":["Cheryl Strayed"],"year":2012,"publisher":"Knopf"});
            book[field] = value;
            refusal(&book.to_string())
        };
        for (field, value, wanted) in [
            ("title", json!(7), "title: is a number, not text"),
            ("title", json!("  "), "title: is empty"),
            ("title", json!("a\u{0}b"), "title: has control characters"),
            (
                "title",
                json!("x".repeat(501)),
                "title: has 501 characters, more than 500",
            ),
            (
                "authors",
                json!("Cheryl Strayed"),
                "authors: is text, not a list of names",
            ),
            ("authors", json!([]), "authors: has 0 names, not 1 to 50"),
            (
                "authors",
                json!(["a", null]),
                "authors: name 2: is null, not text",
            ),
            (
                "year",
                json!(2012.5),
                "year: 2012.5 is no year from -5000 to 9999",
            ),
            (
                "year",
                json!(10_000),
                "year: 10000 is no year from -5000 to 9999",
            ),
            (
                "year",
                json!(i64::MAX),
                "year: 9223372036854775807 is no year from -5000 to 9999",
            ),
            ("id", json!(1), "id: is given by the library; leave it out"),
            (
                "titel",
                json!("Wild"),
                "titel: is unknown; did you mean `title`?",
            ),
            (
                "isbn",
                json!("1"),
                "isbn: is unknown; known: title, authors, year, publisher",
            ),
        ] {
            assert_eq!(with(field, value), wanted);
        }
    }

    #[test]
    fn an_update_needs_the_id_of_a_book() {
        for (id, wanted) in [
            (
                json!(0),
                "id: 0 is no book's id, which is a whole number from 1",
            ),
            (
                json!("1"),
                "id: \"1\" is no book's id, which is a whole number from 1",
            ),
            (
                json!(1.5),
                "id: 1.5 is no book's id, which is a whole number from 1",
            ),
        ] {
            let mut book = serde_json::to_value(wild().into_book(1, Source::Primary)).unwrap();
            book["id"] = id;

            let refused = to_update(book.to_string().as_bytes()).unwrap_err();

            assert_eq!(refused.to_string(), wanted);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(to_create(&body).is_err());
        }

        #[test]
        fn what_is_in_bounds_is_read_as_it_is(
            title in "[^\\p{C}\\s]{1,50}",
            authors in proptest::collection::vec("[^\\p{C}\\s]{1,20}", 1..5),
            year in -5000..=9999,
            publisher in "[^\\p{C}\\s]{1,50}",
            id in 1..i64::MAX,
        ) {
            let draft = Draft { title, authors, year, publisher };
            let book = draft.clone().into_book(id, Source::Primary);

            let read = to_update(&serde_json::to_vec(&book).unwrap());

            prop_assert_eq!(read, Ok((id, draft)));
        }
    }
}
