//! The limits of the data plane: how long it waits and how much it keeps.
//!
//! Each is fixed, but for [`ClientTimeouts`], of which these are the defaults: so tests need not wait for them. The buffers
//! of a single stage of
//! [`shaping`](crate::shaping) are said where the stage is.

use std::time::Duration;

// --- Ending a connection -----------------------------------------------------------------------------------------

/// Before a reset or a close by a fault: bytes that were sent before have so long to arrive. What has not arrived then
/// is lost. Also how long the end of an exchange waits for bytes that faults of the stream layer hold.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

/// As [`DRAIN`], for an end that comes from a fault that was removed. It may be waited for twice, and a fault must let
/// go within 100 ms of its removal.
pub(crate) const RELEASE_DRAIN: Duration = Duration::from_millis(30);

/// When the set of faults changes during a [`DRAIN`], bytes have so much longer to arrive: enough for a client that
/// reads, on a path of some length.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// A connection that is closed in good order is read for so long, and no further than [`CLOSE_BYTES_MAX`]. Unread bytes
/// would turn the close into a reset.
pub(crate) const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);
/// See [`CLOSE_TIME_MAX`].
pub(crate) const CLOSE_BYTES_MAX: usize = 1024 * 1024;

// --- Requests ----------------------------------------------------------------------------------------------------

/// How long a client may take over what only it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For a request's head, from its first byte or from the beginning of the connection. Then the connection is closed.
    /// Time in which a fault holds the connection does not count. 30 s.
    pub head: Duration,
    /// Between two requests. Then the connection is closed. 75 s.
    pub idle: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(75),
        }
    }
}

/// The body of a request that was answered without it is read to its end within these bytes and within
/// [`UNWANTED_TIME_MAX`], so that the connection can be used again. If it is longer, the connection is closed.
pub(crate) const UNWANTED_BYTES_MAX: usize = 1024 * 1024;
/// See [`UNWANTED_BYTES_MAX`].
pub(crate) const UNWANTED_TIME_MAX: Duration = Duration::from_secs(1);

/// A client that expects a 100 gets ours if the upstream has not answered for so long (RFC 9110 §10.1.1: it must not wait
/// for ever).
pub(crate) const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// So long a TLS client has to take what was encrypted for it before its connection is closed.
pub(crate) const TLS_CLOSE_MAX: Duration = Duration::from_secs(30);

/// After an answer that came before all of the request, the rest of it still goes to an upstream that takes it. If nothing
/// moves for so long, it is given up and the connections are closed.
pub(crate) const EARLY_ANSWER_STALL_MAX: Duration = Duration::from_secs(30);

/// A copy of a request (`duplicate`) has so long to be answered. Then its connection is closed.
pub(crate) const COPY_TIME_MAX: Duration = Duration::from_secs(60);

/// On a listener that takes headers of the PROXY protocol, a connection has so long to send its own. Then it is closed.
pub(crate) const PROXY_HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest header of version 2 that is taken, with its extensions.
pub(crate) const PROXY_HEADER_MAX: usize = 4096;

// --- Upstreams ---------------------------------------------------------------------------------------------------

/// An upstream has so long to accept a connection, unless its route says otherwise: a place in the pool, its name resolution and its
/// TLS handshake included. Then the request is answered with 504, and a connection of a `tcp` route is reset.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// When one address of an upstream has not accepted for so long, the next is tried as well (RFC 8305 §5).
pub(crate) const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// A server of several that could not be connected to, or had not accepted for [`NEXT_ADDRESS_AFTER`], is tried last for so long.
/// Then one request finds out whether it accepts again.
pub(crate) const SERVER_TRIED_LAST_FOR: Duration = Duration::from_secs(10);
/// So many addresses of a name are tried. Others are ignored.
pub(crate) const ADDRESSES_MAX: usize = 64;
/// What a name was looked up for holds for the new connections of so long.
pub(crate) const NAME_FRESH: Duration = Duration::from_secs(1);
/// While connections to a name are open, it is looked up so often: those to an address that it no longer has are not used again.
pub(crate) const NAMES_LOOKED_UP_EVERY: Duration = Duration::from_secs(10);

/// A core keeps so many TLS sessions of a route's upstream that can be resumed. Older ones are forgotten.
pub(crate) const TLS_SESSIONS_MAX: usize = 256;

/// A core keeps an unused upstream connection for so long, unless the route says otherwise.
pub(crate) const POOL_IDLE_MAX: Duration = Duration::from_secs(60);
/// A core keeps so many unused upstream connections of a route, unless that says otherwise. Others are closed.
pub(crate) const POOL_CONNECTIONS_MAX: usize = 256;

// --- Bytes that are relayed ----------------------------------------------------------------------------------------

/// Bytes that are read from a socket at once.
pub(crate) const RELAY_CHUNK: usize = 64 * 1024;

/// A core has so many pipes for splice(2), used or not: bytes that nobody takes stay in them, in the kernel's memory.
/// Bytes of further connections are copied.
pub(crate) const PIPES_MAX: usize = 16;
/// The size of a pipe in bytes, if the system grants it.
pub(crate) const PIPE_BYTES: usize = 512 * 1024;
/// A core keeps so many unused pipes. Others are closed.
pub(crate) const SPARE_PIPES_MAX: usize = 8;
/// Descriptors that the pipes of a core take at most.
pub(crate) const PIPE_DESCRIPTORS_MAX: usize = 2 * PIPES_MAX;
