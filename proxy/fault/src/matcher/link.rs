//! The part of a `match` that fits a connection without a request.

use std::net::SocketAddr;

use super::MatchSpec;

impl MatchSpec {
    /// Whether the client's address is among those asked for.
    pub(crate) fn matches_client(&self, peer: SocketAddr) -> bool {
        self.client.is_empty() || self.client.iter().any(|one| one.contains(peer.ip()))
    }

    /// The first condition that needs a request.
    pub(crate) fn first_of_request(&self) -> Option<&'static str> {
        let asked = [
            ("method", self.method.is_empty()),
            ("path", self.path.is_empty()),
            ("not_path", self.not_path.is_empty()),
            ("host", self.host.is_empty()),
            ("header", self.header.is_empty()),
            ("query", self.query.is_empty()),
            ("cookie", self.cookie.is_empty()),
            ("grpc_method", self.grpc_method.is_empty()),
            ("baggage", self.baggage.is_empty()),
            ("connection_seq", self.connection_seq.is_none()),
        ];
        let given = asked.into_iter().find(|(_, is_empty)| !is_empty);
        given.map(|(key, _)| key)
    }
}
