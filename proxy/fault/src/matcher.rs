//! Which requests a fault is meant for.

mod choice;
mod key;
mod link;
mod members;
mod network;
mod pattern;

pub(crate) use self::key::client_key;
pub use self::{
    choice::Choice,
    key::Per,
    network::Network,
    pattern::{Glob, Pattern},
};

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, Method, Uri, header};
use serde_json::{Map, Value, json};

use self::members::{Member, baggage, cookies, host_of, members};
use crate::read::{Object, Problem, one_or_many, shorten, text};

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
    /// The client's address.
    pub peer: SocketAddr,
    /// The number of the client's connection on its route, in the order of acceptance.
    pub connection: u64,
}

/// One named field and the patterns of which one must fit one of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMatch<N> {
    /// The field's name.
    pub name: N,
    /// Any of these.
    pub values: Vec<Pattern>,
}

impl<N> FieldMatch<N> {
    fn fits(&self, value: &[u8]) -> bool {
        self.values.iter().any(|pattern| pattern.matches(value))
    }
}

impl FieldMatch<String> {
    fn is_among<'a>(&self, mut members: impl Iterator<Item = Member<'a>>) -> bool {
        members.any(|(name, value)| name == self.name.as_bytes() && self.fits(value))
    }
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
}

impl MatchSpec {
    const KEYS: [&'static str; 10] = [
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
    ];

    /// Reads the value of a fault's `match`.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&Self::KEYS)?;
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
        })
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let methods = self.method.iter().map(|method| method.as_str().to_owned());
        let clients = self.client.iter().map(ToString::to_string);
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

    /// What every path that fits begins with.
    pub(crate) fn path_prefix(&self) -> &[u8] {
        let mut prefixes = self.path.iter().map(Pattern::literal_prefix);
        let Some(first) = prefixes.next() else {
            return &[];
        };
        prefixes.fold(first, |common, prefix| {
            let pairs = common.iter().zip(prefix);
            &common[..pairs.take_while(|(one, other)| one == other).count()]
        })
    }

    /// Whether all conditions hold for `subject`.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let path = subject.uri.path().as_bytes();
        let any = |patterns: &[Pattern], text: &[u8]| patterns.iter().any(|one| one.matches(text));
        (self.method.is_empty() || self.method.contains(subject.method))
            && (self.path.is_empty() || any(&self.path, path))
            && !any(&self.not_path, path)
            && self.header.iter().all(|field| {
                let mut values = subject.headers.get_all(&field.name).iter();
                values.any(|value| field.fits(value.as_bytes()))
            })
            && self.matches_rest(subject)
    }

    /// The conditions that few faults have.
    fn matches_rest(&self, subject: &Subject<'_>) -> bool {
        (self.host.is_empty()
            || host_of(subject).is_some_and(|host| self.host.iter().any(|one| one.matches(&host))))
            && self.matches_client(subject.peer)
            && (self.grpc_method.is_empty() || self.is_grpc_method(subject))
            && self.query.iter().all(|field| {
                let query = subject.uri.query().unwrap_or_default();
                field.is_among(members(query.as_bytes(), b'&'))
            })
            && self
                .cookie
                .iter()
                .all(|field| field.is_among(cookies(subject.headers)))
            && self
                .baggage
                .iter()
                .all(|field| field.is_among(baggage(subject.headers)))
    }

    /// gRPC's path is `/package.Service/Method`, its content type `application/grpc`, maybe with more behind.
    fn is_grpc_method(&self, subject: &Subject<'_>) -> bool {
        let content_type = subject.headers.get(header::CONTENT_TYPE);
        let is_grpc =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        let path = subject.uri.path().as_bytes();
        let method = path.strip_prefix(b"/").unwrap_or(path);
        is_grpc && self.grpc_method.iter().any(|one| one.matches(method))
    }
}

/// A single text as it is, several as a list: the same reading both ways.
pub(crate) fn single_or_list(texts: impl Iterator<Item = String>) -> Value {
    let mut texts: Vec<Value> = texts.map(Value::from).collect();
    if texts.len() == 1 {
        texts.remove(0)
    } else {
        Value::Array(texts)
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

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn fits(spec: Value, request: http::request::Builder) -> bool {
        let request = request.body(()).unwrap();
        let matching = MatchSpec::read(&spec).unwrap();
        assert_eq!(MatchSpec::read(&matching.to_value()), Ok(matching.clone()));
        matching.matches(&Subject {
            route: "web",
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            peer: ([127, 0, 0, 1], 40_000).into(),
            connection: 0,
        })
    }

    fn get(target: &str) -> http::request::Builder {
        http::Request::get(target)
    }

    #[test]
    fn all_conditions_must_hold() {
        let spec = json!({
            "method": ["GET", "HEAD"],
            "path": "/v1/*",
            "header": { "X-User": "user-7" },
        });
        let good = || get("/v1/items?q=1").header("x-user", "user-7");

        assert!(fits(spec.clone(), good()));
        assert!(!fits(spec.clone(), good().method("POST")));
        assert!(!fits(spec.clone(), good().uri("/v2/items")));
        assert!(!fits(spec, get("/v1/items").header("x-user", "user-8")));
    }

    #[test]
    fn the_path_is_matched_raw_and_without_the_query() {
        assert!(fits(json!({ "path": "/a%20b" }), get("/a%20b?c=d")));
        assert!(!fits(json!({ "path": "*c=d" }), get("/a?c=d")));
        assert!(fits(json!({ "path": "re:^/a/[0-9]+$" }), get("/a/17?x")));
    }

    #[test]
    fn not_path_spares_what_it_names() {
        let spec = json!({ "path": "/*", "not_path": ["/healthz", "re:^/internal/"] });

        assert!(fits(spec.clone(), get("/a")));
        assert!(!fits(spec.clone(), get("/healthz")));
        assert!(!fits(spec, get("/internal/x")));
    }

    #[test]
    fn any_value_of_a_repeated_header_may_fit() {
        let request = get("/").header("via", "a").header("via", "b");

        assert!(fits(json!({ "header": { "via": "b" } }), request));
    }

    #[test]
    fn a_query_parameter_fits_by_name_and_raw_value() {
        let spec = json!({ "query": { "q": ["shoes", "re:^h.t"] } });

        assert!(fits(spec.clone(), get("/?page=2&q=shoes")));
        assert!(fits(spec.clone(), get("/?q=x&q=hats")));
        assert!(!fits(spec.clone(), get("/?qq=shoes")));
        assert!(!fits(spec.clone(), get("/q=shoes")));
        assert!(fits(json!({ "query": { "debug": "" } }), get("/?debug")));
    }

    #[test]
    fn a_cookie_fits_in_any_of_the_fields() {
        let spec = json!({ "cookie": { "sid": "7*" } });

        assert!(fits(spec.clone(), get("/").header("cookie", "a=1; sid=77")));
        let two = get("/").header("cookie", "a=1").header("cookie", "sid=7");
        assert!(fits(spec.clone(), two));
        assert!(!fits(spec, get("/").header("cookie", "xsid=7")));
    }

    #[test]
    fn baggage_fits_without_its_properties() {
        let spec = json!({ "baggage": { "tenant": "blue" } });
        let with = |field: &str| get("/").header("baggage", field);

        assert!(fits(spec.clone(), with("user=7,tenant = blue;prio=1")));
        assert!(!fits(spec, with("tenant=red;tenant=blue")));
    }

    #[test]
    fn a_host_fits_without_port_and_case() {
        let spec = json!({ "host": "*.example" });

        assert!(fits(
            spec.clone(),
            get("/").header("host", "Shop.Example:80")
        ));
        assert!(fits(spec.clone(), get("http://shop.example:81/")));
        assert!(!fits(spec, get("/")));
        let six = json!({ "host": "[::1]" });
        assert!(fits(six, get("/").header("host", "[::1]:9000")));
    }

    #[test]
    fn a_client_fits_by_range_and_a_grpc_method_by_its_name() {
        assert!(fits(
            json!({ "client": ["10.0.0.0/8", "127.0.0.0/8"] }),
            get("/")
        ));
        assert!(!fits(json!({ "client": "10.0.0.0/8" }), get("/")));
        let spec = json!({ "grpc_method": "shop.Cart/*" });
        let call = || http::Request::post("/shop.Cart/Add");
        assert!(fits(
            spec.clone(),
            call().header("content-type", "application/grpc+proto")
        ));
        assert!(!fits(
            spec,
            call().header("content-type", "application/json")
        ));
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
