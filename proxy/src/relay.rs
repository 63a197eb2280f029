//! Connections whose bytes mean nothing to the proxy: those of a `tcp` route, and those that switched protocols.
//!
//! [`serve`] is the whole life of a connection of a `tcp` route. [`Relay`] passes bytes between two sockets, whatever
//! came before on them.

mod decrypted;
mod encrypted;
mod half_duplex;
mod open;
mod pipe;
mod upgraded;

pub(crate) use self::{pipe::Pipe, upgraded::upgraded};

use std::{fmt, io, net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use brownout_fault::{Direction, FaultReader};
use bytes::Bytes;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use self::{
    half_duplex::{Ends, Eof, HalfDuplex, Interrupted},
    open::open,
};
use crate::{
    access_log::{ConnectionEnd, ConnectionLine},
    admit::{Admitted, admit},
    error::{Chain, UpstreamError},
    journal::{self, ConnectionBytes, OpenConnection},
    proxy_protocol::ClientAddress,
    route::{Open, Route},
    scope::Scope,
    shaping::StreamShaper,
    timer::Timer,
    transport::{close_in_order, reset_on_close},
    upstream::Upstream,
};

/// Passes bytes between a client and an upstream, with what faults do to them.
///
/// Each direction ends by itself: a client that has sent everything still gets its answer. A side that breaks breaks the
/// other: a reset comes out as a reset.
#[derive(Debug)]
pub(crate) struct Relay<'a> {
    pub(crate) client: &'a TcpStream,
    pub(crate) upstream: &'a TcpStream,
    /// Its `bytes_in` and `bytes_out` count what is written.
    pub(crate) route: &'a Arc<Route>,
    pub(crate) faults: &'a FaultReader,
    pub(crate) timer: &'a Timer,
    /// Counts the bytes of this connection alone. Can be read when the relay was dropped before its end.
    pub(crate) counts: &'a Counts,
}

/// Bytes of one connection that were written.
pub(crate) type Counts = ConnectionBytes;

/// Where one direction begins.
#[derive(Debug)]
pub(crate) struct Start {
    /// What faults do to this direction. It may hold bytes already.
    pub(crate) shaper: StreamShaper,
    /// Bytes that have passed the shaper and were not written yet.
    pub(crate) unwritten: Bytes,
    /// Whether the end of this direction was read and given to the shaper.
    pub(crate) has_ended: bool,
}

impl Start {
    /// Nothing was read yet.
    pub(crate) fn new(shaper: StreamShaper) -> Self {
        Self {
            shaper,
            unwritten: Bytes::new(),
            has_ended: false,
        }
    }
}

/// A connection that is over.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Bytes that were written to the upstream.
    pub(crate) bytes_in: u64,
    /// Bytes that were written to the client.
    pub(crate) bytes_out: u64,
    pub(crate) ending: RelayEnding,
}

impl Outcome {
    fn new(counts: &Counts, ending: RelayEnding) -> Self {
        Self {
            bytes_in: counts.bytes_in.get(),
            bytes_out: counts.bytes_out.get(),
            ending,
        }
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum RelayEnding {
    /// Both sides closed theirs.
    Complete,
    /// One side broke; both were reset.
    Broken(io::Error),
    /// A fault reset both sides.
    ResetByFault,
    /// A fault closed both sides in good order.
    ClosedByFault,
    /// The client left while a fault held the beginning of its connection.
    ClientGone,
    /// There was no connection to the upstream; the client was reset.
    UpstreamFailed(UpstreamError),
    /// TLS with the client did not come about, of this cause.
    HandshakeFailed(&'static str),
    /// The route closes.
    RouteClosing,
}

impl RelayEnding {
    /// Its word in the access log; none for an end in good order.
    pub(crate) fn word(&self) -> Option<&'static str> {
        match self {
            Self::Complete => None,
            Self::Broken(_) => Some("reset"),
            Self::ResetByFault => Some("fault.reset"),
            Self::ClosedByFault => Some("fault.close"),
            Self::ClientGone => Some("client_disconnect"),
            Self::UpstreamFailed(error) => Some(error.kind().name()),
            Self::HandshakeFailed(cause) => Some(cause),
            Self::RouteClosing => Some("route_closing"),
        }
    }
}

impl RelayEnding {
    fn as_evidence(&self) -> journal::ConnectionEnd {
        use journal::ConnectionEnd as End;
        match self {
            // Who was first is not known here.
            Self::Complete | Self::Broken(_) => End::Unknown,
            Self::ResetByFault | Self::UpstreamFailed(_) => End::ProxyRst,
            Self::ClosedByFault | Self::RouteClosing | Self::HandshakeFailed(_) => End::ProxyFin,
            Self::ClientGone => End::ClientFin,
        }
    }
}

impl fmt::Display for RelayEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("both sides closed"),
            Self::Broken(error) => write!(f, "a side broke: {error}"),
            Self::ResetByFault => f.write_str("a fault reset it"),
            Self::ClosedByFault => f.write_str("a fault closed it"),
            Self::ClientGone => f.write_str("the client left before it was accepted"),
            Self::UpstreamFailed(error) => write!(f, "no upstream: {}", Chain(error)),
            Self::HandshakeFailed(cause) => write!(f, "no TLS with the client: {cause}"),
            Self::RouteClosing => f.write_str("the route closed"),
        }
    }
}

impl Relay<'_> {
    /// Passes bytes on until both sides have closed theirs, one breaks, or a fault ends the connection; then ends both
    /// sides accordingly. Dropping it stops at once and loses what it holds; both sockets stay as they are.
    pub(crate) async fn run(&self, from_client: Start, from_upstream: Start) -> Outcome {
        let eof = Eof::default();
        let to_upstream = Ends {
            from: self.client,
            to: self.upstream,
            direction: Direction::Upstream,
        };
        let to_client = Ends {
            from: self.upstream,
            to: self.client,
            direction: Direction::Downstream,
        };
        let both = tokio::try_join!(
            HalfDuplex::new(self, to_upstream, from_client, &eof).run(),
            HalfDuplex::new(self, to_client, from_upstream, &eof).run(),
        );
        let ending = match both {
            Ok(((), ())) => RelayEnding::Complete,
            Err(Interrupted::Reset) => RelayEnding::ResetByFault,
            Err(Interrupted::Close) => RelayEnding::ClosedByFault,
            Err(Interrupted::Broken(error)) => RelayEnding::Broken(error),
        };
        match &ending {
            RelayEnding::ClosedByFault => close_in_order(&[self.client, self.upstream]).await,
            RelayEnding::ResetByFault | RelayEnding::Broken(_) => {
                reset_on_close(self.client);
                reset_on_close(self.upstream);
            }
            RelayEnding::Complete
            | RelayEnding::ClientGone
            | RelayEnding::UpstreamFailed(_)
            | RelayEnding::HandshakeFailed(_)
            | RelayEnding::RouteClosing => {}
        }
        Outcome::new(self.counts, ending)
    }
}

/// Serves a connection of a `tcp` route until it is over, or `closing`.
///
/// A client whose upstream cannot be reached is reset: it was accepted before that was known.
pub(crate) async fn serve(
    client: TcpStream,
    address: ClientAddress,
    permit: OwnedSemaphorePermit,
    scope: Rc<Scope>,
    closing: CancellationToken,
) {
    let upstream = scope.route.upstream();
    if scope.route.tls().is_some() || upstream.tls().is_some() {
        // Boxed, as the others would have to keep room for it.
        return Box::pin(encrypted::serve(client, address, permit, scope, closing)).await;
    }
    let peer = address.peer;
    let _open = CountedConnection::new(scope.route.connections.clone());
    let counts = Arc::new(Counts::default());
    let evidence = (scope.journal.as_ref())
        .map(|journal| OpenConnection::begin(journal, &scope.route, peer, Instant::now(), &counts));
    let line = (scope.route.logs_access()).then(|| ConnectionLine::of_tcp(Instant::now()));
    let ending = tokio::select! {
        biased;
        () = closing.cancelled() => RelayEnding::RouteClosing,
        ending = carry(&client, &address, &scope, upstream, &counts) => ending,
    };
    if let Some(evidence) = evidence {
        evidence.end(ending.as_evidence());
    }
    tell(&scope, peer, &Outcome::new(&counts, ending), line);
}

/// Tells in the log of a connection that is over.
fn tell(scope: &Scope, peer: SocketAddr, outcome: &Outcome, line: Option<ConnectionLine>) {
    let route = scope.route.name();
    let Outcome {
        bytes_in,
        bytes_out,
        ending,
    } = outcome;
    tracing::debug!(%peer, route, bytes_in, bytes_out, %ending, "a connection is over");
    if let Some(line) = line {
        line.log(&ConnectionEnd {
            route,
            peer,
            bytes_in: *bytes_in,
            bytes_out: *bytes_out,
            ending: ending.word(),
        });
    }
}

async fn carry(
    client: &TcpStream,
    client_address: &ClientAddress,
    scope: &Scope,
    before: Arc<Upstream>,
    counts: &Counts,
) -> RelayEnding {
    let (route, peer) = (&scope.route, client_address.peer);
    let connection = route.next_connection();
    let beginning = StreamShaper::at_connect(route, peer, connection);
    let admitted = match admit(client, beginning, &scope.faults, &scope.timer) {
        None => Admitted::Yes,
        Some(held) => held.await,
    };
    match admitted {
        Admitted::Yes => {}
        Admitted::Reset => {
            reset_on_close(client);
            return RelayEnding::ResetByFault;
        }
        Admitted::Close => {
            close_in_order(&[client]).await;
            return RelayEnding::ClosedByFault;
        }
        Admitted::Gone => return RelayEnding::ClientGone,
    }
    // One that is reached with TLS by now is for connections that come.
    let upstream = match route.upstream() {
        now if now.tls().is_none() => now,
        _ => before,
    };
    let ends = (upstream.options().send_proxy).and_then(|_| client_address.ends(client));
    let opened = match Box::pin(open(scope, &upstream, ends)).await {
        Ok(opened) => opened,
        Err(error) => {
            route.errors(error.kind()).add(1);
            reset_on_close(client);
            return RelayEnding::UpstreamFailed(error);
        }
    };
    let start = |direction| Start::new(StreamShaper::new(route, peer, connection, direction));
    let relay = Relay {
        client,
        upstream: opened.transport.tcp(),
        route,
        faults: &scope.faults,
        timer: &scope.timer,
        counts,
    };
    let from_client = start(Direction::Upstream);
    let from_upstream = start(Direction::Downstream);
    relay.run(from_client, from_upstream).await.ending
}

/// Counts a connection among the open ones until it is dropped.
struct CountedConnection(Open);

impl CountedConnection {
    fn new(open: Open) -> Self {
        open.add(1);
        Self(open)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

#[cfg(test)]
mod tests;
