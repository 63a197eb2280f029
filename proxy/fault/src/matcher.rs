//! Which requests a fault is meant for.

use http::{HeaderMap, HeaderName, Method, Uri};
use serde_json::{Map, Value, json};

use crate::read::{Object, Problem, expected, one_or_many, shorten, text};

/// What is known of a request when its fate is decided. Borrowed: making one allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The name of the route it came in by.
    pub route: &'a str,
    /// The request's method.
    pub method: &'a Method,
    /// The request's target, raw as sent.
    pub uri: &'a Uri,
    /// The request's header fields as received.
    pub headers: &'a HeaderMap,
}

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

/// One header field and the patterns of which one must fit one of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The field's name; names have no case.
    pub name: HeaderName,
    /// Any of these.
    pub values: Vec<Glob>,
}

/// The `match` of a fault: all conditions must hold; an empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchSpec {
    /// Any of these methods; empty for all.
    pub method: Vec<Method>,
    /// Any of these patterns, on the raw path without the query; empty for all.
    pub path: Vec<Glob>,
    /// Each of these header fields.
    pub header: Vec<HeaderMatch>,
}

impl MatchSpec {
    const KEYS: [&'static str; 3] = ["method", "path", "header"];

    /// Reads the value of a fault's `match`.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&Self::KEYS)?;
        Ok(Self {
            method: object
                .optional("method", one_or_many(method))?
                .unwrap_or_default(),
            path: object
                .optional("path", one_or_many(path))?
                .unwrap_or_default(),
            header: object.optional("header", headers)?.unwrap_or_default(),
        })
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        if !self.method.is_empty() {
            map.insert(
                "method".into(),
                single_or_list(self.method.iter().map(Method::as_str)),
            );
        }
        if !self.path.is_empty() {
            map.insert(
                "path".into(),
                single_or_list(self.path.iter().map(Glob::as_str)),
            );
        }
        if !self.header.is_empty() {
            let fields = self.header.iter().map(|field| {
                let values = single_or_list(field.values.iter().map(Glob::as_str));
                (field.name.to_string(), values)
            });
            map.insert("header".into(), Value::Object(fields.collect()));
        }
        Value::Object(map)
    }

    /// Whether all conditions hold for `subject`.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let any_path = |globs: &[Glob]| {
            let path = subject.uri.path().as_bytes();
            globs.iter().any(|glob| glob.matches(path))
        };
        let field_fits = |field: &HeaderMatch| {
            let mut values = subject.headers.get_all(&field.name).iter();
            values.any(|value| {
                field
                    .values
                    .iter()
                    .any(|glob| glob.matches(value.as_bytes()))
            })
        };
        (self.method.is_empty() || self.method.contains(subject.method))
            && (self.path.is_empty() || any_path(&self.path))
            && self.header.iter().all(field_fits)
    }
}

/// A single text as it is, several as a list: the same reading both ways.
pub(crate) fn single_or_list<'t>(mut texts: impl ExactSizeIterator<Item = &'t str>) -> Value {
    if texts.len() == 1 {
        json!(texts.next())
    } else {
        texts.map(Value::from).collect()
    }
}

fn method(value: &Value) -> Result<Method, Problem> {
    let word = text(value)?;
    // A method is case-sensitive (RFC 9110 §9.1): `get` would match nothing that anyone sends.
    let upper = word.to_ascii_uppercase();
    if word != upper {
        return Err(Problem::here(format!(
            "`{}` has lower-case letters; methods are case-sensitive, write `{}`",
            shorten(word),
            shorten(&upper)
        )));
    }
    Method::from_bytes(word.as_bytes())
        .map_err(|_| Problem::here(format!("`{}` is not a method", shorten(word))))
}

fn path(value: &Value) -> Result<Glob, Problem> {
    let pattern = text(value)?;
    if pattern.starts_with("re:") {
        return Err(Problem::here(
            "regular expressions are not supported yet; write a glob such as `/v1/*`",
        ));
    }
    if pattern.contains('?') {
        return Err(Problem::here(
            "has a `?`; a path is matched without its query, and `*` is the only wildcard",
        ));
    }
    match pattern.chars().next() {
        Some('/' | '*') => Ok(Glob::new(pattern)),
        _ => Err(Problem::here(format!(
            "`{}` starts with neither `/` nor `*`, so no path fits it",
            shorten(pattern)
        ))),
    }
}

fn headers(value: &Value) -> Result<Vec<HeaderMatch>, Problem> {
    Object::new(value)?
        .iter()
        .map(|(name, values)| {
            let read = || {
                let parsed = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Problem::here("is not a header name"))?;
                let values = one_or_many(|value| match value {
                    Value::String(pattern) => Ok(Glob::new(pattern.as_str())),
                    other => Err(expected("a text", other)),
                })(values)?;
                Ok(HeaderMatch {
                    name: parsed,
                    values,
                })
            };
            read().map_err(|problem: Problem| problem.under(name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn fits(spec: Value, request: http::request::Builder) -> bool {
        let request = request.body(()).unwrap();
        MatchSpec::read(&spec).unwrap().matches(&Subject {
            route: "web",
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        })
    }

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
    fn all_conditions_must_hold() {
        let spec = json!({
            "method": ["GET", "HEAD"],
            "path": "/v1/*",
            "header": { "X-User": "user-7" },
        });
        let get = || http::Request::get("/v1/items?q=1").header("x-user", "user-7");

        assert!(fits(spec.clone(), get()));
        assert!(!fits(spec.clone(), get().method("POST")));
        assert!(!fits(spec.clone(), get().uri("/v2/items")));
        assert!(!fits(
            spec,
            http::Request::get("/v1/items").header("x-user", "user-8")
        ));
    }

    #[test]
    fn the_path_is_matched_raw_and_without_the_query() {
        assert!(fits(
            json!({ "path": "/a%20b" }),
            http::Request::get("/a%20b?c=d")
        ));
        assert!(!fits(
            json!({ "path": "*c=d" }),
            http::Request::get("/a?c=d")
        ));
    }

    #[test]
    fn any_value_of_a_repeated_header_may_fit() {
        let request = http::Request::get("/")
            .header("via", "a")
            .header("via", "b");

        assert!(fits(json!({ "header": { "via": "b" } }), request));
    }

    #[test]
    fn an_empty_match_fits_everything() {
        assert!(fits(json!({}), http::Request::options("*")));
    }

    #[test]
    fn what_could_never_match_is_refused_with_its_place() {
        let cases = [
            (json!({ "method": "get" }), "/method"),
            (json!({ "method": ["GET", "PO ST"] }), "/method/1"),
            (json!({ "path": "v1" }), "/path"),
            (json!({ "path": "/a?b=1" }), "/path"),
            (json!({ "path": [] }), "/path"),
            (json!({ "header": { "bad name": "x" } }), "/header/bad name"),
            (json!({ "header": { "x": 3 } }), "/header/x"),
            (json!({ "pth": "/" }), "/pth"),
        ];
        for (value, pointer) in cases {
            assert_eq!(
                MatchSpec::read(&value).unwrap_err().pointer,
                pointer,
                "{value}"
            );
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
