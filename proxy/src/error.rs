//! What can go wrong, with whom, and how it is said to a client.

use std::{fmt, io};

use http::StatusCode;

/// An exchange that ends without an answer: the connection is closed or reset.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the exchange ends without an answer")
    }
}

impl std::error::Error for Cut {}

/// Why an upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("could not resolve its name")]
    Resolve { source: io::Error },
    #[error("could not connect")]
    Connect { source: io::Error },
    #[error("did not accept the connection within 5s")]
    ConnectTimeout,
    #[error("broke the connection before it answered")]
    Broken { source: hyper::Error },
    #[error("sent what is not an HTTP answer")]
    Protocol { source: hyper::Error },
    #[error("uses a transfer coding besides chunked")]
    TransferCoding,
}

/// The words of `proxy.errors` and of `error.type` on spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Connect,
    Reset,
    Timeout,
    Protocol,
    ClientDisconnect,
}

impl ErrorKind {
    pub(crate) const ALL: [Self; 5] = [
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
            Self::Protocol => "protocol",
            Self::ClientDisconnect => "client_disconnect",
        }
    }
}

impl UpstreamError {
    /// Tells what hyper says of a connection that gave no answer.
    pub(crate) fn from_hyper(source: hyper::Error) -> Self {
        if source.is_parse() {
            Self::Protocol { source }
        } else {
            Self::Broken { source }
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::ConnectTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Protocol { .. }
            | Self::TransferCoding => StatusCode::BAD_GATEWAY,
        }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } => ErrorKind::Connect,
            Self::ConnectTimeout => ErrorKind::Timeout,
            Self::Broken { .. } => ErrorKind::Reset,
            Self::Protocol { .. } | Self::TransferCoding => ErrorKind::Protocol,
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
            Self::ConnectTimeout => "connect_timeout",
            Self::Broken { .. } => "connection_reset",
            Self::Protocol { .. } | Self::TransferCoding => "protocol_error",
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
