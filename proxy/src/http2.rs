//! HTTP/2 on both sides, by the `h2` crate: frames, HPACK, flow control and the limits against abuse are its.
//!
//! The engine of [`http1`](crate::http1) serves each stream as if it were a connection that carries one request. A
//! [`Stream`] is the [`Transport`](crate::transport::Transport) of that connection: what the engine reads from it is the
//! stream's message as HTTP/1.1, and what the engine writes to it goes out as frames. Nothing is copied through a buffer
//! between the two, and nothing is read from a stream before the engine asks for it: so the other side gets credit
//! (RFC 9113 §5.2) only as fast as this side reads.

mod body;
mod control;
mod fields;
mod frames;
mod io;
mod request;
mod server;
mod stream;
mod tunnel;
mod upstream;
mod window;

pub(crate) use self::{
    server::{Ended, converse},
    stream::{Stream, StreamClient},
    upstream::{Connections, Next},
};

/// What a client may have open at once on a connection (RFC 9113 §5.1.2), and the most that an upstream is sent on one.
pub(crate) const STREAMS_MAX: u32 = 1_000;

/// So many bytes of a stream may be on their way before they are read, at the beginning of a connection.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;

/// So many once its reader has kept up.
const STREAM_WINDOW_MAX: u32 = 4 * 1024 * 1024;

/// So many while there are very many streams.
const STREAM_WINDOW_MIN: u32 = 16 * 1024;

/// So many bytes of all streams of a connection, which is what they hold at most.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// So many bytes of a message wait for credit at most, on each stream: as a socket's send buffer would.
const UNSENT_MAX: usize = 64 * 1024;

/// So many bytes of frames of one turn of a connection go out together.
const GATHERED_MAX: usize = 64 * 1024;

/// So many bytes at once go out by themselves, without a copy.
const NOT_GATHERED: usize = 8 * 1024;
