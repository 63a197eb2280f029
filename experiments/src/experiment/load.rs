//! Who asks for pages: `[load]`.

use std::time::Duration;

use brownout_fault::{
    read::{Object, Problem, boolean, expected, one_or_many, text, whole},
    units::duration_up_to,
};
use http::{HeaderName, Method};
use serde_json::Value;

use super::{Template, fields::owned};

/// The load of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// When pages are asked for.
    pub arrivals: Arrivals,
    /// A route of the file, whose listening address is asked; or `http://HOST:PORT`.
    pub to: String,
    /// Path and query. Default `/`.
    pub path: Template,
    /// Default GET.
    pub method: Method,
    /// Further fields of each request.
    pub headers: Vec<(HeaderName, Template)>,
    /// The body of each request; default none.
    pub body: Option<String>,
    /// How long a page is waited for, from the intended time of sending. Default 5 s, at most 10 m.
    pub timeout: Duration,
    /// What each request carries so that attempts can be joined to it.
    pub mark: Marks,
    /// Another endpoint that is asked all the while, to see whether what is broken takes it along.
    pub watch: Option<Watch>,
}

/// Another endpoint, asked at a rate of its own for as long as pages are.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// As [`Load::to`]. Default where the load goes.
    pub to: String,
    /// Path and query, asked by GET.
    pub path: Template,
    /// How often a second. Default 10, at most [`RATE_MAX`](Self::RATE_MAX).
    pub rate: f64,
}

/// Whose pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Those of the load.
    Load,
    /// Those of the endpoint that is watched.
    Watch,
}

/// When pages are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// So many a second, whether or not answers come: an open loop.
    Open(f64),
    /// Over so many connections, each of which asks again when it has its answer: a closed loop.
    Closed(usize),
    /// One page at a time.
    Serial(Serial),
    /// Others make the load.
    External,
}

/// One page at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serial {
    /// How many pages each phase has that says no duration.
    pub pages: u64,
    /// The pause after each page. Default none.
    pub pause: Duration,
}

/// What a request carries so that attempts can be joined to it (forensics: joining).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// A W3C `traceparent` of its own.
    pub traceparent: bool,
    /// An `x-request-id` of its own.
    pub request_id: bool,
}

impl Load {
    /// The most pages a second, and the most connections.
    pub const RATE_MAX: f64 = 50_000.0;
    /// The most connections of a closed loop.
    pub const CONNECTIONS_MAX: u64 = 4_096;
    /// The most requests that wait at once: rate times timeout.
    pub const IN_FLIGHT_MAX: f64 = 10_000.0;
    const TIMEOUT: Duration = Duration::from_secs(5);
    const TIMEOUT_MAX: Duration = Duration::from_secs(600);
    const KEYS: [&'static str; 12] = [
        "to",
        "path",
        "method",
        "headers",
        "body",
        "rate",
        "connections",
        "serial",
        "external",
        "timeout",
        "mark",
        "watch",
    ];
    const SERIAL_KEYS: [&'static str; 6] = ["to", "path", "pages", "patience", "pause", "mark"];

    /// A load that others make.
    #[must_use]
    pub(crate) fn external() -> Self {
        Self {
            arrivals: Arrivals::External,
            to: String::new(),
            path: Template::parse("/").expect("it has no range"),
            method: Method::GET,
            headers: Vec::new(),
            body: None,
            timeout: Self::TIMEOUT,
            mark: Marks::BOTH,
            watch: None,
        }
    }

    /// The watched endpoint as a load of its own, whose requests carry no marks.
    pub(crate) fn watched(&self) -> Option<Self> {
        let watch = self.watch.as_ref()?;
        Some(Self {
            arrivals: Arrivals::Open(watch.rate),
            to: watch.to.clone(),
            path: watch.path.clone(),
            timeout: self.timeout,
            mark: Marks::NONE,
            ..Self::external()
        })
    }

    /// What the load is called in expectations: the route it asks, or `load`; none where others make it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.arrivals {
            Arrivals::External => None,
            _ if self.to.starts_with("http://") => Some("load"),
            _ => Some(&self.to),
        }
    }

    /// Whose pages are measured, and what they are called.
    pub(crate) fn asked(&self) -> Vec<(Asked, &str)> {
        let load = self.name().map(|name| (Asked::Load, name));
        let watch = self.watch.as_ref().map(|_| (Asked::Watch, Watch::NAME));
        load.into_iter().chain(watch).collect()
    }

    /// How long a serial phase lasts, very roughly.
    pub(super) fn serial_length(&self) -> Duration {
        match self.arrivals {
            Arrivals::Serial(serial) => {
                let pages = u32::try_from(serial.pages).unwrap_or(u32::MAX);
                (serial.pause + Duration::from_millis(100)).saturating_mul(pages)
            }
            Arrivals::Open(_) | Arrivals::Closed(_) | Arrivals::External => Duration::ZERO,
        }
    }

    /// In words, for the plan and the report.
    #[must_use]
    pub fn describe(&self) -> String {
        let page = format!("{} {} on {}", self.method, self.path, self.to);
        match self.arrivals {
            Arrivals::Open(rate) => format!("{page}: {rate} a second, whether or not answers come"),
            Arrivals::Closed(1) => format!("{page}: over 1 connection, again after each answer"),
            Arrivals::Closed(count) => {
                format!("{page}: over {count} connections, each again after its answer")
            }
            Arrivals::Serial(serial) => {
                format!("{page}: one page at a time, {} in each phase", serial.pages)
            }
            Arrivals::External => "others make the load".to_owned(),
        }
    }

    /// Reads `[load]`.
    pub(super) fn read(value: &Value) -> Result<Self, Problem> {
        let load = Object::new(value)?;
        load.only(&Self::KEYS)?;
        if load.optional("external", boolean)? == Some(true) {
            return match load.keys().find(|key| *key != "external") {
                Some(key) => Err(Problem::at(key, "says nothing where others make the load")),
                None => Ok(Self::external()),
            };
        }
        let serial = load.optional("serial", Self::read_serial)?;
        let rate = load.optional("rate", rate)?;
        let connections = load.optional("connections", whole(1, Self::CONNECTIONS_MAX))?;
        let from_serial = |pick: fn(&SerialTable) -> Option<String>| serial.as_ref().and_then(pick);
        let to = load
            .optional("to", owned)?
            .or(from_serial(|it| it.to.clone()));
        let path = load.optional("path", template)?;
        let path = path.or(serial.as_ref().and_then(|it| it.path.clone()));
        let timeout = load.optional("timeout", duration_up_to(Self::TIMEOUT_MAX))?;
        let timeout = timeout.or(serial.as_ref().and_then(|it| it.patience));
        let mark = load.optional("mark", Marks::read)?;
        let mark = mark.or(serial.as_ref().and_then(|it| it.mark));
        let arrivals = match (rate, connections, &serial) {
            (Some(rate), None, None) => Arrivals::Open(rate),
            (None, Some(count), None) => {
                Arrivals::Closed(usize::try_from(count).unwrap_or(usize::MAX))
            }
            (None, None, Some(table)) => Arrivals::Serial(table.serial),
            (None, None, None) => {
                return Err(Problem::here(
                    "says no `rate` (such as \"100/s\"), `connections`, `serial` or `external`",
                ));
            }
            _ => {
                return Err(Problem::here(
                    "says more than one of `rate`, `connections` and `serial`",
                ));
            }
        };
        let timeout = timeout.unwrap_or(Self::TIMEOUT);
        let to =
            to.ok_or_else(|| Problem::at("to", "is required: a route, or http://HOST:PORT"))?;
        let watch = load.optional("watch", |value| Watch::read(value, &to))?;
        if let Arrivals::Open(rate) = arrivals
            && rate * timeout.as_secs_f64() > Self::IN_FLIGHT_MAX
        {
            return Err(Problem::at(
                "rate",
                format!(
                    "times `timeout` is more than {} requests that wait at once",
                    Self::IN_FLIGHT_MAX
                ),
            ));
        }
        Ok(Self {
            arrivals,
            to,
            watch,
            path: path.unwrap_or(Self::external().path),
            method: load.optional("method", method)?.unwrap_or(Method::GET),
            headers: load.optional("headers", headers)?.unwrap_or_default(),
            body: load.optional("body", owned)?,
            timeout,
            mark: mark.unwrap_or(Marks::BOTH),
        })
    }

    fn read_serial(value: &Value) -> Result<SerialTable, Problem> {
        let serial = Object::new(value)?;
        serial.only(&Self::SERIAL_KEYS)?;
        Ok(SerialTable {
            serial: Serial {
                pages: serial.required("pages", whole(1, 10_000))?,
                pause: serial
                    .optional("pause", duration_up_to(Duration::from_secs(60)))?
                    .unwrap_or_default(),
            },
            to: serial.optional("to", owned)?,
            path: serial.optional("path", template)?,
            patience: serial.optional("patience", duration_up_to(Self::TIMEOUT_MAX))?,
            mark: serial.optional("mark", Marks::read)?,
        })
    }
}

impl Watch {
    /// What it is called in expectations.
    pub const NAME: &'static str = "watch";
    /// The most requests a second: it is to look, not to load.
    pub const RATE_MAX: f64 = 100.0;
    const RATE: f64 = 10.0;

    /// Reads a path, or a table; `to` is where the load goes.
    fn read(value: &Value, to: &str) -> Result<Self, Problem> {
        if value.is_string() {
            return Ok(Self {
                to: to.to_owned(),
                path: absolute(value)?,
                rate: Self::RATE,
            });
        }
        let watch = Object::new(value)?;
        watch.only(&["path", "to", "rate"])?;
        let of_second = |value: &Value| match rate(value)? {
            rate if rate <= Self::RATE_MAX => Ok(rate),
            _ => Err(Problem::here(format!(
                "is more than {}/s, which would be a load",
                Self::RATE_MAX
            ))),
        };
        Ok(Self {
            path: watch.required("path", absolute)?,
            to: watch
                .optional("to", owned)?
                .unwrap_or_else(|| to.to_owned()),
            rate: watch.optional("rate", of_second)?.unwrap_or(Self::RATE),
        })
    }
}

fn absolute(value: &Value) -> Result<Template, Problem> {
    match text(value)? {
        path if path.starts_with('/') => template(value),
        _ => Err(Problem::here("is not a path, which begins with /")),
    }
}

struct SerialTable {
    serial: Serial,
    to: Option<String>,
    path: Option<Template>,
    patience: Option<Duration>,
    mark: Option<Marks>,
}

impl Marks {
    const BOTH: Self = Self {
        traceparent: true,
        request_id: true,
    };
    const NONE: Self = Self {
        traceparent: false,
        request_id: false,
    };
    const WORDS: [&'static str; 2] = ["traceparent", "x-request-id"];

    fn read(value: &Value) -> Result<Self, Problem> {
        if value.as_array().is_some_and(Vec::is_empty) {
            return Ok(Self::NONE);
        }
        let read = |value: &Value| {
            brownout_fault::read::one_of("mark", &Self::WORDS)(value).map(str::to_owned)
        };
        let words = one_or_many(read)(value)?;
        Ok(Self {
            traceparent: words.iter().any(|it| it == "traceparent"),
            request_id: words.iter().any(|it| it == "x-request-id"),
        })
    }
}

/// Reads `"100/s"` or `"30/m"`.
fn rate(value: &Value) -> Result<f64, Problem> {
    let wrong = || Problem::here("is not a rate; write it like \"100/s\" or \"30/m\"");
    let word = match value {
        Value::String(word) => word,
        Value::Number(number) => {
            return Err(Problem::here(format!(
                "{number} has no unit; write \"{number}/s\""
            )));
        }
        other => return Err(expected("a rate such as \"100/s\"", other)),
    };
    let (number, per) = word.split_once('/').ok_or_else(wrong)?;
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let rate = match per.trim() {
        "s" => number,
        "m" => number / 60.0,
        _ => return Err(wrong()),
    };
    if rate > 0.0 && rate <= Load::RATE_MAX {
        return Ok(rate);
    }
    let max = Load::RATE_MAX;
    Err(Problem::here(format!("is outside 0/s to {max}/s")))
}

fn template(value: &Value) -> Result<Template, Problem> {
    Template::parse(text(value)?).map_err(Problem::here)
}

fn method(value: &Value) -> Result<Method, Problem> {
    let word = text(value)?;
    let wrong = || Problem::here(format!("`{word}` is not a method, such as GET"));
    match word.parse::<Method>() {
        Ok(method) if method != Method::CONNECT && word == word.to_uppercase() => Ok(method),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

fn headers(value: &Value) -> Result<Vec<(HeaderName, Template)>, Problem> {
    let headers = Object::new(value)?;
    let mut read = Vec::new();
    for (name, value) in headers.iter() {
        let parsed = name.parse::<HeaderName>();
        let parsed = parsed.map_err(|_| Problem::at(name, "is not the name of a header field"))?;
        let value = template(value).map_err(|problem| problem.under(name))?;
        if http::HeaderValue::from_str(&value.fill(0, 0)).is_err() {
            return Err(Problem::at(
                name,
                "has a character that no header field may have",
            ));
        }
        read.push((parsed, value));
    }
    Ok(read)
}
