//! A service at work: connections on the one side, workers on the other.

use std::{convert::Infallible, fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    pin,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{answer::Answer, tls::HTTP2, workers::Worker};

/// Further connections wait to be accepted.
const CONNECTIONS_MAX: usize = 8192;
/// How long a connection may be unused, or take for the head of a request. Longer than clients and proxies keep unused
/// connections (60 s), so that it is they who close them, and no request meets a connection that just closes.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// How long the handshake of TLS may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

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
        tls: Option<Arc<ServerConfig>>,
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
        let tls = tls.map(TlsAcceptor::from);
        let accepts = accept(listener, tls, Arc::clone(&front), stop_accepting.clone());
        accepting.spawn(accepts);
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
async fn accept<F: Face>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    front: Arc<F>,
    stop: CancellationToken,
) {
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
                let (tls, front, stop) = (tls.clone(), Arc::clone(&front), stop.clone());
                connections.spawn(serve(tcp, tls, peer, front, stop));
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

/// Serves one connection to its end: its own, or that of the requests it is at when told to stop.
async fn serve<F: Face>(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
    front: Arc<F>,
    stop: CancellationToken,
) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, %peer, "a connection had gone");
        return;
    }
    let Some(tls) = tls else {
        return converse_http1(tcp, peer, front, stop).await;
    };
    let handshake = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        handshake = timeout(HANDSHAKE_MAX, tls.accept(tcp)) => handshake,
    };
    match handshake {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
            converse_http2(stream, peer, front, stop).await;
        }
        Ok(Ok(stream)) => converse_http1(stream, peer, front, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS came about"),
        Err(_) => tracing::debug!(%peer, "a handshake of TLS took too long"),
    }
}

async fn converse_http1<F: Face>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    peer: SocketAddr,
    front: Arc<F>,
    stop: CancellationToken,
) {
    let service = service_fn(|request| front.answer(request, peer));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .serve_connection(TokioIo::new(stream), service);
    pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note_end(ended, peer);
}

/// The requests of a connection are answered at once, each by itself.
async fn converse_http2<F: Face>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    peer: SocketAddr,
    front: Arc<F>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { front.answer(request, peer).await }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note_end(ended, peer);
}

fn note_end(ended: hyper::Result<()>, peer: SocketAddr) {
    if let Err(error) = ended {
        // A caller that leaves is its own affair.
        tracing::debug!(%error, %peer, "a connection broke");
    }
}
