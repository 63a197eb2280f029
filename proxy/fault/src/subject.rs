//! What is known of a request when faults are decided.

use std::net::SocketAddr;

use crate::fields::Fields;

/// What is known of a request when faults are decided. Borrowed: making one allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The name of the route it came in by.
    pub route: &'a str,
    /// Its method, case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    /// The path of its target, raw as sent, without the query; `*` of `OPTIONS *`.
    pub path: &'a str,
    /// The query of its target, raw as sent, without the `?`; `None` when there is no `?`.
    pub query: Option<&'a str>,
    /// The host that it names, with its port as sent: the authority of a target in absolute form, else its `Host`
    /// (RFC 9112 §3.2.2). `None` when it names none.
    pub host: Option<&'a str>,
    /// Its header fields as received.
    pub fields: &'a dyn Fields,
    /// The client's address.
    pub peer: SocketAddr,
    /// The number of the client's connection on its route, in the order of acceptance, from 0.
    pub connection: u64,
    /// The number of the request on its connection, in the order of arrival, from 0.
    pub request: u64,
    /// Whether it came on a stream of HTTP/2.
    pub is_http2: bool,
}

impl Subject<'_> {
    /// Its target in origin form (RFC 9112 §3.2.1).
    pub(crate) fn target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { self.path };
        match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}
