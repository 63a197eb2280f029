//! The thread that serves the API.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use brownout_proxy::{ListenerTls, ServedTls};
use brownout_telemetry::{Metrics, Tracer};
use tokio::{runtime::Builder, sync::oneshot, time::sleep};

use crate::{
    auth::{Guard, Token, Tokens},
    connections::{ShownTls, accept},
    control::Control,
    off_thread::{THREADS_KEPT, THREADS_MAX},
    ops::{OpError, Ops},
    router::router,
};

/// What the API is made of.
#[derive(Debug)]
pub struct ControlConfig {
    /// Where to listen, `HOST:PORT`; port 0 asks for a free one.
    pub listen: String,
    /// Whether it may be reached from elsewhere without a token.
    pub insecure: bool,
    /// Who has this may do everything; `None` asks nobody for a token.
    pub token: Option<Token>,
    /// Who has this may look. It goes with `token` alone.
    pub read_token: Option<Token>,
    /// Names besides loopback under which it may be called; `*` is every name.
    pub allow_hosts: Vec<String>,
    /// How it speaks TLS; `None` is plain HTTP.
    pub tls: Option<ListenerTls>,
    /// Connections at a time, of which one in eight is kept for `POST /halt`. A descriptor each.
    pub connections_max: usize,
    /// What its calls do.
    pub ops: Ops,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// What begins the spans of calls.
    pub tracer: Tracer,
}

impl ControlConfig {
    /// Where it listens when nothing is said: Toxiproxy's port, so that its clients find us.
    pub const LISTEN: &'static str = "127.0.0.1:8474";
    /// The most connections that are of use.
    pub const CONNECTIONS_MAX: usize = 256;
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
         listen on loopback, ask for a token (--token-file), or add --insecure if that is meant"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// Those who only look would be asked, and nobody else.
    #[error("a token that only reads needs one for everything beside it (--token-file)")]
    ReadTokenAlone,
    /// The address cannot be listened on.
    #[error("could not listen on {address} for the control API")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be spoken as asked.
    #[error("the control API cannot speak TLS as asked")]
    Tls(#[source] OpError),
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
    ops: Ops,
    tls: Option<ShownTls>,
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
        // `:8474` is every address of the machine and names are looked up, as for a route; `0.0.0.0:8474` is IPv4 alone.
        let address = (config.listen.parse()).or_else(|_| {
            let read = brownout_proxy::ListenAddress::parse(&config.listen);
            read.ok().and_then(|it| it.tcp()).ok_or_else(invalid)
        })?;
        if config.token.is_none() && config.read_token.is_some() {
            return Err(StartError::ReadTokenAlone);
        }
        if !address.ip().is_loopback() && !config.insecure && config.token.is_none() {
            return Err(StartError::Open { address });
        }
        let tls = config.tls.map(|tls| config.ops.serve_tls(tls));
        let tls = tls.transpose().map_err(StartError::Tls)?.map(ShownTls::new);
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;

        let tokens = Tokens::new(config.token, config.read_token);
        let guard = Guard::new(bound, scheme(tls.as_ref()), config.allow_hosts);
        let ops = config.ops.clone();
        let control = Control::new(config.ops, guard, tokens, config.metrics, config.tracer);
        let control = Arc::new(control);
        let (stop, stopped) = oneshot::channel();
        let shown = tls.clone();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(THREADS_MAX)
            .thread_keep_alive(THREADS_KEPT)
            .build()
            .map_err(|source| StartError::Thread { source })?;
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                runtime.block_on(serve(
                    listener,
                    control,
                    config.connections_max,
                    shown,
                    stopped,
                ));
            })
            .map_err(|source| StartError::Thread { source })?;
        Ok(Self {
            address: bound,
            ops,
            tls,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes before `://` in its URL.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        scheme(self.tls.as_ref())
    }

    /// A PEM file by which clients can trust it; `None` without TLS.
    #[must_use]
    pub fn trust_file(&self) -> Option<PathBuf> {
        let tls = self.tls.as_ref()?.current();
        Some(tls.trust_file().to_owned())
    }

    /// Reads what is needed to show other certificates; [`renew`](Self::renew) shows them. `None` when they are the same, or
    /// there is no TLS: that is decided at the start.
    ///
    /// # Errors
    /// When there is to be an own authority and there is none.
    pub fn prepare_tls(&self, tls: Option<ListenerTls>) -> Result<Option<ServedTls>, OpError> {
        let (Some(shown), Some(tls)) = (&self.tls, tls) else {
            return Ok(None);
        };
        match shown.current().is_of(&tls) {
            true => Ok(None),
            false => self.ops.serve_tls(tls).map(Some),
        }
    }

    /// Shows these certificates to those who connect from now on. Connections that are open stay.
    pub fn renew(&self, served: ServedTls) {
        if let Some(shown) = &self.tls {
            shown.replace(served);
        }
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

fn scheme(tls: Option<&ShownTls>) -> &'static str {
    match tls {
        None => "http",
        Some(_) => "https",
    }
}

async fn serve(
    listener: TcpListener,
    control: Arc<Control>,
    connections_max: usize,
    tls: Option<ShownTls>,
    stopped: oneshot::Receiver<()>,
) {
    const GRACE: Duration = Duration::from_secs(1);
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the control API could not start");
            return;
        }
    };
    let stop = control.stop.clone();
    let stopping = stop.clone();
    let cut = async {
        // Dropped or rung, either way it is over.
        drop(stopped.await);
        stopping.cancel();
        sleep(GRACE).await;
    };
    let ops = control.ops.clone();
    tokio::select! {
        () = accept(listener, router(control), stop, connections_max, tls) => {}
        () = ops.expire() => {}
        () = cut => {}
    }
}
