//! What spans say about HTTP, after OpenTelemetry's semantic conventions (stable since 1.23).

use std::{borrow::Cow, net::SocketAddr};

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header, uri::Authority};
use opentelemetry::{KeyValue, Value, trace::Span as _};
use opentelemetry_sdk::trace::Span;
use opentelemetry_semantic_conventions::attribute as semconv;

use super::{
    SpanLink,
    context::TraceContext,
    span::{clip, clipped},
};
use crate::{
    names::attr,
    redact::{redact_path, redact_query, redact_url},
};

/// A request that came in, as far as its span tells of it. Making one allocates nothing.
///
/// Values of the query that sign or authorise are not shown, see [`redact_query`]; nor are a user name and password.
#[derive(Debug, Clone, Copy)]
pub struct ServerRequest<'a> {
    /// An unknown method is shown as `_OTHER`.
    pub method: &'a str,
    /// Of the target, from the first slash on; `*` of `OPTIONS *`.
    pub path: &'a str,
    /// Of the target, without the question mark.
    pub query: Option<&'a str>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Of the target, or else the field `Host`.
    pub authority: Option<&'a str>,
    /// Of HTTP: `1.0`, `1.1` or `2`.
    pub version: &'a str,
    /// The field `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The trace that it came with.
    pub context: TraceContext<'a>,
    /// The other end of the connection, where there is one.
    pub peer: Option<SocketAddr>,
    /// What the request was matched with.
    pub route: RouteMatch<'a>,
    /// Spans of other traces that are why this request is served as it is.
    pub links: &'a [SpanLink],
    /// Whether a fault acts on it: such requests may be recorded where others are not.
    pub has_fault: bool,
}

/// What a request was matched with.
#[derive(Debug, Clone, Copy, Default)]
pub enum RouteMatch<'a> {
    /// Nothing, or nothing yet.
    #[default]
    Unmatched,
    /// A service's path pattern, `/books/{id}`: `http.route`, and part of the span's name.
    Pattern(&'a str),
    /// The name of a proxy's route: `brownout.route`. A proxy knows no patterns, so the span is
    /// named by its method alone.
    Proxy(&'a str),
}

/// A request that is sent, one attempt of perhaps several.
#[derive(Debug, Clone, Copy)]
pub struct ClientRequest<'a> {
    /// An unknown method is shown as `_OTHER`.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port of the upstream. A user name and password are not shown.
    pub authority: &'a str,
    /// From the first slash on, with the query, of which values that sign or authorise are not shown.
    pub path: &'a str,
    /// 0 for the first attempt, 1 for the first retry.
    pub resend_count: u32,
}

impl<'a> ServerRequest<'a> {
    /// A request over HTTP/1.1 that says no more than this.
    #[must_use]
    pub fn new(method: &'a str, path: &'a str) -> Self {
        Self {
            method,
            path,
            query: None,
            scheme: "http",
            authority: None,
            version: "1.1",
            user_agent: None,
            context: TraceContext::default(),
            peer: None,
            route: RouteMatch::Unmatched,
            links: &[],
            has_fault: false,
        }
    }

    /// What `request` says itself: neither peer nor route.
    #[must_use]
    pub fn of<B>(request: &'a http::Request<B>) -> Self {
        let (method, version) = (request.method(), request.version());
        Self::of_head(method, request.uri(), version, request.headers())
    }

    /// As [`of`](Self::of), of a request whose body was taken away.
    #[must_use]
    pub fn of_parts(head: &'a http::request::Parts) -> Self {
        Self::of_head(&head.method, &head.uri, head.version, &head.headers)
    }

    fn of_head(method: &'a Method, uri: &'a Uri, version: Version, headers: &'a HeaderMap) -> Self {
        let field = |name| {
            headers
                .get(name)
                .and_then(|it: &HeaderValue| it.to_str().ok())
        };
        let authority = uri.authority().map(Authority::as_str);
        Self {
            query: uri.query(),
            scheme: uri.scheme_str().unwrap_or("http"),
            authority: authority.or_else(|| field(header::HOST)),
            version: shown(version),
            user_agent: field(header::USER_AGENT),
            context: TraceContext::of(headers),
            ..Self::new(method.as_str(), uri.path())
        }
    }

    pub(super) fn span_name(&self) -> Cow<'static, str> {
        let method = known(self.method).unwrap_or("HTTP");
        match self.route {
            RouteMatch::Pattern(pattern) => format!("{method} {pattern}").into(),
            RouteMatch::Unmatched | RouteMatch::Proxy(_) => method.into(),
        }
    }

    pub(super) fn describe(&self, span: &mut Span) {
        describe_method(self.method, span);
        set(
            span,
            semconv::URL_PATH,
            clip(&redact_path(clipped(self.path))),
        );
        if let Some(query) = self.query {
            // Cut before, which bounds the work, and after, as `REDACTED` may be longer than what was there.
            let query = clip(&redact_query(clipped(query)));
            set(span, semconv::URL_QUERY, query);
        }
        let scheme = match self.scheme {
            "https" => "https",
            _ => "http",
        };
        set(span, semconv::URL_SCHEME, scheme);
        match self.route {
            RouteMatch::Unmatched => {}
            RouteMatch::Pattern(pattern) => set(span, semconv::HTTP_ROUTE, clip(pattern)),
            RouteMatch::Proxy(name) => set(span, attr::BROWNOUT_ROUTE, clip(name)),
        }
        if let Some(authority) = self.authority {
            // Without the user and password that an absolute form may carry.
            let host = authority.rsplit('@').next().unwrap_or(authority);
            describe_server(host, scheme, span);
        }
        if let Some(peer) = self.peer {
            set(span, semconv::CLIENT_ADDRESS, peer.ip().to_string());
        }
        if let Some(version) = known_version(self.version) {
            set(span, semconv::NETWORK_PROTOCOL_VERSION, version);
        }
        if let Some(agent) = self.user_agent {
            set(span, semconv::USER_AGENT_ORIGINAL, clip(agent));
        }
    }
}

impl<'a> ClientRequest<'a> {
    /// A first attempt at an absolute `uri`; what is missing of it is shown as empty.
    #[must_use]
    pub fn to(method: &'a str, uri: &'a Uri) -> Self {
        Self {
            method,
            scheme: uri.scheme_str().unwrap_or("http"),
            authority: uri.authority().map_or("", |it| it.as_str()),
            path: uri.path_and_query().map_or("", |it| it.as_str()),
            resend_count: 0,
        }
    }

    pub(super) fn span_name(&self) -> Cow<'static, str> {
        Self::name_of(self.method)
    }

    pub(super) fn name_of(method: &str) -> Cow<'static, str> {
        known(method).unwrap_or("HTTP").into()
    }

    pub(super) fn describe(&self, span: &mut Span) {
        let Self {
            method,
            scheme,
            authority,
            path,
            resend_count,
        } = *self;
        Self::describe_attempt(method, resend_count, span);
        Self::describe_target(scheme, authority, path, span);
    }

    pub(super) fn describe_attempt(method: &str, resend_count: u32, span: &mut Span) {
        describe_method(method, span);
        if resend_count > 0 {
            let resend_count = i64::from(resend_count);
            set(span, semconv::HTTP_REQUEST_RESEND_COUNT, resend_count);
        }
    }

    pub(super) fn describe_target(scheme: &str, authority: &str, path: &str, span: &mut Span) {
        let url = format!("{scheme}://{authority}{}", clipped(path));
        set(span, semconv::URL_FULL, clip(&redact_url(&url)));
        let host = authority.rsplit('@').next().unwrap_or(authority);
        describe_server(host, scheme, span);
    }
}

fn describe_method(method: &str, span: &mut Span) {
    match known(method) {
        Some(name) => set(span, semconv::HTTP_REQUEST_METHOD, name),
        None => {
            set(span, semconv::HTTP_REQUEST_METHOD, "_OTHER");
            let original = clip(method);
            set(span, semconv::HTTP_REQUEST_METHOD_ORIGINAL, original);
        }
    }
}

fn describe_server(authority: &str, scheme: &str, span: &mut Span) {
    let (host, port) = match authority.rsplit_once(':') {
        // An IPv6 address has colons of its own, within brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()),
        _ => (authority, None),
    };
    let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    set(span, semconv::SERVER_ADDRESS, clip(host));
    set(span, semconv::SERVER_PORT, i64::from(port));
}

fn set(span: &mut Span, key: &'static str, value: impl Into<Value>) {
    span.set_attribute(KeyValue::new(key, value));
}

/// The name of a method that conventions know; of others there may be any number.
fn known(method: &str) -> Option<&'static str> {
    [
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY",
    ]
    .into_iter()
    .find(|known| *known == method)
}

fn known_version(version: &str) -> Option<&'static str> {
    ["1.1", "2", "1.0", "3"]
        .into_iter()
        .find(|known| *known == version)
}

fn shown(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "",
    }
}
