//! The phases of an exchange.

/// Where in an exchange a fault acts. Faults act in this order; inside a phase by priority, then by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before a request comes: the connection itself.
    Connect,
    /// Before the request is forwarded.
    Request,
    /// Once the upstream has answered, before a byte of it is passed on.
    ResponseHead,
    /// While the answer's body streams.
    ResponseBody,
    /// While bytes pass, whatever they mean.
    Stream,
}

impl Phase {
    /// The word used in answers, traces and the marker header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Request => "request",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Stream => "stream",
        }
    }
}
