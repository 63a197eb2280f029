//! A route: a listener's name and the upstream behind it, with what is counted on it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use brownout_fault::{Considered, Fault, FaultPlan, Outcome};
use brownout_telemetry::{Counter, Gauge, Histogram, Metrics, SeriesGroup, names};
use http::StatusCode;

use crate::{
    client_io::ClientSocket,
    error::ErrorKind,
    upstream::{Protocol, Upstream},
};

/// What the listeners of a route and the exchanges on it share, across all cores.
#[derive(Debug)]
pub(crate) struct Route {
    name: Arc<str>,
    protocol: Protocol,
    upstream: ArcSwap<Upstream>,
    /// Its series, which end with it: when it is deleted and the last exchange on it is over.
    series: SeriesGroup,
    pub(crate) requests: Total,
    pub(crate) bytes_in: Total,
    pub(crate) bytes_out: Total,
    pub(crate) connections: Open,
    pub(crate) upstream_retries: Counter,
    pub(crate) latency: Histogram,
    pub(crate) upstream_latency: Histogram,
    pub(crate) overhead: Histogram,
    pub(crate) in_flight: Gauge,
    accepted: AtomicU64,
    /// See [`Route::beneath`].
    beneath: AtomicU64,
    /// The open connections of an `http` route, by number.
    clients: Mutex<HashMap<u64, Weak<ClientSocket>>>,
    logs_access: bool,
    /// 1xx to 5xx, then none.
    responses: [Counter; 6],
    errors: [Counter; ErrorKind::ALL.len()],
    /// By kind, made when a kind is first met: most routes never meet most kinds.
    faults: [OnceLock<FaultMetrics>; Fault::NAMES.len()],
}

/// What one route has counted. The series of the same name may be shared with others, as there is a limit to
/// their number, or with a route of the same name that was deleted and still has exchanges.
#[derive(Debug, Clone, Default)]
pub(crate) struct Total {
    own: Counter,
    series: Counter,
}

impl Total {
    fn with(series: Counter) -> Self {
        Self {
            own: Counter::default(),
            series,
        }
    }

    pub(crate) fn add(&self, n: u64) {
        self.own.add(n);
        self.series.add(n);
    }

    /// Since the route was made.
    pub(crate) fn total(&self) -> u64 {
        self.own.total()
    }
}

/// As [`Total`], of what comes and goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open {
    own: Gauge,
    series: Gauge,
}

impl Open {
    fn with(series: Gauge) -> Self {
        Self {
            own: Gauge::default(),
            series,
        }
    }

    pub(crate) fn add(&self, n: i64) {
        self.own.add(n);
        self.series.add(n);
    }

    pub(crate) fn sub(&self, n: i64) {
        self.own.sub(n);
        self.series.sub(n);
    }

    pub(crate) fn value(&self) -> i64 {
        self.own.value()
    }
}

/// What one kind of fault does on one route.
#[derive(Debug)]
pub(crate) struct FaultMetrics {
    pub(crate) matched: Counter,
    pub(crate) injected: Counter,
    pub(crate) skipped: Counter,
    pub(crate) overflow: Counter,
    pub(crate) client_gave_up: Counter,
    pub(crate) delay: Histogram,
    pub(crate) lateness: Histogram,
    pub(crate) active: Gauge,
}

impl Route {
    pub(crate) fn new(
        name: &str,
        upstream: Upstream,
        metrics: &Metrics,
        logs_access: bool,
    ) -> Arc<Self> {
        const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
        let series = metrics.group();
        Arc::new(Self {
            protocol: upstream.protocol(),
            upstream: ArcSwap::from_pointee(upstream),
            requests: Total::with(series.counter(names::PROXY_REQUESTS, &[name])),
            bytes_in: Total::with(series.counter(names::PROXY_BYTES_IN, &[name])),
            bytes_out: Total::with(series.counter(names::PROXY_BYTES_OUT, &[name])),
            connections: Open::with(series.gauge(names::PROXY_CONNECTIONS, &[name])),
            upstream_retries: series.counter(names::PROXY_UPSTREAM_RETRIES, &[name]),
            latency: series.histogram(names::PROXY_LATENCY, &[name]),
            upstream_latency: series.histogram(names::PROXY_UPSTREAM_LATENCY, &[name]),
            overhead: series.histogram(names::PROXY_OVERHEAD, &[name]),
            in_flight: series.gauge(names::PROXY_IN_FLIGHT, &[name]),
            accepted: AtomicU64::new(0),
            beneath: AtomicU64::new(Self::UNTOUCHED),
            clients: Mutex::default(),
            logs_access,
            responses: CLASSES.map(|class| series.counter(names::PROXY_RESPONSES, &[name, class])),
            errors: ErrorKind::ALL
                .map(|kind| series.counter(names::PROXY_ERRORS, &[name, kind.name()])),
            faults: std::array::from_fn(|_| OnceLock::new()),
            name: Arc::from(name),
            series,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it carries; a change of its upstream keeps that.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The mark of a route without a fault beneath its requests.
    pub(crate) const UNTOUCHED: u64 = 0;

    /// A mark that is another whenever the faults that act beneath the requests of the route may be others.
    pub(crate) fn beneath(&self) -> u64 {
        self.beneath.load(Ordering::Acquire)
    }

    /// Takes note of what is armed now. Open connections that may be concerned are woken.
    pub(crate) fn follow(&self, plan: &FaultPlan) {
        let mark = match self.protocol == Protocol::Http && plan.acts_beneath(self.name()) {
            true => plan.revision(),
            false => Self::UNTOUCHED,
        };
        if self.beneath.swap(mark, Ordering::AcqRel) == mark {
            return;
        }
        // Collected first: dropping the last reference to a client takes the lock again.
        let clients: Vec<_> = self.clients().values().filter_map(Weak::upgrade).collect();
        for client in clients {
            client.wake();
        }
    }

    /// Counts a connection, until it is [closed](Self::close).
    pub(crate) fn open(&self, client: &Arc<ClientSocket>) {
        self.connections.add(1);
        self.clients()
            .insert(client.number(), Arc::downgrade(client));
    }

    /// Forgets the connection with this number.
    pub(crate) fn close(&self, number: u64) {
        self.connections.sub(1);
        self.clients().remove(&number);
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<u64, Weak<ClientSocket>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether each request is a line in the log.
    pub(crate) fn logs_access(&self) -> bool {
        self.logs_access
    }

    /// The number of a connection that was just accepted.
    pub(crate) fn next_connection(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn upstream(&self) -> Arc<Upstream> {
        self.upstream.load_full()
    }

    pub(crate) fn set_upstream(&self, upstream: Upstream) {
        self.upstream.store(Arc::new(upstream));
    }

    /// Answers with this status; `None` for exchanges that ended without one.
    pub(crate) fn responses(&self, status: Option<StatusCode>) -> &Counter {
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
        match class {
            1..=5 => &self.responses[class - 1],
            _ => &self.responses[5],
        }
    }

    pub(crate) fn errors(&self, kind: ErrorKind) -> &Counter {
        &self.errors[kind as usize]
    }

    /// Counts what became of faults.
    pub(crate) fn count_outcomes(&self, considered: &[Considered]) {
        for Considered { kind, outcome } in considered {
            let Some(metrics) = self.faults(kind) else {
                continue;
            };
            metrics.matched.add(1);
            match outcome {
                Outcome::Injected => metrics.injected.add(1),
                Outcome::Skipped => metrics.skipped.add(1),
                Outcome::Overflow => metrics.overflow.add(1),
            }
        }
    }

    pub(crate) fn faults(&self, kind: &'static str) -> Option<&FaultMetrics> {
        let index = Fault::NAMES.iter().position(|name| *name == kind)?;
        Some(self.faults[index].get_or_init(|| {
            let tags = &[self.name(), kind];
            FaultMetrics {
                matched: self.series.counter(names::FAULT_MATCHED, tags),
                injected: self.series.counter(names::FAULT_INJECTED, tags),
                skipped: self.series.counter(names::FAULT_SKIPPED, tags),
                overflow: self.series.counter(names::FAULT_OVERFLOW, tags),
                client_gave_up: self.series.counter(names::FAULT_CLIENT_GAVE_UP, tags),
                delay: self.series.histogram(names::FAULT_DELAY, tags),
                lateness: self.series.histogram(names::FAULT_LATENESS, tags),
                active: self.series.gauge(names::FAULT_ACTIVE, tags),
            }
        }))
    }
}
