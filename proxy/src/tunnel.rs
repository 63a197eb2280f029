//! A connection whose bytes mean nothing to us: of a `tcp` route, or of an exchange that switched protocols.

mod pipe;
mod way;

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use brownout_fault::Direction;
use futures_util::future::join_all;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustix::net::{Shutdown, shutdown};
use tokio::{io::copy_bidirectional, net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::pipe::DESCRIPTORS_MAX as PIPE_DESCRIPTORS_MAX;
use self::way::{Ends, Over, SaidAll, Way};
use crate::{
    admit::{Admitted, admit},
    client_io::{self, ClientSocket},
    connection::Scope,
    error::Chain,
    flow::Flow,
    route::Open,
};

/// Passes bytes between a client and an upstream that agreed on another protocol, until both have closed
/// their side. Dropping it closes both.
///
/// `socket` is what the client's side is made of: faults of its stream layer go on.
pub(crate) async fn upgraded(client: OnUpgrade, upstream: OnUpgrade, socket: &ClientSocket) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "the protocol was not switched");
            return;
        }
    };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    let over = tokio::select! {
        biased;
        result = copy_bidirectional(&mut client, &mut upstream) => {
            if let Err(error) = result {
                tracing::debug!(%error, "an upgraded connection broke");
            }
            return;
        }
        over = socket.over() => over,
    };
    drop(upstream);
    end(socket, over).await;
}

/// Ends a connection as a fault of its stream layer says.
pub(crate) async fn end(socket: &ClientSocket, over: client_io::Over) {
    match over {
        client_io::Over::Reset => {
            socket.arrived().await;
            socket.reset_on_close();
        }
        client_io::Over::Close => close_in_order(&[socket.tcp()]).await,
    }
}

/// Serves a connection of a `tcp` route until both sides have closed theirs, one breaks, or `closing`.
///
/// Each direction ends by itself: a client that has said all it has still gets its answer. What breaks on one side
/// breaks on the other: a reset comes out as a reset. A client whose upstream cannot be reached is reset as well;
/// it was accepted before that was known.
pub(crate) async fn serve(
    client: TcpStream,
    _permit: OwnedSemaphorePermit,
    scope: Rc<Scope>,
    closing: CancellationToken,
) {
    let Ok(peer) = client.peer_addr() else {
        return; // It is gone already.
    };
    let _counted = Counted::new(scope.route.connections.clone());
    if let Err(error) = client.set_nodelay(true) {
        tracing::debug!(%error, %peer, "could not set TCP_NODELAY");
    }
    tokio::select! {
        biased;
        () = closing.cancelled() => {}
        () = carry(&client, peer, &scope) => {}
    }
}

async fn carry(client: &TcpStream, peer: SocketAddr, scope: &Scope) {
    let route = &scope.route;
    let connection = route.next_connection();
    let beginning = Flow::at_connect(route, peer, connection);
    match admit(client, beginning, &scope.faults, &scope.timer).await {
        Admitted::Yes => {}
        Admitted::Reset => return reset_on_close(client),
        Admitted::Close => return close_in_order(&[client]).await,
        Admitted::Gone => return,
    }
    let address = route.upstream();
    let upstream = match address.connect().await {
        Ok(upstream) => upstream,
        Err(error) => {
            route.errors(error.kind()).add(1);
            tracing::debug!(error = %Chain(&error), %peer, route = route.name(), "no upstream");
            reset_on_close(client);
            return;
        }
    };
    let said_all = SaidAll::default();
    let way = |from, to, direction| {
        let ends = Ends {
            from,
            to,
            direction,
        };
        let flow = Flow::new(route, peer, connection, direction);
        Way::new(ends, flow, route, &scope.faults, &scope.timer, &said_all).run()
    };
    let there = way(client, &upstream, Direction::Upstream);
    let back = way(&upstream, client, Direction::Downstream);
    match tokio::try_join!(there, back) {
        Ok(_) => return,
        Err(Over::Reset) => {}
        Err(Over::Close) => return close_in_order(&[client, &upstream]).await,
        Err(Over::Broken(error)) => {
            tracing::debug!(%error, %peer, route = route.name(), "a connection broke");
        }
    }
    reset_on_close(client);
    reset_on_close(&upstream);
}

/// Says on all `sides` that there is no more. Bytes that nobody read would make the close a reset, so those that come
/// are read, within bounds.
pub(crate) async fn close_in_order(sides: &[&TcpStream]) {
    const TIME_MAX: Duration = Duration::from_secs(1);
    let all = join_all(sides.iter().map(|side| finish(side)));
    if timeout(TIME_MAX, all).await.is_err() {
        tracing::debug!("a side did not close in time");
    }
}

async fn finish(tcp: &TcpStream) {
    const BYTES_MAX: usize = 1024 * 1024;
    let mut unwanted = [0; 4096];
    let mut left = BYTES_MAX;
    if shutdown(tcp, Shutdown::Write).is_err() {
        return; // It is closed already.
    }
    while tcp.readable().await.is_ok() {
        match tcp.try_read(&mut unwanted) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(read) if read > 0 && read < left => left -= read,
            _ => return,
        }
    }
}

/// Makes the close of a socket a reset. On one that was reset by the other side it changes nothing.
pub(crate) fn reset_on_close(tcp: &TcpStream) {
    if let Err(error) = tcp.set_zero_linger() {
        tracing::debug!(%error, "could not make the close a reset");
    }
}

/// Counts a connection for as long as it lives.
struct Counted(Open);

impl Counted {
    fn new(open: Open) -> Self {
        open.add(1);
        Self(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}
