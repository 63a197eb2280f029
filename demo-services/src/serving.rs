//! A service at work: connections on the one side, workers on the other.

use std::{convert::Infallible, fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    pin,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{answer::Answer, workers::Worker};

/// Further connections wait to be accepted.
const CONNECTIONS_MAX: usize = 8192;
/// How long a connection may be unused, or take for the head of a request. Longer than clients and proxies keep unused
/// connections (60 s), so that it is they who close them, and no request meets a connection that just closes.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// What answers the requests of a service.
pub(crate) trait Face: Debug + Send + Sync + 'static {
    /// The service, for the log.
    fn name(&self) -> &'static str;

    /// Answers a request. Dropped, as when the caller leaves, it ends nothing that was begun.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Answer, Infallible>> + Send;
}

/// A service that accepts and works. Dropped, it is cut short; see [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub(crate) struct Serving<F> {
    front: Arc<F>,
    /// Accepts, and holds the connections.
    accepting: JoinSet<()>,
    stop_accepting: CancellationToken,
    workers: JoinSet<()>,
    stop_working: CancellationToken,
    /// Connections to upstreams.
    outgoing: TaskTracker,
}

impl<F: Face> Serving<F> {
    /// Starts the workers, then accepts.
    pub(crate) fn start(
        listener: TcpListener,
        front: F,
        workers: impl Iterator<Item = Worker>,
        outgoing: TaskTracker,
    ) -> Self {
        let stop_working = CancellationToken::new();
        let mut working = JoinSet::new();
        for worker in workers {
            working.spawn(worker.run(stop_working.clone()));
        }
        let front = Arc::new(front);
        let stop_accepting = CancellationToken::new();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&front), stop_accepting.clone()));
        Self {
            front,
            accepting,
            stop_accepting,
            workers: working,
            stop_working,
            outgoing,
        }
    }

    pub(crate) fn front(&self) -> &F {
        &self.front
    }

    /// Stops accepting, lets requests end for at most `limit`, then cuts.
    ///
    /// Requests whose callers wait are answered. Once no caller is left, workers finish what they have in hand; what
    /// is still queued then is for nobody, and is dropped.
    pub(crate) async fn shutdown(mut self, limit: Duration) -> Result<(), ShutdownTimeout> {
        self.stop_accepting.cancel();
        let end = async {
            while self.accepting.join_next().await.is_some() {}
            self.stop_working.cancel();
            while self.workers.join_next().await.is_some() {}
            // The last who holds the connections to upstreams.
            drop(self.front);
            self.outgoing.close();
            self.outgoing.wait().await;
        };
        timeout(limit, end)
            .await
            .map_err(|_| ShutdownTimeout(limit))
    }
}

/// The shutdown's limit passed with requests still running, and they were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("requests were still running after {0:?}, and were cut")]
pub struct ShutdownTimeout(pub Duration);

/// Accepts connections until it is told to stop, then waits for those it has.
async fn accept<F: Face>(listener: TcpListener, front: Arc<F>, stop: CancellationToken) {
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
                connections.spawn(serve(tcp, peer, Arc::clone(&front), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, service = front.name(), "could not accept");
                sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end: its own, or that of the request it is at when told to stop.
async fn serve<F: Face>(tcp: TcpStream, peer: SocketAddr, front: Arc<F>, stop: CancellationToken) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, %peer, "a connection had gone");
        return;
    }
    let service = service_fn(|request| front.answer(request, peer));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .serve_connection(TokioIo::new(tcp), service);
    pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A caller that leaves is its own affair.
        tracing::debug!(%error, %peer, "a connection broke");
    }
}
