//! A proxy in the test's own process, with one route.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use brownout_fault::{FaultSpec, FaultStatus, FaultWriter, Moment, store};
use brownout_proxy::{
    ClientTimeouts, Gateway, GatewayConfig, GatewayHandle, HostField, ListenAddress, ListenerTls,
    ListenerTlsOptions, NewRoute, Resolver, Upstream, UpstreamOptions, UpstreamTlsOptions,
};
use brownout_telemetry::{Metrics, Tracer};
use serde_json::{Map, Value};

use crate::{RawClient, RawMessage, TestUpstream, access};

/// A gateway with one route. Dropping it ends it.
pub struct TestProxy {
    gateway: Option<Gateway>,
    route: String,
    address: SocketAddr,
    faults: Mutex<FaultWriter>,
    metrics: Metrics,
}

/// Says what a [`TestProxy`] is like before it starts.
#[derive(Debug)]
pub struct TestProxyBuilder {
    route: String,
    upstream: String,
    faults: Vec<Value>,
    caller_faults: bool,
    accept_proxy: bool,
    seed: u64,
    cores: usize,
    connections_max: usize,
    tracer: Tracer,
    metrics: Metrics,
    access_log: bool,
    journal_capacity: usize,
    client_timeouts: ClientTimeouts,
    tls: Option<ListenerTls>,
    upstream_tls: Option<UpstreamTlsOptions>,
    listen: String,
    host: HostField,
    options: UpstreamOptions,
    state_directory: Option<PathBuf>,
    resolver: Resolver,
}

impl TestProxy {
    /// The name of its route, unless it logs.
    pub const ROUTE: &'static str = "web";

    /// A proxy before `upstream`, on two cores, with seed 42 and no fault.
    #[must_use]
    pub fn to(upstream: &TestUpstream) -> TestProxyBuilder {
        Self::to_url(&upstream.url())
    }

    /// A proxy whose route passes bytes on to `upstream`.
    #[must_use]
    pub fn to_tcp(upstream: &TestUpstream) -> TestProxyBuilder {
        Self::to_url(&format!("tcp://{}", upstream.address()))
    }

    /// A proxy before the upstream at `url`.
    #[must_use]
    pub fn to_url(url: &str) -> TestProxyBuilder {
        TestProxyBuilder {
            route: Self::ROUTE.to_owned(),
            upstream: url.to_owned(),
            faults: Vec::new(),
            caller_faults: false,
            accept_proxy: false,
            seed: 42,
            cores: 2,
            connections_max: GatewayConfig::CONNECTIONS_MAX,
            tracer: Tracer::off(),
            metrics: Metrics::new(),
            access_log: false,
            journal_capacity: GatewayConfig::JOURNAL_CAPACITY,
            client_timeouts: ClientTimeouts::default(),
            tls: None,
            upstream_tls: None,
            listen: "127.0.0.1:0".to_owned(),
            host: HostField::Keep,
            options: UpstreamOptions::default(),
            state_directory: None,
            resolver: Resolver::default(),
        }
    }

    /// The name of its route.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The lines that it logged so far, as field names with values.
    ///
    /// # Panics
    /// When it was built without [`with_access_log`](TestProxyBuilder::with_access_log).
    #[must_use]
    pub fn access_lines(&self) -> Vec<Map<String, Value>> {
        assert_ne!(self.route, Self::ROUTE, "it does not log");
        access::of_route(&self.route)
    }

    /// What else was logged about its route so far, from INFO up.
    ///
    /// # Panics
    /// When it was built without [`with_access_log`](TestProxyBuilder::with_access_log).
    #[must_use]
    pub fn log_lines(&self) -> Vec<Map<String, Value>> {
        assert_ne!(self.route, Self::ROUTE, "it does not log");
        access::about_route(&self.route)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its handle.
    ///
    /// # Panics
    /// After [`drain`](Self::drain).
    #[must_use]
    pub fn handle(&self) -> GatewayHandle {
        self.gateway
            .as_ref()
            .expect("it was not drained yet")
            .handle()
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Connects to it.
    pub async fn connect(&self) -> RawClient {
        RawClient::connect(self.address).await
    }

    /// Sends a GET on a connection of its own.
    pub async fn get(&self, path: &str) -> RawMessage {
        let mut client = self.connect().await;
        client.get(path).await;
        client.response().await
    }

    /// Arms a fault on its route. Its id.
    ///
    /// # Panics
    /// When the fault is refused.
    pub fn arm(&self, fault: &Value) -> String {
        let mut fault = fault.clone();
        fault["route"] = self.route.clone().into();
        let spec =
            FaultSpec::read(&fault).unwrap_or_else(|problems| panic!("{fault}: {problems:?}"));
        let armed = self.faults().arm(vec![spec], now());
        armed
            .unwrap_or_else(|error| panic!("{fault}: {error}"))
            .remove(0)
            .id
    }

    /// Removes a fault.
    ///
    /// # Panics
    /// When it is not there.
    pub fn disarm(&self, id: &str) {
        assert!(self.faults().remove(id, now().instant), "no fault {id}");
    }

    /// Changes a fault.
    ///
    /// # Panics
    /// When the patch is refused.
    pub fn patch(&self, id: &str, patch: &Value) {
        if let Err(error) = self.faults().patch(id, patch, now()) {
            panic!("{patch}: {error}");
        }
    }

    /// A fault as it is now.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn fault(&self, id: &str) -> FaultStatus {
        let status = self.faults().status(id, now().instant);
        status.unwrap_or_else(|| panic!("no fault {id}"))
    }

    /// What is armed, to change it in other ways.
    ///
    /// # Panics
    /// When another user of it panicked.
    pub fn faults(&self) -> MutexGuard<'_, FaultWriter> {
        self.faults.lock().expect("no test panicked in here")
    }

    /// Lets requests end for at most `grace`, then ends. Blocks.
    pub fn drain(&mut self, grace: Duration) {
        if let Some(gateway) = self.gateway.take() {
            gateway.drain(grace);
        }
    }
}

impl TestProxyBuilder {
    /// Arms a fault before the start.
    #[must_use]
    pub fn with_fault(mut self, fault: &Value) -> Self {
        self.faults.push(fault.clone());
        self
    }

    /// Lets clients ask for faults by header fields.
    #[must_use]
    pub fn with_caller_faults(mut self) -> Self {
        self.caller_faults = true;
        self
    }

    /// Draws from another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs on so many cores.
    #[must_use]
    pub fn with_cores(mut self, cores: usize) -> Self {
        self.cores = cores;
        self
    }

    /// Serves at most so many connections at once.
    #[must_use]
    pub fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// Traces.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    /// Counts there.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Logs each request. Its route gets a name of its own, as all proxies of a process log into one place.
    ///
    /// # Panics
    /// When the process has a subscriber of its own.
    #[must_use]
    pub fn with_access_log(mut self) -> Self {
        static LOGGING: AtomicUsize = AtomicUsize::new(1);
        access::catch();
        let number = LOGGING.fetch_add(1, Ordering::Relaxed);
        self.route = format!("{}-{number}", TestProxy::ROUTE);
        self.access_log = true;
        self
    }

    /// Keeps so many requests as evidence.
    #[must_use]
    pub fn with_journal_capacity(mut self, capacity: usize) -> Self {
        self.journal_capacity = capacity;
        self
    }

    /// Lets clients take so long.
    #[must_use]
    pub fn with_client_timeouts(mut self, client_timeouts: ClientTimeouts) -> Self {
        self.client_timeouts = client_timeouts;
        self
    }

    /// Speaks TLS on its listener.
    ///
    /// # Panics
    /// When the files are not good.
    #[must_use]
    pub fn with_tls(mut self, options: ListenerTlsOptions) -> Self {
        let tls = ListenerTls::load(options);
        self.tls = Some(tls.expect("tests give good files"));
        self
    }

    /// Speaks TLS to its upstream so.
    #[must_use]
    pub fn with_upstream_tls(mut self, options: UpstreamTlsOptions) -> Self {
        self.upstream_tls = Some(options);
        self
    }

    /// Gives requests this `Host`.
    #[must_use]
    pub fn with_host(mut self, host: HostField) -> Self {
        self.host = host;
        self
    }

    /// Listens there; on a Unix socket its [`address`](TestProxy::address) means nothing.
    #[must_use]
    pub fn with_listen(mut self, listen: &str) -> Self {
        self.listen = listen.to_owned();
        self
    }

    /// Treats its upstream so.
    #[must_use]
    pub fn with_options(mut self, options: UpstreamOptions) -> Self {
        self.options = options;
        self
    }

    /// Keeps its state there.
    #[must_use]
    pub fn with_state_directory(mut self, directory: &Path) -> Self {
        self.state_directory = Some(directory.to_owned());
        self
    }

    /// Takes a header of the PROXY protocol from each connection.
    #[must_use]
    pub fn with_accept_proxy(mut self) -> Self {
        self.accept_proxy = true;
        self
    }

    /// Looks up names of upstreams so.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn start(self) -> TestProxy {
        let (writer, reader) = store(self.seed);
        let config = GatewayConfig {
            cores: self.cores,
            connections_max: self.connections_max,
            metrics: self.metrics.clone(),
            tracer: self.tracer,
            access_log: self.access_log,
            journal_capacity: self.journal_capacity,
            client_timeouts: self.client_timeouts,
            state_directory: self.state_directory,
            resolver: self.resolver,
            ..GatewayConfig::new(reader)
        };
        let gateway = Gateway::start(config).expect("threads can be made");
        let route = NewRoute {
            name: self.route.clone(),
            listen: ListenAddress::parse(&self.listen).expect("tests give good addresses"),
            upstream: Upstream::parse_with(&self.upstream, self.upstream_tls.as_ref())
                .and_then(|upstream| upstream.with_host(self.host))
                .and_then(|upstream| upstream.with_options(self.options))
                .expect("tests give good upstreams"),
            tls: self.tls,
            enabled: true,
            caller_faults: self.caller_faults.into(),
            accept_proxy: self.accept_proxy,
        };
        let status = gateway
            .handle()
            .add_route(route)
            .expect("loopback has free ports");
        let proxy = TestProxy {
            gateway: Some(gateway),
            route: self.route,
            address: (status.listen.tcp()).unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
            faults: Mutex::new(writer),
            metrics: self.metrics,
        };
        for fault in &self.faults {
            proxy.arm(fault);
        }
        proxy
    }
}

impl fmt::Debug for TestProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestProxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}
