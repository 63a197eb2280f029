//! The client's side of a connection: its bytes, what it is busy with, and how it is to end.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::Interest,
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};

use super::{LayeredTcp, TlsTransport, Transport, linger, reset_on_close};
use crate::{
    http1::Input,
    journal::{ConnectionBytes, ConnectionEnd, OnConnection, OpenConnection, OpenStream},
    limits::TLS_CLOSE_MAX,
    proxy_protocol::{ClientAddress, Endpoints},
    route::Route,
    scope::Scope,
    sys::{self, ClientEnd},
    upstream::Protocol,
};

/// A client's socket, shared by the loop that reads requests from it and the exchange that answers them.
///
/// Dropping the last reference closes it and gives back its place among the connections of the process.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    transport: Transport,
    address: ClientAddress,
    /// Its number among the connections of its route, in the order of acceptance.
    number: u64,
    /// Its record in the journal, if there is one.
    evidence: Option<OpenConnection>,
    /// What it has carried.
    bytes: Arc<ConnectionBytes>,
    /// Who ended it, once that is known.
    ended: Cell<Option<ConnectionEnd>>,
    route: Arc<Route>,
    /// [`Route::closings`] before this connection's token was looked at.
    closings: u64,
    pub(crate) activity: Activity,
    /// When the first byte of a head was read that did not come whole.
    head_began: Cell<Option<Instant>>,
    /// No further request is to be served on it.
    is_last: Cell<bool>,
    _permit: OwnedSemaphorePermit,
}

impl ClientSocket {
    /// Takes a socket over, counting it among those of its route until it is dropped.
    pub(crate) fn new(
        tcp: TcpStream,
        address: ClientAddress,
        number: u64,
        scope: &Scope,
        permit: OwnedSemaphorePermit,
    ) -> Rc<Self> {
        let (route, peer) = (&scope.route, address.peer);
        let transport = encrypted(tcp, peer, number, scope);
        let bytes = Arc::new(ConnectionBytes::default());
        let evidence = (scope.journal.as_ref())
            .map(|journal| OpenConnection::begin(journal, route, peer, Instant::now(), &bytes));
        Rc::new(Self {
            transport,
            address,
            number,
            evidence,
            bytes,
            ended: Cell::new(None),
            route: Arc::clone(route),
            closings: route.closings(),
            activity: Activity::new(),
            head_began: Cell::new(None),
            is_last: Cell::new(false),
            _permit: permit,
        })
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn layered(&self) -> &LayeredTcp {
        (self.transport.layered()).expect("it was made with a stream layer")
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        self.transport.tcp()
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.address.peer
    }

    /// Both ends of the client's connection, if it has addresses.
    pub(crate) fn ends(&self) -> Option<Endpoints> {
        self.address.ends(self.tcp())
    }

    /// What it has carried so far.
    pub(crate) fn bytes(&self) -> &ConnectionBytes {
        &self.bytes
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What it is for the record of its request with this place on it, if records are kept.
    pub(crate) fn as_evidence(&self, seq: u64) -> Option<OnConnection> {
        let evidence = self.evidence.as_ref()?;
        Some(evidence.of_request(seq, self.peer(), self.head_began.get()))
    }

    /// Begins the record of a request on a stream, if records are kept.
    pub(crate) fn begin_stream(&self) -> Option<OpenStream> {
        self.evidence.as_ref().map(OpenConnection::begin_stream)
    }

    /// Ends what [`begin_stream`](Self::begin_stream) has begun.
    pub(crate) fn end_stream(&self, stream: &OpenStream) {
        if let Some(evidence) = &self.evidence {
            evidence.end_stream(stream);
        }
    }

    /// The head of a request has begun, and the rest may be long in coming.
    pub(crate) fn begins_head(&self) {
        if self.head_began.get().is_some() {
            return;
        }
        let now = Instant::now();
        self.head_began.set(Some(now));
        if self.activity.now().0 == Doing::Idle {
            self.activity.set(Doing::Head, now);
        }
    }

    /// The request ended `now`; another may follow. The record of the request calls this when it is dropped.
    pub(crate) fn ends_request(&self, now: Instant) {
        self.activity.set(Doing::Idle, now);
        self.head_began.set(None);
    }

    /// Notes that the connection is about to be ended so, unless its client has ended it, or that was noted before.
    pub(crate) fn note_end(&self, ours: ConnectionEnd) {
        if self.evidence.is_none() || self.ended.get().is_some() {
            return;
        }
        let end = match sys::client_end(self.tcp()) {
            ClientEnd::Fin => ConnectionEnd::ClientFin,
            ClientEnd::Rst => ConnectionEnd::ClientRst,
            ClientEnd::None => ours,
        };
        self.ended.set(Some(end));
    }

    /// Whether its route may have closed since the connection began.
    pub(crate) fn may_be_closing(&self) -> bool {
        self.route.closings() != self.closings
    }

    /// Serves no request after the present one.
    pub(crate) fn close_after_this(&self) {
        self.is_last.set(true);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last.get()
    }

    /// Makes the close of this socket a reset (RST): it goes out when the socket is dropped. Nothing is to be sent after it.
    pub(crate) fn reset(&self) {
        self.note_end(ConnectionEnd::ProxyRst);
        reset_on_close(self.tcp());
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.transport.poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Waits until everything that was written is with the kernel.
    pub(crate) async fn flushed(&self) -> io::Result<()> {
        poll_fn(|cx| self.transport.poll_flush(cx)).await
    }

    /// Waits until everything that was written has reached the client, for at most `limit`: a reset throws away what is
    /// still on its way, also the answer to an earlier, pipelined request.
    pub(crate) async fn settled(&self, limit: Duration) {
        let acknowledged = async {
            if self.flushed().await.is_ok() {
                sys::acknowledged(self.tcp()).await;
            }
        };
        if timeout(limit, acknowledged).await.is_err() {
            tracing::debug!(peer = %self.peer(), "the client did not take all that was sent in time");
        }
    }

    /// Sends a FIN behind everything that was written, and reads on for a while so that the client gets all of it
    /// before it learns that its own bytes are not wanted (RFC 9112 §9.6): for at most one second, at most 1 MiB.
    pub(crate) async fn close_in_order(&self) {
        self.note_end(ConnectionEnd::ProxyFin);
        let shutdown = poll_fn(|cx| self.transport.poll_shutdown(cx));
        // TLS may still have encrypted bytes for a client that does not read.
        let is_shut_down = match &self.transport {
            Transport::Tls(_) => matches!(timeout(TLS_CLOSE_MAX, shutdown).await, Ok(Ok(()))),
            Transport::Plain(_) | Transport::Layered(_) | Transport::Stream(_) => {
                shutdown.await.is_ok()
            }
        };
        if is_shut_down {
            linger(self.tcp()).await;
        }
    }

    /// Waits until the client has closed its sending side or the connection broke. What it sends meanwhile is kept in
    /// `input`, up to `kept_max` bytes.
    pub(crate) async fn left(&self, input: &mut Input, kept_max: usize) {
        while input.len() < kept_max {
            match poll_fn(|cx| input.poll_fill(&self.transport, cx)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        // Boxed, as few clients send so much ahead.
        Box::pin(self.gone()).await;
    }

    /// As [`left`](Self::left), without reading anything.
    pub(crate) async fn gone(&self) {
        /// While unread bytes keep the socket ready no event tells of the close behind them: look now and then.
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        while let Ok(ready) = self.tcp().ready(Interest::READABLE).await
            && !(ready.is_read_closed() && self.layered().end_has_come())
        {
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                // A fault may hold the end of the stream, but not that there is nobody any more.
                _ = self.tcp().ready(Interest::ERROR), if ready.is_read_closed() => return,
            }
        }
    }
}

/// The bytes of a client's socket, with the stream layer on it, and TLS on that where the route's listener speaks it.
fn encrypted(tcp: TcpStream, peer: SocketAddr, number: u64, scope: &Scope) -> Transport {
    let route = &scope.route;
    let to = tcp.local_addr().ok();
    let begun = route.tls().map(|tls| match route.protocol() {
        Protocol::Http => tls.begin(to),
        Protocol::Tcp => tls.begin_bytes(to),
    });
    let layered = LayeredTcp::new(tcp, peer, number, scope, route.open(number));
    let layered = Transport::Layered(layered);
    match begun {
        None => layered,
        Some(Ok(connection)) => {
            Transport::Tls(Box::new(TlsTransport::new(layered, connection.into())))
        }
        Some(Err(error)) => {
            // What it sends is then a handshake on a plain port, and told so.
            tracing::error!(%error, route = route.name(), "could not begin TLS");
            layered
        }
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        self.route.close(self.number);
        self.note_end(ConnectionEnd::ProxyFin);
        if let (Some(evidence), Some(end)) = (&self.evidence, self.ended.get()) {
            evidence.end(end);
        }
    }
}

/// What a connection is busy with and since when, for its timers.
#[derive(Debug)]
pub(crate) struct Activity(Cell<(Doing, Instant)>);

/// See [`Activity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// A request's head has begun to arrive, or the connection is new.
    Head,
    /// A request is being served.
    Exchange,
    /// Nothing, since the end of the last exchange.
    Idle,
}

impl Activity {
    fn new() -> Self {
        Self(Cell::new((Doing::Head, Instant::now())))
    }

    /// What the connection does, and since when.
    pub(crate) fn now(&self) -> (Doing, Instant) {
        self.0.get()
    }

    pub(crate) fn set(&self, doing: Doing, since: Instant) {
        self.0.set((doing, since));
    }
}
