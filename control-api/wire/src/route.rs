//! Routes as they are sent and shown.

mod answer;
mod options;
mod tls;

pub use self::{
    answer::{RouteAnswer, RouteList, ServerAnswer, ServerState},
    options::{PoolSpec, RouteOptions},
    tls::{CertificateSpec, ListenerTlsSpec, UpstreamTlsSpec},
};

use brownout_fault::{
    MayAsk, is_name,
    read::{Object, Problem, boolean, one_or_many, text, unknown},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a route carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP; the upstream gets HTTP/1.1.
    #[default]
    Http,
    /// HTTP; the upstream gets HTTP/2.
    H2,
    /// HTTP; the upstream gets what it agrees on in TLS, HTTP/2 or HTTP/1.1.
    Auto,
    /// Bytes of any other protocol.
    Tcp,
}

impl Protocol {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::H2 => "h2",
            Self::Auto => "auto",
            Self::Tcp => "tcp",
        }
    }

    fn read(value: &Value) -> Result<Self, Problem> {
        match text(value)? {
            "http" | "http1" => Ok(Self::Http),
            "h2" => Ok(Self::H2),
            "auto" => Ok(Self::Auto),
            "tcp" => Ok(Self::Tcp),
            other => Err(Problem::here(unknown(
                "protocol",
                other,
                &["http", "http1", "h2", "auto", "tcp"],
            ))),
        }
    }
}

/// A route to be made: the body of `POST /routes`, and a `[[route]]` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// Its name: `[a-z0-9][a-z0-9._-]{0,63}`.
    pub name: String,
    /// Where to listen, `HOST:PORT`; port 0 asks for a free one.
    pub listen: String,
    /// Where requests go, `http://HOST:PORT[/PATH]`, `https://HOST:PORT[/PATH]` or `tcp://HOST:PORT`; with `protocol` also
    /// `HOST:PORT`. Several servers that answer the same have commas between.
    pub upstream: String,
    /// The protocol; `None` takes it from the upstream's scheme.
    pub protocol: Option<Protocol>,
    /// TLS of its listener; `None` is none.
    pub tls: Option<ListenerTlsSpec>,
    /// TLS to an `https` upstream; `None` is the defaults.
    pub upstream_tls: Option<UpstreamTlsSpec>,
    /// The `Host` that requests have at the upstream: `keep`, which is the default, `upstream`, or a host.
    pub host: Option<String>,
    /// How it treats its upstream.
    pub options: RouteOptions,
    /// Whether it accepts connections at once.
    pub enabled: bool,
    /// Which of its callers may ask for faults by header fields; for HTTP alone.
    pub caller_faults: MayAsk,
    /// Whether its connections begin with a header of the PROXY protocol.
    pub accept_proxy: bool,
}

impl RouteSpec {
    const KEYS: [&'static str; 10] = [
        "name",
        "listen",
        "upstream",
        "protocol",
        "tls",
        "upstream_tls",
        "host",
        "enabled",
        "caller_faults",
        "accept_proxy",
    ];

    /// A route with all defaults.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        listen: impl Into<String>,
        upstream: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            listen: listen.into(),
            upstream: upstream.into(),
            protocol: None,
            tls: None,
            upstream_tls: None,
            host: None,
            options: RouteOptions::default(),
            enabled: true,
            caller_faults: MayAsk::Nobody,
            accept_proxy: false,
        }
    }

    /// Reads a route from a value tree. Whether its addresses make sense is for the proxy to say.
    ///
    /// # Errors
    /// All problems, one for each field.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let known = [&Self::KEYS[..], &RouteOptions::KEYS].concat();
        let mut problems: Vec<Problem> = object.unknown(&known).collect();
        let name = keep(&mut problems, object.required("name", route_name));
        let listen = keep(&mut problems, object.required("listen", owned));
        let upstream = keep(&mut problems, object.required("upstream", servers));
        let protocol = keep(&mut problems, object.optional("protocol", Protocol::read));
        let Beside {
            tls,
            upstream_tls,
            host,
            options,
        } = Beside::read(&object, &mut problems);
        let enabled = keep(&mut problems, object.optional("enabled", boolean));
        let caller_faults = keep(
            &mut problems,
            object.optional("caller_faults", MayAsk::read),
        );
        let accept_proxy = keep(&mut problems, object.optional("accept_proxy", boolean));
        match (name, listen, upstream) {
            (Some(name), Some(listen), Some(upstream)) if problems.is_empty() => Ok(Self {
                name,
                listen,
                upstream,
                protocol: protocol.flatten(),
                tls,
                upstream_tls,
                host,
                options,
                enabled: enabled.flatten().unwrap_or(true),
                caller_faults: caller_faults.flatten().unwrap_or_default(),
                accept_proxy: accept_proxy.flatten().unwrap_or(false),
            }),
            _ => Err(problems),
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
        });
        if let Some(protocol) = self.protocol {
            value["protocol"] = json!(protocol);
        }
        if let Some(tls) = &self.tls {
            value["tls"] = tls.to_value();
        }
        if let Some(tls) = &self.upstream_tls {
            value["upstream_tls"] = json!(tls);
        }
        if let Some(host) = &self.host {
            value["host"] = json!(host);
        }
        if !self.caller_faults.is_nobody() {
            value["caller_faults"] = self.caller_faults.to_value();
        }
        if self.accept_proxy {
            value["accept_proxy"] = json!(true);
        }
        if let Value::Object(map) = &mut value {
            self.options.write(map);
        }
        value
    }
}

/// What a route and a change of one may say besides.
struct Beside {
    tls: Option<ListenerTlsSpec>,
    upstream_tls: Option<UpstreamTlsSpec>,
    host: Option<String>,
    options: RouteOptions,
}

impl Beside {
    fn read(object: &Object<'_>, problems: &mut Vec<Problem>) -> Self {
        let tls = table(object, "tls", problems, ListenerTlsSpec::read_all);
        let upstream_tls = table(object, "upstream_tls", problems, UpstreamTlsSpec::read_all);
        let host = keep(problems, object.optional("host", owned));
        Self {
            options: RouteOptions::read(object, problems),
            tls,
            upstream_tls,
            host: host.flatten(),
        }
    }
}

/// What to change about a route: the body of `PATCH /routes/{name}`. `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutePatch {
    /// A new address to listen on, `HOST:PORT`; `None` keeps it.
    pub listen: Option<String>,
    /// A new upstream; `None` keeps it.
    pub upstream: Option<String>,
    /// TLS of its listener, all of it anew. Connections that are open stay as they are.
    pub tls: Option<ListenerTlsSpec>,
    /// TLS to the upstream, all of it anew: files are read again.
    pub upstream_tls: Option<UpstreamTlsSpec>,
    /// The `Host` that requests have at the upstream.
    pub host: Option<String>,
    /// How it treats its upstream.
    pub options: RouteOptions,
    /// Whether it shall accept connections; `None` keeps it.
    pub enabled: Option<bool>,
    /// Which of its callers may ask for faults.
    pub caller_faults: Option<MayAsk>,
    /// Whether connections that are accepted from then on begin with a header of the PROXY protocol.
    pub accept_proxy: Option<bool>,
}

impl RoutePatch {
    const KEYS: [&'static str; 8] = [
        "listen",
        "upstream",
        "tls",
        "upstream_tls",
        "host",
        "enabled",
        "caller_faults",
        "accept_proxy",
    ];

    /// Reads a change.
    ///
    /// # Errors
    /// All problems, one for each field.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let known = [&Self::KEYS[..], &RouteOptions::KEYS].concat();
        let mut problems: Vec<Problem> = object
            .unknown(&known)
            .map(|problem| match problem.pointer.as_str() {
                "/name" | "/protocol" => Problem {
                    detail: "cannot be changed; delete the route and make a new one".to_owned(),
                    ..problem
                },
                _ => problem,
            })
            .collect();
        let listen = keep(&mut problems, object.optional("listen", owned));
        let upstream = keep(&mut problems, object.optional("upstream", servers));
        let Beside {
            tls,
            upstream_tls,
            host,
            options,
        } = Beside::read(&object, &mut problems);
        let enabled = keep(&mut problems, object.optional("enabled", boolean));
        let caller_faults = keep(
            &mut problems,
            object.optional("caller_faults", MayAsk::read),
        );
        let accept_proxy = keep(&mut problems, object.optional("accept_proxy", boolean));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            listen: listen.flatten(),
            upstream: upstream.flatten(),
            tls,
            upstream_tls,
            host,
            options,
            enabled: enabled.flatten(),
            caller_faults: caller_faults.flatten(),
            accept_proxy: accept_proxy.flatten(),
        })
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        if let Some(listen) = &self.listen {
            map.insert("listen".into(), json!(listen));
        }
        if let Some(upstream) = &self.upstream {
            map.insert("upstream".into(), json!(upstream));
        }
        if let Some(tls) = &self.tls {
            map.insert("tls".into(), tls.to_value());
        }
        if let Some(tls) = &self.upstream_tls {
            map.insert("upstream_tls".into(), json!(tls));
        }
        if let Some(host) = &self.host {
            map.insert("host".into(), json!(host));
        }
        if let Some(enabled) = self.enabled {
            map.insert("enabled".into(), json!(enabled));
        }
        if let Some(caller_faults) = &self.caller_faults {
            map.insert("caller_faults".into(), caller_faults.to_value());
        }
        if let Some(accept_proxy) = self.accept_proxy {
            map.insert("accept_proxy".into(), json!(accept_proxy));
        }
        self.options.write(&mut map);
        Value::Object(map)
    }
}

fn keep<T>(problems: &mut Vec<Problem>, result: Result<T, Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

/// A table in which more than one thing may be wrong.
fn table<T>(
    object: &Object<'_>,
    key: &str,
    problems: &mut Vec<Problem>,
    read: impl FnOnce(&Value) -> Result<T, Vec<Problem>>,
) -> Option<T> {
    let (_, value) = object.iter().find(|(known, _)| *known == key)?;
    let found = match read(value) {
        Ok(read) => return Some(read),
        Err(found) => found,
    };
    problems.extend(found.into_iter().map(|problem| problem.under(key)));
    None
}

/// An upstream, or a list of servers that answer the same.
fn servers(value: &Value) -> Result<String, Problem> {
    if value.as_array().is_some_and(Vec::is_empty) {
        return Err(Problem::here("is an empty list; an upstream has a server"));
    }
    let servers = one_or_many(owned)(value)?;
    let has_scheme = |server: &String| server.contains("://") || server.contains("unix:");
    let other = (servers.iter()).position(|it| has_scheme(it) != has_scheme(&servers[0]));
    match other {
        Some(at) => {
            let why = "is not written like the others, which all need a scheme, or none";
            Err(Problem::here(why).under(&at.to_string()))
        }
        None => Ok(servers.join(",")),
    }
}

fn owned(value: &Value) -> Result<String, Problem> {
    text(value).map(str::to_owned)
}

fn route_name(value: &Value) -> Result<String, Problem> {
    let name = text(value)?;
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(Problem::here(
        "is not a route name: up to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_read_with_its_defaults() {
        let value =
            json!({ "name": "web", "listen": "127.0.0.1:0", "upstream": "http://127.0.0.1:9000" });

        let spec = RouteSpec::read(&value).unwrap();

        assert!(spec.enabled);
        assert_eq!(spec.protocol, None);
        assert_eq!(RouteSpec::read(&spec.to_value()), Ok(spec));
    }

    #[test]
    fn an_upstream_may_be_a_list_of_servers() {
        let read = |upstream: Value| {
            let route = json!({ "name": "web", "listen": ":0", "upstream": upstream });
            RouteSpec::read(&route).map(|spec| spec.upstream)
        };

        let both = read(json!(["http://a:1", "http://b:2"]));

        assert_eq!(both.as_deref(), Ok("http://a:1,http://b:2"));
        for (wrong, pointer) in [
            (json!([]), "/upstream"),
            (json!(["http://a:1", 2]), "/upstream/1"),
            (json!(["http://a:1/x", "b:2"]), "/upstream/1"),
        ] {
            let problems = read(wrong).unwrap_err();
            assert_eq!(problems[0].pointer, pointer);
        }
    }

    #[test]
    fn all_problems_of_a_route_come_at_once() {
        let value =
            json!({ "name": "Not A Name", "listen": 8080, "protocol": "tpc", "enabld": true });

        let problems = RouteSpec::read(&value).unwrap_err();

        let pointers: Vec<&str> = problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/enabld", "/name", "/listen", "/upstream", "/protocol"]
        );
        assert_eq!(
            problems[0].detail,
            "unknown key `enabld`; did you mean `enabled`?"
        );
    }

    #[test]
    fn a_name_cannot_be_patched() {
        let problems = RoutePatch::read(&json!({ "name": "other" })).unwrap_err();

        assert_eq!(problems[0].pointer, "/name");
        assert_eq!(
            problems[0].detail,
            "cannot be changed; delete the route and make a new one"
        );
    }
}
