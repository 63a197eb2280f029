//! The data plane as a whole: its cores, and the handle by which routes come and go.

mod config;
mod core;
mod cycles;
mod open;
mod routes;
mod tls;

pub use self::{
    config::GatewayConfig,
    routes::{ListenerTlsChange, NewRoute, RouteChange, RouteError, RouteStatus},
    tls::ServedTls,
};

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use brownout_fault::{FaultReader, MayAsk};
use brownout_telemetry::{Metrics, Tracer};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::open::Open;
use crate::{
    journal::Journal,
    limits::ClientTimeouts,
    listener::{ListenAddress, Serve, set_mode},
    loops::Hops,
    route::Route,
    tls::LocalAuthority,
    upstream::Resolver,
};

/// The running data plane. Dropping it cuts every connection; [`drain`](Self::drain) lets requests end first.
#[derive(Debug)]
pub struct Gateway {
    handle: GatewayHandle,
    stop: CancellationToken,
    cores: Vec<Core>,
}

#[derive(Debug)]
struct Core {
    /// Tells how long to wait for requests to end.
    grace: Option<oneshot::Sender<Duration>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Gateway {
    /// Starts the cores. They carry nothing until the [handle](Self::handle) adds routes.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(config: GatewayConfig) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut cores = Vec::new();
        let mut commands = Vec::new();
        for index in 0..config.cores.max(1) {
            let (command, receiver) = mpsc::unbounded_channel();
            let (grace, grace_receiver) = oneshot::channel();
            let runtime_made =
                self::core::spawn(index, receiver, grace_receiver, config.give_memory_back)?;
            commands.push(command);
            cores.push(Core {
                grace: Some(grace),
                thread: Some(runtime_made),
            });
        }
        let shared = Shared {
            routes: Mutex::default(),
            cores: commands,
            connections: Arc::new(Semaphore::new(config.connections_max)),
            faults: config.faults,
            metrics: config.metrics,
            tracer: config.tracer,
            access_log: config.access_log,
            journal: Journal::new(cores.len(), config.journal_capacity),
            stop: stop.clone(),
            hops: Arc::default(),
            client_timeouts: config.client_timeouts,
            state_directory: config.state_directory,
            resolver: config.resolver,
            authority: Mutex::default(),
            reserved: Mutex::default(),
            route_changes: AtomicU64::new(0),
        };
        let shared = Arc::new(shared);
        let follower = Arc::downgrade(&shared);
        shared.faults.watch(move |plan| {
            if let Some(shared) = follower.upgrade() {
                shared.follow(plan);
            }
        });
        Ok(Self {
            handle: GatewayHandle(shared),
            stop,
            cores,
        })
    }

    /// Changes and shows routes. Cheap to clone; usable from any thread.
    #[must_use]
    pub fn handle(&self) -> GatewayHandle {
        self.handle.clone()
    }

    /// Stops accepting, lets requests end for at most `grace`, then cuts. Blocks until the cores have ended.
    pub fn drain(mut self, grace: Duration) {
        self.stop_within(grace);
    }

    fn stop_within(&mut self, grace: Duration) {
        self.handle.0.lock().clear();
        self.stop.cancel();
        for core in &mut self.cores {
            if let Some(sender) = core.grace.take()
                && sender.send(grace).is_err()
            {
                tracing::error!("a core had ended before its time");
            }
        }
        for core in &mut self.cores {
            if let Some(thread) = core.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("a core panicked");
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop_within(Duration::ZERO);
    }
}

/// Changes and shows the routes of a [`Gateway`].
///
/// Its calls bind and shut down sockets but never wait for traffic.
#[derive(Debug, Clone)]
pub struct GatewayHandle(Arc<Shared>);

struct Shared {
    routes: Mutex<BTreeMap<String, Entry>>,
    cores: Vec<mpsc::UnboundedSender<Serve>>,
    connections: Arc<Semaphore>,
    faults: FaultReader,
    metrics: Metrics,
    tracer: Tracer,
    access_log: bool,
    journal: Option<Journal>,
    stop: CancellationToken,
    hops: Arc<Hops>,
    client_timeouts: ClientTimeouts,
    state_directory: Option<PathBuf>,
    resolver: Resolver,
    /// Of `tls = "self"`, once a route has asked for it.
    authority: Mutex<Option<Arc<LocalAuthority>>>,
    /// See [`GatewayHandle::reserve`].
    reserved: Mutex<Option<SocketAddr>>,
    /// Numbers the changes of all routes. See [`RouteStatus::revision`].
    route_changes: AtomicU64,
}

struct Entry {
    route: Arc<Route>,
    /// Where it listens, or listened when it was last enabled.
    address: ListenAddress,
    /// `None` while it is disabled.
    open: Option<Open>,
    /// See [`RouteStatus::revision`].
    revision: u64,
}

impl GatewayHandle {
    /// The most routes at a time.
    pub const ROUTES_MAX: usize = 1_000;

    /// Makes a route. When this returns, its address accepts connections.
    ///
    /// # Errors
    /// When the name or the address is taken, the address cannot be listened on, or there are too many routes.
    pub fn add_route(&self, new: NewRoute) -> Result<RouteStatus, RouteError> {
        // Before the lock: the own authority may have to be read or made.
        let tls = self.0.listener_tls(new.tls)?;
        let mut routes = self.0.lock();
        if routes.contains_key(&new.name) {
            return Err(RouteError::NameTaken { name: new.name });
        }
        if routes.len() >= Self::ROUTES_MAX {
            return Err(RouteError::TooMany);
        }
        routes::check_caller_faults(Some(&new.caller_faults), &new.upstream)?;
        let bound = self.0.bind(new.listen)?;
        let address = bound.listening.address().clone();
        self.0
            .check_leads_on(&routes, &new.name, &new.upstream, &address)?;
        let callers = self.0.faults.caller_faults(&new.name);
        callers.set(new.caller_faults);
        let route = Route::new(
            &new.name,
            new.upstream,
            &self.0.metrics,
            self.0.access_log,
            callers,
        );
        route.set_tls(tls);
        route.set_accepts_proxy(new.accept_proxy);
        let mut entry = Entry {
            address,
            route,
            open: None,
            revision: self.0.next_revision(),
        };
        if new.enabled {
            entry.open = Some(self.0.open(&entry.route, bound)?);
            self.0.follow_at_listener(&mut entry, &self.0.faults.plan());
        }
        let status = entry.status();
        routes.insert(new.name, entry);
        self.0.publish(&routes);
        Ok(status)
    }

    /// Changes a route. An address that means the same as the present one is not bound anew, and if a new one
    /// cannot be listened on everything stays as it was.
    ///
    /// # Errors
    /// When there is no such route, the upstream speaks another protocol, or the address is taken or cannot be
    /// listened on.
    pub fn change_route(&self, name: &str, change: RouteChange) -> Result<RouteStatus, RouteError> {
        // Before the lock: the own authority may have to be read or made.
        let tls = match change.tls {
            None => None,
            Some(ListenerTlsChange::Off) => Some(None),
            Some(ListenerTlsChange::To(tls)) => Some(self.0.listener_tls(Some(tls))?),
        };
        let mut routes = self.0.lock();
        if let Some(entry) = routes.get(name) {
            let upstream = change.upstream.clone().map(Arc::new);
            let upstream = upstream.unwrap_or_else(|| entry.route.upstream());
            let listen = change.listen.as_ref().unwrap_or(&entry.address);
            self.0.check_leads_on(&routes, name, &upstream, listen)?;
        }
        let entry = routes.get_mut(name).ok_or_else(|| RouteError::Unknown {
            name: name.to_owned(),
        })?;
        if change.of_revision.is_some_and(|of| of != entry.revision) {
            let name = name.to_owned();
            return Err(RouteError::ChangedMeanwhile { name });
        }
        let carries = entry.route.upstream().protocol();
        if let Some(upstream) = &change.upstream
            && upstream.protocol() != carries
        {
            return Err(RouteError::OtherProtocol {
                carries,
                upstream: Box::new(upstream.clone()),
            });
        }
        let upstream = entry.route.upstream();
        routes::check_caller_faults(change.caller_faults.as_ref(), &upstream)?;

        // What may fail: new sockets. Clients wait in the kernel's queue until they are handed to the cores.
        let enable = change.enabled.unwrap_or(entry.open.is_some());
        let (stay_at, move_to) = match change.listen {
            Some(listen) if listen.is_served_by(&entry.address) => (Some(listen), None),
            moved => (None, moved),
        };
        let bind_at = match move_to {
            // Of a route that is disabled only for a moment, so that a bad address is told now and port 0 gets its number.
            Some(address) => Some(address),
            None if enable && entry.open.is_none() => Some(entry.address.clone()),
            None => None,
        };
        let bound = bind_at.map(|address| self.0.bind(address)).transpose()?;
        if let Some(address @ ListenAddress::Unix(_)) = stay_at {
            entry.take_mode_of(address)?;
        }

        // What cannot. Listeners open last: the first client meets the route as it is to be.
        if let Some(upstream) = change.upstream {
            entry.route.set_upstream(upstream);
        }
        if let Some(may_ask) = change.caller_faults {
            entry.route.callers.set(may_ask);
        }
        if let Some(tls) = tls {
            entry.route.set_tls(tls);
        }
        if let Some(accepts) = change.accept_proxy {
            entry.route.set_accepts_proxy(accepts);
        }
        entry.revision = self.0.next_revision();
        if let Some(bound) = &bound {
            entry.address = bound.listening.address().clone();
        }
        if !enable {
            entry.open = None;
        } else if let Some(bound) = bound {
            entry.open = Some(self.0.open(&entry.route, bound)?);
        }
        self.0.follow_at_listener(entry, &self.0.faults.plan());
        let status = entry.status();
        self.0.publish(&routes);
        Ok(status)
    }

    /// Deletes a route: new connections are refused at once, requests in progress end, connections of a `tcp` route
    /// are closed. Whether there was one.
    #[must_use]
    pub fn remove_route(&self, name: &str) -> bool {
        let mut routes = self.0.lock();
        let removed = routes.remove(name);
        if let Some(entry) = &removed {
            entry.route.callers.set(MayAsk::Nobody);
        }
        self.0.publish(&routes);
        removed.is_some()
    }

    /// The records of requests; `None` if none are kept.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.0.journal.as_ref()
    }

    /// All routes, sorted by name.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteStatus> {
        self.0.lock().values().map(Entry::status).collect()
    }

    /// One route.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<RouteStatus> {
        self.0.lock().get(name).map(Entry::status)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // Entries are whole at every point, so a panic elsewhere leaves nothing half done.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_revision(&self) -> u64 {
        self.route_changes.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("cores", &self.cores.len())
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// Takes over the permissions of a Unix socket that is where it was.
    fn take_mode_of(&mut self, address: ListenAddress) -> Result<(), RouteError> {
        if self.address != address {
            if let ListenAddress::Unix(unix) = &address
                && self.open.is_some()
            {
                set_mode(unix).map_err(|source| RouteError::Listen {
                    address: address.clone(),
                    source,
                })?;
            }
            self.address = address;
        }
        Ok(())
    }

    fn status(&self) -> RouteStatus {
        let upstream = self.route.upstream();
        RouteStatus {
            name: self.route.name().to_owned(),
            listen: self.address.clone(),
            tls: self.route.tls().map(|served| served.tls.clone()),
            upstream: upstream.to_string(),
            servers: upstream.server_states(),
            upstream_tls: upstream.tls().map(|tls| tls.options().clone()),
            host: upstream.host_field().clone(),
            options: upstream.options().clone(),
            protocol: upstream.protocol(),
            enabled: self.open.is_some(),
            revision: self.revision,
            caller_faults: (*self.route.callers.may_ask()).clone(),
            accept_proxy: self.route.accepts_proxy(),
            connections: u64::try_from(self.route.connections.value()).unwrap_or(0),
            requests: self.route.requests.total(),
            bytes_in: self.route.bytes_in.total(),
            bytes_out: self.route.bytes_out.total(),
            unanswered_syns: (self.open.as_ref())
                .and_then(|open| open.accepting.as_ref())
                .map_or(0, |accepting| accepting.listening.unanswered_syns()),
        }
    }
}
