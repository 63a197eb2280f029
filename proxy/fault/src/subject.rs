//! What is known of a request when faults are decided.

use std::net::SocketAddr;

use http::{HeaderMap, Method, Uri};

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
