//! The life of a service: start, accept, serve, stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use brownout_resilience::{InvalidPolicy, Policy};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    pin,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    authentication::Authentication,
    authorization::{Authorization, CAN_VIEW_HOMEPAGE, CAN_VIEW_RECOMMENDATIONS},
    config::{ServiceConfig, StartError},
    front::Front,
    homepage::Homepage,
    recommendations::Recommendations,
    service::Service,
    settings::Settings,
    tally::ServiceTally,
    upstream::{Transport, Upstream, UpstreamClient},
    workers::{Line, Role, Worker},
};

/// Further connections wait to be accepted.
const CONNECTIONS_MAX: usize = 8192;
/// How long a connection may be unused, or take for the head of a request. Longer than clients and proxies keep unused
/// connections (60 s), so that it is they who close them, and no request meets a connection that just closes.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// A service that runs. Dropped, it is cut short; see [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Running {
    service: Service,
    address: SocketAddr,
    front: Arc<Front>,
    /// Accepts, and holds the connections.
    accepting: JoinSet<()>,
    stop_accepting: CancellationToken,
    workers: JoinSet<()>,
    stop_working: CancellationToken,
    /// Connections to upstreams.
    outgoing: TaskTracker,
}

/// Starts a service on the runtime it is called on, of either flavour.
///
/// Whether its upstreams can be reached is not tried.
///
/// # Errors
/// When the configuration is not complete and right, or the address cannot be listened on.
pub async fn start(config: ServiceConfig) -> Result<Running, StartError> {
    config.check()?;
    let outgoing = TaskTracker::new();
    let transport = Transport::new(&outgoing);
    let upstreams = config.service.upstreams().iter();
    let upstreams = upstreams
        .map(|&upstream| Upstream::new(&config, upstream, transport.clone()).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;

    let failed = |source| StartError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let tally = Arc::new(ServiceTally::new(config.service, &config.metrics));
    let (line, line_end) = Line::new(config.workers, config.queue);
    let stop_working = CancellationToken::new();
    let mut workers = JoinSet::new();
    for number in 0..config.workers {
        let worker = Worker {
            role: role(&config, &upstreams, number),
            work: config.work,
            line: line_end.clone(),
            tally: Arc::clone(&tally),
        };
        workers.spawn(worker.run(stop_working.clone()));
    }

    let front = Arc::new(Front {
        service: config.service,
        workers: config.workers,
        line,
        tally,
        settings: Arc::new(Settings::new(config.policy, upstreams.clone())),
        upstreams,
        tracer: config.tracer,
    });
    let stop_accepting = CancellationToken::new();
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(listener, Arc::clone(&front), stop_accepting.clone()));
    Ok(Running {
        service: config.service,
        address,
        front,
        accepting,
        stop_accepting,
        workers,
        stop_working,
        outgoing,
    })
}

/// What worker `number` can do, with clients of its own.
fn role(config: &ServiceConfig, upstreams: &[Arc<Upstream>], number: usize) -> Role {
    let client = |index: usize| UpstreamClient::new(&upstreams[index], number);
    let metrics = &config.metrics;
    // The upstreams are in the order of `Service::upstreams`.
    match config.service {
        Service::Homepage => Role::Homepage(Homepage {
            authorization: Authorization::new(client(0), CAN_VIEW_HOMEPAGE, metrics),
            recommendations: client(1),
            popular_items: client(2),
        }),
        Service::Authentication => Role::Authentication(Authentication::new(config.seed, metrics)),
        Service::Recommendations => Role::Recommendations(Recommendations {
            authorization: Authorization::new(client(0), CAN_VIEW_RECOMMENDATIONS, metrics),
        }),
        Service::PopularItems => Role::PopularItems,
    }
}

impl Running {
    /// Which service it is.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes further calls under this policy. Calls that are being made end under the one they began with; a breaker
    /// stays as it is unless its section has changed.
    ///
    /// # Errors
    /// When a value of the policy is out of range; the present one stays then.
    pub fn use_policy(&self, policy: Policy) -> Result<(), InvalidPolicy> {
        self.front.settings.take(policy)
    }

    /// Stops accepting, lets requests end for at most `limit`, then cuts.
    ///
    /// Requests whose callers wait are answered. Once no caller is left, workers finish what they have in hand; what
    /// is still queued then is for nobody, and is dropped.
    ///
    /// # Errors
    /// When the limit came first, and requests were cut.
    pub async fn shutdown(mut self, limit: Duration) -> Result<(), ShutdownTimeout> {
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
async fn accept(listener: TcpListener, front: Arc<Front>, stop: CancellationToken) {
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
                tracing::warn!(%error, service = %front.service, "could not accept");
                sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end: its own, or that of the request it is at when told to stop.
async fn serve(tcp: TcpStream, peer: SocketAddr, front: Arc<Front>, stop: CancellationToken) {
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
