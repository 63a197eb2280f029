//! What spans say about HTTP, after OpenTelemetry's semantic conventions (stable since 1.23).

use std::{borrow::Cow, net::SocketAddr};

use http::{HeaderMap, HeaderName, Method, Uri, Version, header};
use opentelemetry::{KeyValue, Value, trace::Span as _};
use opentelemetry_sdk::trace::Span;
use opentelemetry_semantic_conventions::attribute as semconv;

use super::SpanLink;
use super::span::clip;
use crate::names::attr;

/// A request that came in, as far as its span tells of it. Making one allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct ServerRequest<'a> {
    /// An unknown method is shown as `_OTHER`.
    pub method: &'a Method,
    /// In origin form or absolute.
    pub uri: &'a Uri,
    /// Of HTTP.
    pub version: Version,
    /// Read for the parent span, the host and the user agent.
    pub headers: &'a HeaderMap,
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
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port of the upstream. A user name and password are not shown.
    pub authority: &'a str,
    /// From the first slash on, with the query.
    pub path: &'a str,
    /// 0 for the first attempt, 1 for the first retry.
    pub resend_count: u32,
}

impl<'a> ServerRequest<'a> {
    /// What `request` says itself: neither peer nor route.
    #[must_use]
    pub fn of<B>(request: &'a http::Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            peer: None,
            route: RouteMatch::Unmatched,
            links: &[],
            has_fault: false,
        }
    }

    /// As [`of`](Self::of), of a request whose body was taken away.
    #[must_use]
    pub fn of_parts(head: &'a http::request::Parts) -> Self {
        Self {
            method: &head.method,
            uri: &head.uri,
            version: head.version,
            headers: &head.headers,
            peer: None,
            route: RouteMatch::Unmatched,
            links: &[],
            has_fault: false,
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
        set(span, semconv::URL_PATH, clip(self.uri.path()));
        if let Some(query) = self.uri.query() {
            set(span, semconv::URL_QUERY, clip(query));
        }
        set(span, semconv::URL_SCHEME, "http");
        match self.route {
            RouteMatch::Unmatched => {}
            RouteMatch::Pattern(pattern) => set(span, semconv::HTTP_ROUTE, clip(pattern)),
            RouteMatch::Proxy(name) => set(span, attr::BROWNOUT_ROUTE, clip(name)),
        }
        let authority = match self.uri.authority() {
            // Without the user and password that an absolute form may carry.
            Some(authority) => authority.as_str().rsplit('@').next(),
            None => self.header(header::HOST),
        };
        if let Some(authority) = authority {
            describe_server(authority, "http", span);
        }
        if let Some(peer) = self.peer {
            set(span, semconv::CLIENT_ADDRESS, peer.ip().to_string());
        }
        if let Some(version) = version(self.version) {
            set(span, semconv::NETWORK_PROTOCOL_VERSION, version);
        }
        if let Some(agent) = self.header(header::USER_AGENT) {
            set(span, semconv::USER_AGENT_ORIGINAL, clip(agent));
        }
    }

    fn header(&self, name: HeaderName) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl<'a> ClientRequest<'a> {
    /// A first attempt at an absolute `uri`; what is missing of it is shown as empty.
    #[must_use]
    pub fn to(method: &'a Method, uri: &'a Uri) -> Self {
        Self {
            method,
            scheme: uri.scheme_str().unwrap_or("http"),
            authority: uri.authority().map_or("", |it| it.as_str()),
            path: uri.path_and_query().map_or("", |it| it.as_str()),
            resend_count: 0,
        }
    }

    pub(super) fn span_name(&self) -> Cow<'static, str> {
        known(self.method).unwrap_or("HTTP").into()
    }

    pub(super) fn describe(&self, span: &mut Span) {
        let Self {
            method,
            scheme,
            authority,
            path,
            resend_count,
        } = *self;
        describe_method(method, span);
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((_, host)) => ("REDACTED:REDACTED@", host),
            None => ("", authority),
        };
        let url = format!("{scheme}://{credentials}{host}{path}");
        set(span, semconv::URL_FULL, clip(&url));
        describe_server(host, scheme, span);
        if resend_count > 0 {
            let resend_count = i64::from(resend_count);
            set(span, semconv::HTTP_REQUEST_RESEND_COUNT, resend_count);
        }
    }
}

fn describe_method(method: &Method, span: &mut Span) {
    match known(method) {
        Some(name) => set(span, semconv::HTTP_REQUEST_METHOD, name),
        None => {
            set(span, semconv::HTTP_REQUEST_METHOD, "_OTHER");
            let original = clip(method.as_str());
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
fn known(method: &Method) -> Option<&'static str> {
    [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::PATCH, "PATCH"),
        (Method::CONNECT, "CONNECT"),
        (Method::TRACE, "TRACE"),
        (Method::QUERY, "QUERY"),
    ]
    .into_iter()
    .find_map(|(known, name)| (known == *method).then_some(name))
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}
