//! What a route may say about its upstream, besides where it is.

use std::time::Duration;

use super::{InvalidUpstream, Protocol, Upstream};
use crate::{
    limits::{CONNECT_TIMEOUT, POOL_CONNECTIONS_MAX, POOL_IDLE_MAX},
    proxy_protocol::ProxyVersion,
};

/// How an upstream is connected to and how long it may take. The default is what most routes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// For a connection: a place in the pool, the look-up of the name and the TLS handshake included. 5 s.
    pub connect_timeout: Duration,
    /// For the head of the final answer, from the connection on. Time in which the client's content is awaited or a fault
    /// holds the request does not count. `None`: the client's patience counts.
    pub head_timeout: Option<Duration>,
    /// Which connections are open.
    pub pool: PoolOptions,
    /// What requests' paths begin with at the listener, without a `/` at its end. The upstream gets what follows it.
    pub path_prefix: Option<String>,
    /// Which version of HTTP it gets.
    pub http: HttpVersion,
    /// Which header of the PROXY protocol each connection to it begins with, which then is of one client, and of one request.
    pub send_proxy: Option<ProxyVersion>,
}

/// Which version of HTTP an upstream is spoken to in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by prior knowledge, in TLS as ALPN says.
    Http2,
    /// What TLS agrees on with ALPN, HTTP/2 before HTTP/1.1.
    Auto,
}

/// How many connections each core has to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// In use and unused, on each core; more requests wait. `None`: as many as there are requests.
    pub max_connections: Option<usize>,
    /// Unused, on each core. Others are closed. 256.
    pub max_idle: usize,
    /// How long one is kept unused. 60 s.
    pub idle_timeout: Duration,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            head_timeout: None,
            pool: PoolOptions::default(),
            path_prefix: None,
            http: HttpVersion::Http1,
            send_proxy: None,
        }
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_idle: POOL_CONNECTIONS_MAX,
            idle_timeout: POOL_IDLE_MAX,
        }
    }
}

impl Upstream {
    /// With these options.
    ///
    /// # Errors
    /// When one cannot be used: of requests, where it gets none, or a prefix that is no path.
    pub fn with_options(mut self, mut options: UpstreamOptions) -> Result<Self, InvalidUpstream> {
        const OF_REQUESTS: &str = "means nothing on a tcp route: its bytes are no requests";
        let wrong = |option, why| InvalidUpstream::Option { option, why };
        if self.protocol == Protocol::Tcp {
            if options.head_timeout.is_some() {
                return Err(wrong("head_timeout", OF_REQUESTS));
            }
            if options.path_prefix.is_some() {
                return Err(wrong("path_prefix", OF_REQUESTS));
            }
            if options.http != HttpVersion::Http1 {
                return Err(wrong("protocol", OF_REQUESTS));
            }
        }
        if options.send_proxy.is_some() && options.http != HttpVersion::Http1 {
            let why = "tells of one client, and connections with HTTP/2 have several; leave `protocol` at \"http\"";
            return Err(wrong("send_proxy", why));
        }
        if let Some(prefix) = options.path_prefix.take() {
            let prefix = prefix.strip_suffix('/').unwrap_or(&prefix);
            if !prefix.is_empty() && !is_path(prefix) {
                let why = "is no path; write it like \"/api\", without query or fragment";
                return Err(wrong("path_prefix", why));
            }
            options.path_prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        }
        self.tls = match (self.tls.take(), options.http) {
            (Some(tls), _) if self.protocol == Protocol::Tcp => Some(tls),
            (Some(tls), http) => Some(tls.speaking(http)?),
            (None, HttpVersion::Auto) => {
                let why = "`auto` is agreed on in TLS; for an http upstream say \"h2\" or \"http\"";
                return Err(wrong("protocol", why));
            }
            (None, HttpVersion::Http1 | HttpVersion::Http2) => None,
        };
        if let Some(tls) = &self.tls {
            let others = self.others.iter().cloned().map(|mut other| {
                other.tls = Some(tls.at(&other.host)?);
                Ok(other)
            });
            self.others = others.collect::<Result<_, InvalidUpstream>>()?;
        }
        self.options = options;
        Ok(self)
    }

    /// How it is connected to and how long it may take.
    #[must_use]
    pub fn options(&self) -> &UpstreamOptions {
        &self.options
    }

    /// Whether a target is another at the upstream than at the listener.
    pub(crate) fn maps_targets(&self) -> bool {
        self.options.path_prefix.is_some() || !self.base.is_empty()
    }

    /// What the target of a request is there, in origin form: without the route's prefix, behind the path of the upstream's
    /// URL. Everything else stays as it came. `None` for one without the prefix.
    pub(crate) fn map_target(&self, target: &str) -> Option<String> {
        if target == "*" {
            return Some(target.to_owned()); // Of the server, not of a path (RFC 9112 §3.2.4).
        }
        let prefix = self.options.path_prefix.as_deref().unwrap_or_default();
        let rest = target.strip_prefix(prefix)?;
        let slash = match rest.as_bytes().first() {
            Some(b'/') => "",
            None | Some(b'?') if self.base.is_empty() => "/",
            None | Some(b'?') => "",
            Some(_) => return None, // `/apis` does not begin with `/api`.
        };
        Some([&self.base, slash, rest].concat())
    }
}

/// Whether a text is the path of a target (RFC 3986 §3.3), as strictly as a request's is read.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 4096
        && (text.bytes()).all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(url: &str, prefix: Option<&str>) -> Upstream {
        let options = UpstreamOptions {
            path_prefix: prefix.map(str::to_owned),
            ..UpstreamOptions::default()
        };
        (Upstream::parse(url).unwrap().with_options(options)).unwrap()
    }

    #[test]
    fn a_target_loses_the_prefix_and_gets_the_upstreams_path() {
        for (url, prefix, target, there) in [
            (
                "http://up",
                Some("/api"),
                "/api/x?y=/api",
                Some("/x?y=/api"),
            ),
            ("http://up", Some("/api/"), "/api", Some("/")),
            ("http://up", Some("/api"), "/api?q", Some("/?q")),
            (
                "http://up",
                Some("/api"),
                "/api//x/../%2f",
                Some("//x/../%2f"),
            ),
            ("http://up", Some("/api"), "/apis", None),
            ("http://up", Some("/api"), "/%61pi/x", None),
            ("http://up", Some("/api"), "/", None),
            ("http://up/v1", None, "/x?y", Some("/v1/x?y")),
            ("http://up/v1/", None, "/", Some("/v1/")),
            ("http://up/v1", Some("/api"), "/api", Some("/v1")),
            ("http://up/v1", Some("/api"), "/api?q", Some("/v1?q")),
            ("http://up/v1", Some("/api"), "/api/", Some("/v1/")),
            ("http://up/v1", Some("/api"), "*", Some("*")),
        ] {
            let upstream = upstream(url, prefix);
            assert!(upstream.maps_targets());
            let mapped = upstream.map_target(target);
            assert_eq!(
                mapped.as_deref(),
                there,
                "{target} through {prefix:?} to {url}"
            );
        }
        assert!(!upstream("http://up/", Some("/")).maps_targets());
    }

    #[test]
    fn options_of_requests_are_refused_where_there_are_none() {
        let tcp = || Upstream::parse("tcp://up:1").unwrap();
        let head = UpstreamOptions {
            head_timeout: Some(Duration::from_secs(1)),
            ..UpstreamOptions::default()
        };
        let refused = tcp().with_options(head).unwrap_err().to_string();
        assert!(refused.contains("tcp route"), "{refused}");
        for prefix in ["api", "/a b", "/a?b", "/a#b", "/é"] {
            let options = UpstreamOptions {
                path_prefix: Some(prefix.to_owned()),
                ..UpstreamOptions::default()
            };
            let refused = Upstream::parse("http://up").unwrap().with_options(options);
            assert!(refused.is_err(), "{prefix}");
        }
    }
}
