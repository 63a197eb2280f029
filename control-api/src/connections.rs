//! The connections of the control API.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The address that a call came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Calls of the whole API at a time; more wait in the kernel's queue. A descriptor each, which traffic needs as well.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may take over the head of a call, and be idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Accepts connections until it is told to stop, then waits for those it has.
pub(crate) async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    /// Out of descriptors, most likely: let some close.
    const BACK_OFF: Duration = Duration::from_millis(100);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                connections.spawn(serve_connection(tcp, router, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the control API could not accept");
                sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end: its own, or that of the call it is at when told to stop.
async fn serve_connection(tcp: TcpStream, router: Router, stop: CancellationToken) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(router))
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A caller that leaves is its own affair.
        tracing::debug!(%error, "a connection of the control API broke");
    }
}
