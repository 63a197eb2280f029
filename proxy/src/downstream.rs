//! What an exchange may do to its client, whatever the protocol between them.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use crate::{
    http1::Input,
    journal::OnConnection,
    sys::{self, ClientEnd},
    transport::{ClientSocket, Transport},
};

/// An exchange's side towards its client. On HTTP/1 it acts on the client's connection, which it has to itself for as long
/// as the exchange lasts.
#[derive(Debug, Clone)]
pub(crate) struct Downstream(Rc<ClientSocket>);

impl Downstream {
    pub(crate) fn new(socket: &Rc<ClientSocket>) -> Self {
        Self(Rc::clone(socket))
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer()
    }

    /// The number of the client's connection on its route, in the order of acceptance.
    pub(crate) fn connection(&self) -> u64 {
        self.0.number()
    }

    /// What the connection is for the record of its request with this place on it, if records are kept.
    pub(crate) fn as_evidence(&self, seq: u64) -> Option<OnConnection> {
        self.0.as_evidence(seq)
    }

    /// How the client has ended its side.
    pub(crate) fn client_end(&self) -> ClientEnd {
        sys::client_end(self.0.tcp())
    }

    /// Where a body is written to and read from.
    pub(crate) fn transport(&self) -> &Transport {
        self.0.transport()
    }

    /// Waits until the client has closed its sending side or the connection broke. What it sends meanwhile, a body or
    /// further requests, is kept in `input`, up to 64 KiB.
    pub(crate) async fn left(&self, input: &mut Input) {
        const KEPT_MAX: usize = 64 * 1024;
        self.0.left(input, KEPT_MAX).await;
    }

    /// Waits until the client has closed its sending side or the connection broke, without reading from it.
    pub(crate) async fn gone(&self) {
        self.0.gone().await;
    }

    /// Writes bytes past all framing. What was written before goes first.
    pub(crate) async fn write_raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Waits until everything that was written has reached the client, for at most `limit`.
    pub(crate) async fn settled(&self, limit: Duration) {
        self.0.settled(limit).await;
    }

    /// Makes the end of the connection a reset (RST): it goes out when the exchange is over. Nothing is sent after it.
    pub(crate) fn reset(&self) {
        self.0.reset();
    }

    /// Lets the connection end in good order once this exchange is over.
    pub(crate) fn close_after_this(&self) {
        self.0.close_after_this();
    }

    /// Whether the connection is to end with this exchange.
    pub(crate) fn is_last(&self) -> bool {
        self.0.is_last()
    }

    /// Whether a fault of the stream layer ended the connection.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.layered().is_cut()
    }
}
