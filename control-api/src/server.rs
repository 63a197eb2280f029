//! The thread that serves the API.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    pin::pin,
    sync::Arc,
    thread,
    time::Duration,
};

use axum::Router;
use brownout_fault::FaultWriter;
use brownout_proxy::GatewayHandle;
use brownout_telemetry::{Metrics, Tracer};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, runtime::Builder, sync::oneshot, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{auth::Guard, control::Control, router::router};

/// What the API is made of.
#[derive(Debug)]
pub struct ControlConfig {
    /// Where to listen, `HOST:PORT`; port 0 asks for a free one.
    pub listen: String,
    /// Whether it may be reached from elsewhere without a token.
    pub insecure: bool,
    /// Names besides loopback under which it may be called.
    pub allow_hosts: Vec<String>,
    /// What is armed.
    pub faults: FaultWriter,
    /// The data plane's routes.
    pub gateway: GatewayHandle,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// What begins the spans of calls.
    pub tracer: Tracer,
}

impl ControlConfig {
    /// Where it listens when nothing is said: Toxiproxy's port, so that its clients find us.
    pub const LISTEN: &'static str = "127.0.0.1:8474";
}

/// Why the API did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not an address.
    #[error("`{listen}` is not an address for the control API; write it like \"127.0.0.1:8474\"")]
    Address {
        /// As written.
        listen: String,
    },
    /// Reachable from elsewhere, by anybody.
    #[error(
        "the control API would be open to everyone who reaches {address}; \
         listen on loopback, or add --insecure if that is meant"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("could not listen on {address} for the control API")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No thread or runtime could be made.
    #[error("could not start the control thread")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}

/// The running API. Dropping it stops it.
#[derive(Debug)]
pub struct ControlApi {
    address: SocketAddr,
    control: Arc<Control>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ControlApi {
    /// Starts it. When this returns, its address accepts connections.
    ///
    /// # Errors
    /// When the address is none, is open to others without being meant to, or cannot be listened on.
    pub fn start(config: ControlConfig) -> Result<Self, StartError> {
        let invalid = || StartError::Address {
            listen: config.listen.clone(),
        };
        let mut addresses = config.listen.to_socket_addrs().map_err(|_| invalid())?;
        let address = addresses.next().ok_or_else(invalid)?;
        if !address.ip().is_loopback() && !config.insecure {
            return Err(StartError::Open { address });
        }
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;

        let guard = Guard::new(bound, config.allow_hosts);
        let control = Control::new(
            config.faults,
            config.gateway,
            guard,
            config.metrics,
            config.tracer,
        );
        let control = Arc::new(control);
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StartError::Thread { source })?;
        let serving = Arc::clone(&control);
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || runtime.block_on(serve(listener, serving, stopped)))
            .map_err(|source| StartError::Thread { source })?;
        Ok(Self {
            address: bound,
            control,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Removes every fault, letting go what they hold, and refuses to arm any other (503): the process is about to
    /// end, and its last requests shall not be held up. The ids.
    #[must_use]
    pub fn disarm_for_good(&self) -> Vec<String> {
        self.control.stop_arming();
        self.control.change().clear()
    }

    /// Stops it. Calls in progress get a second to end.
    pub fn stop(mut self) {
        self.stop_and_join();
    }

    fn stop_and_join(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

impl Drop for ControlApi {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

/// Calls of the whole API at a time; more wait in the kernel's queue. A descriptor each, which traffic needs as well.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may take over the head of a call, and be idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

async fn serve(listener: TcpListener, control: Arc<Control>, stopped: oneshot::Receiver<()>) {
    const GRACE: Duration = Duration::from_secs(1);
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the control API could not start");
            return;
        }
    };
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let cut = async {
        // Dropped or rung, either way it is over.
        drop(stopped.await);
        stopping.cancel();
        sleep(GRACE).await;
    };
    tokio::select! {
        () = accept(listener, router(Arc::clone(&control)), stop) => {}
        () = control.expire() => {}
        () = cut => {}
    }
}

/// Accepts connections until it is told to stop, then waits for those it has.
async fn accept(listener: tokio::net::TcpListener, router: Router, stop: CancellationToken) {
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
            Ok((tcp, _)) => {
                connections.spawn(serve_connection(tcp, router.clone(), stop.clone()));
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
