//! What can go wrong, with whom, and how it is said to a client.

use std::{fmt, io, time::Duration};

use brownout_fault::units::show_duration;

use crate::{
    http1::BadAnswer,
    tls::{TlsCause, TlsFailure},
};

/// Why an upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("could not resolve its name")]
    Resolve { source: io::Error },
    #[error("could not connect")]
    Connect { source: io::Error },
    #[error("did not accept the connection within {}", show_duration(*limit))]
    ConnectTimeout { limit: Duration },
    #[error(
        "did not complete the TLS handshake within {} of the attempt to connect",
        show_duration(*limit)
    )]
    HandshakeTimeout { limit: Duration },
    #[error("did not begin its answer within {}", show_duration(*limit))]
    HeadTimeout { limit: Duration },
    #[error(
        "has all {max} connections of this core's pool in use, and none was free within {}",
        show_duration(*limit)
    )]
    PoolFull { max: usize, limit: Duration },
    #[error("leads back to this route: the request would go round for ever")]
    Loop,
    #[error("cannot be reached with TLS: {failure}")]
    Tls { failure: TlsFailure },
    #[error(
        "does not speak HTTP/2: it did not agree on `h2` (RFC 9113 §3.2); the route's `protocol` may be \"auto\""
    )]
    NoHttp2,
    #[error(
        "does not take extended CONNECT on this connection: its SETTINGS do not announce it (RFC 8441 §3)"
    )]
    NoTunnels,
    #[error("broke the connection before it answered")]
    Broken { source: io::Error },
    #[error("sent what is not an HTTP answer: {}", bad.detail)]
    Protocol { bad: BadAnswer },
}

/// The words of `proxy.errors` and of `error.type` on spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Connect,
    Reset,
    Timeout,
    /// Of the head of an answer, where the route has such a limit.
    HeadTimeout,
    /// No connection was free, where the route has such a limit.
    PoolFull,
    Protocol,
    ClientDisconnect,
    Tls(TlsCause),
}

impl ErrorKind {
    /// All but those of TLS and of options of a route.
    pub(crate) const USUAL: [Self; 5] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Protocol,
        Self::ClientDisconnect,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::HeadTimeout => "head_timeout",
            Self::PoolFull => "pool_full",
            Self::Protocol => "protocol",
            Self::ClientDisconnect => "client_disconnect",
            Self::Tls(cause) => cause.name(),
        }
    }
}

impl UpstreamError {
    /// A connection that broke before an answer: because of TLS, if the error says so.
    pub(crate) fn of_broken(source: io::Error) -> Self {
        match TlsFailure::inside(&source) {
            Some(failure) => Self::Tls {
                failure: failure.clone(),
            },
            None => Self::Broken { source },
        }
    }

    /// A handshake that broke.
    pub(crate) fn of_handshake(source: &io::Error) -> Self {
        let failure = match TlsFailure::inside(source) {
            Some(failure) => failure.clone(),
            None => TlsFailure::broken(source),
        };
        Self::Tls { failure }
    }

    /// The status of the answer that tells a client of it.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::ConnectTimeout { .. }
            | Self::HandshakeTimeout { .. }
            | Self::HeadTimeout { .. } => 504,
            Self::PoolFull { .. } => 503,
            Self::Loop => 508,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::NoHttp2
            | Self::NoTunnels
            | Self::Tls { .. }
            | Self::Broken { .. }
            | Self::Protocol { .. } => 502,
        }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Loop => ErrorKind::Connect,
            Self::ConnectTimeout { .. } | Self::HandshakeTimeout { .. } => ErrorKind::Timeout,
            Self::HeadTimeout { .. } => ErrorKind::HeadTimeout,
            Self::PoolFull { .. } => ErrorKind::PoolFull,
            Self::Tls { failure } => ErrorKind::Tls(failure.cause),
            Self::Broken { .. } => ErrorKind::Reset,
            Self::NoHttp2 | Self::NoTunnels | Self::Protocol { .. } => ErrorKind::Protocol,
        }
    }

    /// `error.type` of the span of the attempt.
    pub(crate) fn span_type(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "name_resolution_error",
            Self::Connect { source } if source.kind() == io::ErrorKind::ConnectionRefused => {
                "connection_refused"
            }
            Self::Connect { .. } => "connection_error",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::HandshakeTimeout { .. } => "tls_timeout",
            Self::HeadTimeout { .. } => "head_timeout",
            Self::PoolFull { .. } => "pool_full",
            Self::Loop => "loop_detected",
            Self::Tls { failure } => failure.cause.name(),
            Self::Broken { .. } => "connection_reset",
            Self::NoHttp2 | Self::NoTunnels | Self::Protocol { .. } => "protocol_error",
        }
    }
}

/// An error with all its sources on one line, as a person reads it.
pub(crate) struct Chain<'e>(pub(crate) &'e dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
