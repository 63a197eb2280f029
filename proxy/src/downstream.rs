//! What an exchange may do to its client, whatever the protocol between them.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use brownout_fault::ResetScope;

use crate::{
    http1::{Input, RequestHead},
    http2::StreamClient,
    journal::{ConnectionBytes, OnConnection},
    proxy_protocol::Endpoints,
    sys::{self, ClientEnd},
    transport::{ClientSocket, Transport},
};

/// An exchange's side towards its client. On HTTP/1 it acts on the client's connection, which it has to itself for as long
/// as the exchange lasts; on HTTP/2 on a stream.
#[derive(Debug, Clone)]
pub(crate) enum Downstream {
    Connection(Rc<ClientSocket>),
    Stream(Rc<StreamClient>),
}

impl Downstream {
    pub(crate) fn new(socket: &Rc<ClientSocket>) -> Self {
        Self::Connection(Rc::clone(socket))
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// The stream, on HTTP/2.
    pub(crate) fn as_stream(&self) -> Option<&StreamClient> {
        match self {
            Self::Connection(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }

    /// The connection that it is or is a part of.
    fn socket(&self) -> &ClientSocket {
        match self {
            Self::Connection(socket) => socket,
            Self::Stream(stream) => stream.connection(),
        }
    }

    /// The exchange was over `now`. A connection of HTTP/1.1 may carry another request; one of HTTP/2 has others.
    pub(crate) fn ends_request(&self, now: Instant) {
        match self {
            Self::Connection(socket) => socket.ends_request(now),
            Self::Stream(_) => {}
        }
    }

    /// The version of HTTP, as spans name it, in which the client sent this request.
    pub(crate) fn version(&self, request: &RequestHead) -> &'static str {
        match self {
            Self::Connection(_) if request.is_http10() => "1.0",
            Self::Connection(_) => "1.1",
            Self::Stream(_) => "2",
        }
    }

    /// Whether its connection is in TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.socket().transport().tls().is_some()
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.socket().peer()
    }

    /// Both ends of the client's connection, if it has addresses.
    pub(crate) fn ends(&self) -> Option<Endpoints> {
        self.socket().ends()
    }

    /// What its connection has carried so far.
    pub(crate) fn bytes(&self) -> &ConnectionBytes {
        self.socket().bytes()
    }

    /// The number of the client's connection on its route, in the order of acceptance.
    pub(crate) fn connection(&self) -> u64 {
        self.socket().number()
    }

    /// What the connection is for the record of its request with this place on it, if records are kept.
    pub(crate) fn as_evidence(&self, seq: u64) -> Option<OnConnection> {
        match self {
            Self::Connection(socket) => socket.as_evidence(seq),
            Self::Stream(stream) => stream.as_evidence(seq),
        }
    }

    /// How the client has ended its side.
    pub(crate) fn client_end(&self) -> ClientEnd {
        match self {
            Self::Connection(socket) => sys::client_end(socket.tcp()),
            Self::Stream(stream) => stream.client_end(),
        }
    }

    /// Where a body is written to and read from.
    pub(crate) fn transport(&self) -> &Transport {
        match self {
            Self::Connection(socket) => socket.transport(),
            Self::Stream(stream) => stream.transport(),
        }
    }

    /// Waits until the client has closed its sending side or the connection broke. What it sends meanwhile, a body or
    /// further requests, is kept in `input`, up to 64 KiB. A stream tells without being read from.
    pub(crate) async fn left(&self, input: &mut Input) {
        const KEPT_MAX: usize = 64 * 1024;
        match self {
            Self::Connection(socket) => socket.left(input, KEPT_MAX).await,
            Self::Stream(stream) => stream.left().await,
        }
    }

    /// Waits until the client has closed its sending side or the connection broke, without reading from it.
    pub(crate) async fn gone(&self) {
        match self {
            Self::Connection(socket) => socket.gone().await,
            Self::Stream(stream) => stream.left().await,
        }
    }

    /// Writes bytes past all framing. What was written before goes first.
    pub(crate) async fn write_raw(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Connection(socket) => socket.write_all(bytes).await,
            Self::Stream(stream) => stream.write_all(bytes).await,
        }
    }

    /// Waits until everything that was written on what a reset of this scope ends has reached the client, for at most `limit`.
    pub(crate) async fn settled(&self, scope: ResetScope, limit: Duration) {
        match self {
            Self::Connection(socket) => socket.settled(limit).await,
            Self::Stream(stream) => {
                stream.settled(limit).await;
                if scope == ResetScope::Connection {
                    stream.connection().settled(limit).await;
                }
            }
        }
    }

    /// Makes the end of the connection, or of the stream, a reset: it goes out when the exchange is over. Nothing is sent
    /// after it.
    pub(crate) fn reset(&self, scope: ResetScope) {
        match self {
            Self::Connection(socket) => socket.reset(),
            Self::Stream(stream) => stream.reset(scope),
        }
    }

    /// Lets the connection end in good order once this exchange is over.
    pub(crate) fn close_after_this(&self) {
        match self {
            Self::Connection(socket) => socket.close_after_this(),
            Self::Stream(stream) => stream.close_after_this(),
        }
    }

    /// Whether the connection is to end with this exchange.
    pub(crate) fn is_last(&self) -> bool {
        match self {
            Self::Connection(socket) => socket.is_last(),
            Self::Stream(stream) => stream.is_last(),
        }
    }

    /// Whether a fault of the stream layer ended the connection.
    pub(crate) fn is_cut(&self) -> bool {
        self.socket().layered().is_cut()
    }
}
