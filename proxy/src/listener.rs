//! Listening sockets: one for each core, bound by the control thread.

mod address;
mod listening;
mod unix;

pub use self::address::{InvalidListenAddress, ListenAddress, UnixAddress};
pub(crate) use self::{
    address::is_socket_path,
    listening::{Listener, Listening},
    unix::set_mode,
};

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use brownout_fault::FaultReader;
use brownout_telemetry::Tracer;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_local,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    crowd::Crowd,
    http1::{self, HeadLimits},
    journal::CoreJournal,
    limits::{ClientTimeouts, PROXY_HEADER_TIME_MAX},
    loops::Hops,
    proxy_protocol::{ClientAddress, NoHeader, receive},
    relay,
    route::Route,
    scope::Scope,
    timer::Timer,
    tls::CoreTls,
    transport::unix::as_tcp,
    upstream::{Pool, Protocol, Resolver},
};

/// What a core needs to serve a route.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) route: Arc<Route>,
    pub(crate) listener: Listener,
    /// Cancelled when the route is disabled, moved or deleted.
    pub(crate) closing: CancellationToken,
    /// Cancelled as well when new connections are refused.
    pub(crate) accepting: CancellationToken,
    pub(crate) faults: FaultReader,
    pub(crate) tracer: Tracer,
    pub(crate) client_timeouts: ClientTimeouts,
    /// The core's part of the journal, if there is one.
    pub(crate) journal: Option<Arc<CoreJournal>>,
    /// A permit for each connection of the process.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) hops: Arc<Hops>,
    pub(crate) resolver: Resolver,
}

/// Accepts connections on one core until the listener is shut down.
pub(crate) async fn accept(serve_route: Serve, timer: Timer, tasks: TaskTracker, crowd: Rc<Crowd>) {
    const SWEEP: Duration = Duration::from_secs(10);
    /// Out of descriptors, most likely: let some close.
    const BACK_OFF: Duration = Duration::from_millis(100);
    let Serve {
        route,
        listener,
        closing,
        accepting,
        faults,
        tracer,
        client_timeouts,
        journal,
        connections,
        hops,
        resolver,
    } = serve_route;
    let listener = match Accepts::new(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, route = route.name(), "could not listen");
            return;
        }
    };
    let protocol = route.upstream().protocol();
    let scope = Rc::new(Scope {
        route,
        faults,
        tracer,
        pool: Rc::new(Pool::new(resolver)),
        upstream_tls: CoreTls::default(),
        head_limits: HeadLimits::default(),
        client_timeouts,
        timer,
        journal,
        tasks: tasks.clone(),
        hops,
    });
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look_again = interval(scope.pool.names.every());
    look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = accepting.cancelled() => return,
            accepted = listener.accept() => accepted,
            _ = sweep.tick() => {
                scope.pool.sweep();
                continue;
            }
            _ = look_again.tick() => {
                if scope.pool.names.are_used() {
                    let pool = Rc::clone(&scope.pool);
                    // Not one of those that a drain waits for.
                    spawn_local(async move { pool.names.look_again().await });
                }
                continue;
            }
        };
        match accepted {
            Ok((tcp, peer)) => {
                // One connection waits for a place here, the others in the kernel's queue. All end with the route.
                let permit = tokio::select! {
                    biased;
                    permit = Arc::clone(&connections).acquire_owned() => permit,
                    () = accepting.cancelled() => return,
                };
                let Ok(permit) = permit else {
                    return; // The gateway is gone.
                };
                let (scope, closing) = (Rc::clone(&scope), closing.clone());
                let begins_with_header = scope.route.accepts_proxy();
                let peer = peer.into();
                match (protocol, begins_with_header) {
                    (_, true) => {
                        let served = serve_behind_header(tcp, peer, permit, scope, closing);
                        tasks.spawn_local(served);
                    }
                    (Protocol::Http, false) => {
                        tasks.spawn_local(http1::serve(tcp, peer, permit, scope, closing));
                    }
                    (Protocol::Tcp, false) => {
                        tasks.spawn_local(relay::serve(tcp, peer, permit, scope, closing));
                    }
                }
                crowd.grew();
            }
            Err(error) => {
                tracing::warn!(%error, route = scope.route.name(), "could not accept");
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// Serves a connection that begins with a header of the PROXY protocol, for the client that it names.
async fn serve_behind_header(
    tcp: TcpStream,
    mut address: ClientAddress,
    permit: OwnedSemaphorePermit,
    scope: Rc<Scope>,
    closing: CancellationToken,
) {
    let limit = scope.client_timeouts.head.min(PROXY_HEADER_TIME_MAX);
    let received = tokio::select! {
        biased;
        () = closing.cancelled() => return,
        received = Box::pin(receive(&tcp, limit)) => received,
    };
    match received {
        Ok(Some(client)) => address = client.into(),
        Ok(None) => {} // The sender speaks for itself.
        Err(NoHeader::Left) => return,
        Err(error) => return scope.route.no_proxy_header(address.peer, &error),
    }
    match scope.route.protocol() {
        Protocol::Http => http1::serve(tcp, address, permit, scope, closing).await,
        Protocol::Tcp => relay::serve(tcp, address, permit, scope, closing).await,
    }
}

/// A listening socket on the runtime of its core.
enum Accepts {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepts {
    fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(tcp) => Self::Tcp(tokio::net::TcpListener::from_std(tcp)?),
            Listener::Unix(unix) => Self::Unix(tokio::net::UnixListener::from_std(unix)?),
        })
    }

    /// A connection, with the address of its client. To a socket that takes IPv6 as well, one of IPv4 comes as `::ffff:1.2.3.4`,
    /// which only the kernel calls it. One on a Unix socket is of this machine, and has no port.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::Tcp(tcp) => {
                let (tcp, peer) = tcp.accept().await?;
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Ok((tcp, peer))
            }
            Self::Unix(unix) => {
                let (unix, _) = unix.accept().await?;
                Ok((as_tcp(unix)?, (Ipv4Addr::LOCALHOST, 0).into()))
            }
        }
    }
}
