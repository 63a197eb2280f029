//! Which faults look at a request, and why each acts or lets it pass: `POST /explain`.

use std::net::IpAddr;

use brownout_fault::read::{Object, Problem, expected, one_or_many, text, whole};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::RequestRecord;

/// The request that is asked about: the body of `POST /explain`.
#[derive(Debug, Clone, PartialEq)]
pub enum ExplainSpec {
    /// One that a route carried, by its number in `GET /requests`.
    Recorded(u64),
    /// One that may come.
    Imagined(Box<ImaginedRequest>),
}

/// A request that may come.
#[derive(Debug, Clone, PartialEq)]
pub struct ImaginedRequest {
    /// The route by which it comes.
    pub route: String,
    /// Its method; GET when left out.
    pub method: String,
    /// Its path, without the query; `/` when left out.
    pub path: String,
    /// Its query, without the `?`.
    pub query: Option<String>,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its client's address; 127.0.0.1 when left out.
    pub client: IpAddr,
    /// Its place on its connection, from 1, which is the default.
    pub connection_seq: u64,
}

impl ImaginedRequest {
    /// The most header fields.
    pub const FIELDS_MAX: usize = 100;
    /// The longest path with its query, in bytes.
    pub const TARGET_BYTES_MAX: usize = 8 * 1024;
}

impl ExplainSpec {
    const KEYS: [&'static str; 7] = [
        "number",
        "route",
        "method",
        "path",
        "headers",
        "client",
        "connection_seq",
    ];

    /// Reads what is asked.
    ///
    /// # Errors
    /// All problems, one for each field.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let mut problems: Vec<Problem> = object.unknown(&Self::KEYS).collect();
        if object.has("number") {
            let others = object.keys().filter(|key| *key != "number");
            let known = others.filter(|key| Self::KEYS.contains(key));
            problems.extend(known.map(|key| Problem::at(key, "does not go with `number`")));
            let number = object.required("number", whole(0, i64::MAX.unsigned_abs()));
            return match number {
                Ok(number) if problems.is_empty() => Ok(Self::Recorded(number)),
                Ok(_) => Err(problems),
                Err(problem) => {
                    problems.push(problem);
                    Err(problems)
                }
            };
        }
        let mut keep = |problem| problems.push(problem);
        let owned = |value: &Value| text(value).map(str::to_owned);
        let route = object.required("route", owned).map_err(&mut keep).ok();
        let method = object.optional("method", method).map_err(&mut keep).ok();
        let target = object.optional("path", target).map_err(&mut keep).ok();
        let headers = object.optional("headers", headers).map_err(&mut keep).ok();
        let client = object.optional("client", address).map_err(&mut keep).ok();
        let place = whole(1, 1_000_000_000);
        let place = object
            .optional("connection_seq", place)
            .map_err(&mut keep)
            .ok();
        match (route, method, target, headers, client, place) {
            (Some(route), Some(method), Some(target), Some(headers), Some(client), Some(place))
                if problems.is_empty() =>
            {
                let (path, query) = target.unwrap_or_else(|| ("/".to_owned(), None));
                Ok(Self::Imagined(Box::new(ImaginedRequest {
                    route,
                    method: method.unwrap_or_else(|| "GET".to_owned()),
                    path,
                    query,
                    headers: headers.unwrap_or_default(),
                    client: client.unwrap_or_else(|| IpAddr::from([127, 0, 0, 1])),
                    connection_seq: place.unwrap_or(1),
                })))
            }
            _ => Err(problems),
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let request = match self {
            Self::Recorded(number) => return json!({ "number": number }),
            Self::Imagined(request) => request,
        };
        let path = match &request.query {
            Some(query) => format!("{}?{query}", request.path),
            None => request.path.clone(),
        };
        let mut headers = Map::new();
        for name in request.headers.keys() {
            let values = request.headers.get_all(name).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            headers.insert(name.as_str().to_owned(), json!(values));
        }
        json!({
            "route": request.route, "method": request.method, "path": path, "headers": headers,
            "client": request.client.to_string(), "connection_seq": request.connection_seq,
        })
    }
}

fn method(value: &Value) -> Result<String, Problem> {
    let word = text(value)?;
    match Method::from_bytes(word.as_bytes()) {
        Ok(method) if word.len() <= 32 => Ok(method.as_str().to_owned()),
        _ => Err(Problem::here("is not a method of up to 32 characters")),
    }
}

fn target(value: &Value) -> Result<(String, Option<String>), Problem> {
    let target = text(value)?;
    let max = ImaginedRequest::TARGET_BYTES_MAX;
    let is_target = target.starts_with('/') || target == "*";
    if !is_target || target.len() > max || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = "is not a path: it begins with `/`, is visible ASCII, and has at most 8 KiB";
        return Err(Problem::here(detail));
    }
    Ok(match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target.to_owned(), None),
    })
}

fn headers(value: &Value) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, value) in Object::new(value)?.iter() {
        let at = |detail: &str| Problem::here(detail).under(name);
        let field = HeaderName::from_bytes(name.as_bytes());
        let field = field.map_err(|_| at("is not the name of a header field"))?;
        let values = one_or_many(|value| {
            let value = text(value)?;
            HeaderValue::from_str(value).map_err(|_| Problem::here("is not a header value"))
        });
        for value in values(value).map_err(|problem| problem.under(name))? {
            headers.append(&field, value);
        }
        if headers.len() > ImaginedRequest::FIELDS_MAX {
            return Err(at("is one field too many: there may be 100"));
        }
    }
    Ok(headers)
}

fn address(value: &Value) -> Result<IpAddr, Problem> {
    let word = text(value)?;
    word.parse()
        .map_err(|_| expected("an IP address such as \"10.0.0.7\"", value))
}

/// The answer of `POST /explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainAnswer {
    /// The route.
    pub route: String,
    /// The request's method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// What is recorded of it, if a route carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RequestRecord>,
    /// Every fault that is armed: those that look at requests of the route in the order in which they are asked, then the others.
    pub faults: Vec<ExplainedFault>,
}

/// What one fault does to the request, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedFault {
    /// Its id.
    pub id: String,
    /// The name of its kind.
    pub kind: String,
    /// Where it acts; none for one that is not armed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What it would do if the request came now.
    pub verdict: ExplainVerdict,
    /// The percentage of such requests that it would hit; none when that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Whether it acted, on a request that a route carried; none when that is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted: Option<bool>,
    /// The reason, as a sentence without a full stop.
    pub why: String,
}

/// What a fault would do to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExplainVerdict {
    /// It acts on every such request.
    Acts,
    /// It acts on some of them.
    ByChance,
    /// It lets it pass.
    Passes,
    /// That depends on what is not known of the request.
    Unknown,
}

/// How many of the requests that ended last a fault would have been meant for; in the answer to a dry run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecentAnswer {
    /// Requests that are recorded of its routes, up to 1,000.
    pub requests: u64,
    /// Those of them that fit its `match`.
    pub matched: u64,
    /// Those of them of which that is not known, as records have neither query nor header fields.
    pub unknown: u64,
    /// How many it would have hit, on average: `matched`, less by `percent` and `every`.
    pub expected: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_reads_back_as_it_was_written() {
        for value in [
            json!({ "number": 17 }),
            json!({ "route": "web" }),
            json!({
                "route": "web", "method": "POST", "path": "/v1/pay?now=1", "headers": { "X-User": "7", "accept": ["a", "b"] },
                "client": "::1", "connection_seq": 2,
            }),
        ] {
            let read = ExplainSpec::read(&value).unwrap();
            assert_eq!(ExplainSpec::read(&read.to_value()), Ok(read));
        }
    }

    #[test]
    fn each_problem_has_its_place() {
        for (value, pointer) in [
            (json!({}), "/route"),
            (json!({ "number": -1 }), "/number"),
            (json!({ "number": 1, "route": "web" }), "/route"),
            (json!({ "route": "web", "paht": "/" }), "/paht"),
            (json!({ "route": "web", "method": "G T" }), "/method"),
            (json!({ "route": "web", "path": "v1" }), "/path"),
            (json!({ "route": "web", "path": "/a b" }), "/path"),
            (
                json!({ "route": "web", "headers": { "a b": "1" } }),
                "/headers/a b",
            ),
            (
                json!({ "route": "web", "headers": { "a": "\n" } }),
                "/headers/a",
            ),
            (json!({ "route": "web", "client": "localhost" }), "/client"),
            (
                json!({ "route": "web", "connection_seq": 0 }),
                "/connection_seq",
            ),
        ] {
            let problems = ExplainSpec::read(&value).unwrap_err();
            assert_eq!(problems[0].pointer, pointer, "{value}");
        }
    }
}
