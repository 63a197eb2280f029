//! What is done to a connection with HTTP/2 on behalf of one of its requests.

use std::{fmt, time::Duration};

/// An error code of HTTP/2 (RFC 9113 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// The connection ends in good order.
    pub const NO_ERROR: Self = Self(0);
    /// The other side broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// An error inside the implementation.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// The request was not processed: it may be sent again.
    pub const REFUSED_STREAM: Self = Self(7);

    /// The names, each at the place of its code.
    pub const NAMES: &'static [&'static str] = &[
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];

    /// The name of the code, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let place = usize::try_from(self.0).ok()?;
        Self::NAMES.get(place).copied()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// What a reset ends where the client speaks HTTP/2. With HTTP/1 it is always the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetScope {
    /// The stream (`RST_STREAM` with this code). The connection and its other streams stay.
    Stream(ErrorCode),
    /// The connection with all of its streams, by a TCP reset.
    Connection,
}

impl ResetScope {
    /// The stream, with `INTERNAL_ERROR`.
    pub const AUTO: Self = Self::Stream(ErrorCode::INTERNAL_ERROR);
}

/// The stream that a GOAWAY names as the last that may have been processed (RFC 9113 §6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastStream {
    /// That of the request.
    Current,
    /// The one before it: the request was not processed, says the frame, and it is not forwarded.
    Before,
    /// The stream with this number.
    Number(u32),
}

/// A GOAWAY frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoAway {
    /// Why.
    pub code: ErrorCode,
    /// Streams above it are refused from then on.
    pub last_stream: LastStream,
    /// When the connection is closed though streams are in progress; `None` for not before they have ended.
    pub grace: Option<Duration>,
}

/// Values of SETTINGS (RFC 9113 §6.5.2). What is `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Http2Settings {
    /// Streams that the client may have open at once.
    pub max_concurrent_streams: Option<u32>,
    /// Bytes of each stream that the client may send before it gets credit.
    pub initial_window_size: Option<u32>,
    /// Bytes of the table with which the client compresses fields.
    pub header_table_size: Option<u32>,
    /// Bytes of a head, as an advice.
    pub max_header_list_size: Option<u32>,
}

/// What is done to a connection, or to the stream of one of its requests. It is for connections with HTTP/2 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2Fault {
    /// A GOAWAY is sent; the connection ends with its last stream.
    GoAway(GoAway),
    /// The client is told other settings, until the fault is removed.
    Settings(Http2Settings),
    /// The client gets no credit for the content of its request, for so long, or until the fault is removed.
    WithholdCredit(Option<Duration>),
    /// PINGs of the client are not answered, for so long, or until the fault is removed.
    IgnorePings(Option<Duration>),
}
