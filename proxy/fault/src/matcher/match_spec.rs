//! The `match` of a fault, as it is written and sent.

use http::{HeaderName, Method};
use serde_json::{Map, Value, json};

use super::{Network, Pattern, Places};
use crate::{
    read::{Object, Problem, one_or_many, shorten, text},
    written::single_or_list,
};

/// One named field and the patterns of which one must fit one of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMatch<N> {
    /// The field's name.
    pub name: N,
    /// Any of these.
    pub values: Vec<Pattern>,
}

/// The `match` of a fault: all conditions must hold; an empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchSpec {
    /// Any of these methods; empty for all.
    pub method: Vec<Method>,
    /// Any of these patterns, on the raw path without the query; empty for all.
    pub path: Vec<Pattern>,
    /// None of these patterns, on the raw path without the query.
    pub not_path: Vec<Pattern>,
    /// Any of these patterns, on the host without its port, in lower case; empty for all.
    pub host: Vec<Pattern>,
    /// Each of these header fields; names have no case.
    pub header: Vec<FieldMatch<HeaderName>>,
    /// Each of these parameters of the query, raw as sent.
    pub query: Vec<FieldMatch<String>>,
    /// Each of these cookies.
    pub cookie: Vec<FieldMatch<String>>,
    /// Any of these ranges of client addresses; empty for all.
    pub client: Vec<Network>,
    /// Any of these gRPC methods, as `package.Service/Method`; empty for all.
    pub grpc_method: Vec<Pattern>,
    /// Each of these members of W3C Baggage.
    pub baggage: Vec<FieldMatch<String>>,
    /// The request's place on its connection; `None` for any.
    pub connection_seq: Option<Places>,
}

impl MatchSpec {
    /// The most texts in one `match`: methods, patterns and ranges of addresses.
    pub const PATTERNS_MAX: usize = 1_000;
    /// The most regular expressions in one `match`. Each takes up to 256 KiB.
    pub const EXPRESSIONS_MAX: usize = 16;

    const KEYS: [&'static str; 11] = [
        "method",
        "path",
        "not_path",
        "host",
        "header",
        "query",
        "cookie",
        "client",
        "grpc_method",
        "baggage",
        "connection_seq",
    ];

    /// Reads the value of a fault's `match`.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&Self::KEYS)?;
        Self::check_counts(&object)?;
        let named = |key: &str| Ok(object.optional(key, fields(name))?.unwrap_or_default());
        Ok(Self {
            method: list(&object, "method", method)?,
            path: list(&object, "path", path)?,
            not_path: list(&object, "not_path", path)?,
            host: list(&object, "host", host)?,
            header: object
                .optional("header", fields(header_name))?
                .unwrap_or_default(),
            query: named("query")?,
            cookie: named("cookie")?,
            client: list(&object, "client", Network::read)?,
            grpc_method: list(&object, "grpc_method", grpc_method)?,
            baggage: named("baggage")?,
            connection_seq: object.optional("connection_seq", Places::read)?,
        })
    }

    /// Checks how many patterns there are before any is compiled.
    fn check_counts(object: &Object<'_>) -> Result<(), Problem> {
        let (mut patterns, mut expressions) = (0, 0);
        let mut next: Vec<&Value> = object.iter().map(|(_, value)| value).collect();
        while let Some(value) = next.pop() {
            match value {
                Value::Array(items) => next.extend(items),
                Value::Object(members) => next.extend(members.values()),
                Value::String(text) => {
                    patterns += 1;
                    expressions += usize::from(Pattern::is_expression(text));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        let check = |what: &str, count: usize, max: usize| match count {
            count if count > max => Err(Problem::here(format!(
                "has {count} {what}; a fault may have {max}"
            ))),
            _ => Ok(()),
        };
        check("patterns", patterns, Self::PATTERNS_MAX)?;
        check("regular expressions", expressions, Self::EXPRESSIONS_MAX)
    }

    /// The regular expressions in it.
    pub(crate) fn expressions(&self) -> usize {
        let lists = [&self.path, &self.not_path, &self.host, &self.grpc_method];
        let by_name = [&self.query, &self.cookie, &self.baggage];
        let headers = self.header.iter().flat_map(|field| &field.values);
        let named = by_name
            .into_iter()
            .flatten()
            .flat_map(|field| &field.values);
        let all = lists.into_iter().flatten().chain(headers).chain(named);
        all.filter(|pattern| matches!(pattern, Pattern::Regex(_)))
            .count()
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let methods = self.method.iter().map(|method| method.as_str().to_owned());
        let clients = self.client.iter().map(ToString::to_string);
        let place = self.connection_seq.map_or(json!([]), Places::to_value);
        let members = [
            ("method", single_or_list(methods)),
            ("path", patterns(&self.path)),
            ("not_path", patterns(&self.not_path)),
            ("host", patterns(&self.host)),
            ("header", named(&self.header)),
            ("query", named(&self.query)),
            ("cookie", named(&self.cookie)),
            ("client", single_or_list(clients)),
            ("grpc_method", patterns(&self.grpc_method)),
            ("baggage", named(&self.baggage)),
            ("connection_seq", place),
        ];
        let empty = |value: &Value| *value == json!([]) || *value == json!({});
        let given = members.into_iter().filter(|(_, value)| !empty(value));
        Value::Object(given.map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Whether it asks for nothing, so that everything fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn patterns(patterns: &[Pattern]) -> Value {
    single_or_list(patterns.iter().map(Pattern::to_text))
}

fn named<N: ToString>(fields: &[FieldMatch<N>]) -> Value {
    let members = fields
        .iter()
        .map(|field| (field.name.to_string(), patterns(&field.values)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn list<T>(
    object: &Object<'_>,
    key: &str,
    read: impl Fn(&Value) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    Ok(object.optional(key, one_or_many(read))?.unwrap_or_default())
}

fn fields<N>(
    name: impl Fn(&str) -> Result<N, Problem>,
) -> impl Fn(&Value) -> Result<Vec<FieldMatch<N>>, Problem> {
    move |value| {
        let read = |key: &str, values: &Value| {
            Ok(FieldMatch {
                name: name(key)?,
                values: one_or_many(Pattern::read)(values)?,
            })
        };
        let object = Object::new(value)?;
        object
            .iter()
            .map(|(key, values)| read(key, values).map_err(|problem: Problem| problem.under(key)))
            .collect()
    }
}

fn header_name(name: &str) -> Result<HeaderName, Problem> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Problem::here("is not a header name"))
}

fn name(name: &str) -> Result<String, Problem> {
    if name.is_empty() || name.contains(['=', '&', ';', ',', ' ']) {
        return Err(Problem::here("is not a name"));
    }
    Ok(name.to_owned())
}

pub(crate) fn method(value: &Value) -> Result<Method, Problem> {
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

fn path(value: &Value) -> Result<Pattern, Problem> {
    let pattern = Pattern::read(value)?;
    let Pattern::Glob(glob) = &pattern else {
        return Ok(pattern);
    };
    if glob.as_str().contains('?') {
        return Err(Problem::here(
            "has a `?`; a path is matched without its query, and `*` is the only wildcard",
        ));
    }
    match glob.as_str().chars().next() {
        Some('/' | '*') => Ok(pattern),
        _ => Err(Problem::here(format!(
            "`{}` starts with neither `/` nor `*`, so no path fits it",
            shorten(glob.as_str())
        ))),
    }
}

fn host(value: &Value) -> Result<Pattern, Problem> {
    let pattern = Pattern::read(value)?;
    if let Pattern::Glob(glob) = &pattern {
        let written = glob.as_str();
        if written.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(Problem::here(format!(
                "`{}` has upper-case letters; hosts are matched in lower case",
                shorten(written)
            )));
        }
        if written.contains('/') {
            return Err(Problem::here("has a `/`; a host is a name without a path"));
        }
    }
    Ok(pattern)
}

fn grpc_method(value: &Value) -> Result<Pattern, Problem> {
    let pattern = Pattern::read(value)?;
    match &pattern {
        Pattern::Glob(glob) if glob.as_str().starts_with('/') => Err(Problem::here(
            "starts with a `/`; write it like `package.Service/Method`",
        )),
        Pattern::Glob(_) | Pattern::Regex(_) => Ok(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_patterns_are_refused_with_the_bound_before_they_are_compiled() {
        let of = |pattern: &str, count: usize| json!({ "path": vec![pattern; count], "header": { "x": pattern } });

        assert!(MatchSpec::read(&of("re:^/a", 15)).is_ok());
        let expressions = MatchSpec::read(&of("re:^/a", 16)).unwrap_err();
        // None of these could be compiled.
        let patterns = MatchSpec::read(&of("re:(", 1_000)).unwrap_err();

        assert_eq!(
            expressions.detail,
            "has 17 regular expressions; a fault may have 16"
        );
        assert_eq!(patterns.detail, "has 1001 patterns; a fault may have 1000");
        let counted = MatchSpec::read(&of("re:^/a", 3)).unwrap();
        assert_eq!(counted.expressions(), 4);
    }

    #[test]
    fn what_could_never_match_is_refused_with_its_place() {
        let cases = [
            (json!({ "method": "get" }), "/method"),
            (json!({ "method": ["GET", "PO ST"] }), "/method/1"),
            (json!({ "path": "v1" }), "/path"),
            (json!({ "path": "/a?b=1" }), "/path"),
            (json!({ "path": "re:(" }), "/path"),
            (json!({ "path": [] }), "/path"),
            (json!({ "not_path": "v1" }), "/not_path"),
            (json!({ "host": "A.example" }), "/host"),
            (json!({ "header": { "bad name": "x" } }), "/header/bad name"),
            (json!({ "header": { "x": 3 } }), "/header/x"),
            (json!({ "query": { "": "x" } }), "/query/"),
            (json!({ "cookie": { "a;b": "x" } }), "/cookie/a;b"),
            (json!({ "client": "10.0.0.1/8" }), "/client"),
            (json!({ "grpc_method": "/a.B/C" }), "/grpc_method"),
            (json!({ "connection_seq": "<1" }), "/connection_seq"),
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
}
