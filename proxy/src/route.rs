//! A route: a listener's name and the upstream behind it, with what is counted on it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use brownout_fault::{
    CALLER_FIELDS, CallerAsked, CallerFaults, Considered, Fault, FaultPlan, MatchOutcome,
    units::show_duration,
};
use brownout_telemetry::{Counter, Gauge, Histogram, Metrics, SeriesGroup, names};
use futures_util::task::AtomicWaker;

use crate::{
    clock::Times,
    error::ErrorKind,
    http1::{Fields, Refusal},
    proxy_protocol::NoHeader,
    tls::{ServerTls, TlsFailure},
    upstream::{Protocol, ServerFailure, Upstream},
};

/// What the listeners of a route and the exchanges on it share, across all cores.
#[derive(Debug)]
pub(crate) struct Route {
    name: Arc<str>,
    protocol: Protocol,
    upstream: ArcSwap<Upstream>,
    /// How its listener speaks TLS.
    tls: ArcSwapOption<ServerTls>,
    /// See [`Route::reached`].
    reached: Mutex<Option<SocketAddr>>,
    /// Its series, which end with it: when it is deleted and the last exchange on it is over.
    series: SeriesGroup,
    /// What callers may ask for.
    pub(crate) callers: Arc<CallerFaults>,
    /// Requests of which something that they asked for was ignored. Made when the first one comes.
    callers_ignored: OnceLock<Counter>,
    /// Whether connections begin with a header of the PROXY protocol.
    accepts_proxy: AtomicBool,
    pub(crate) requests: Total,
    pub(crate) bytes_in: Total,
    pub(crate) bytes_out: Total,
    pub(crate) connections: Open,
    pub(crate) upstream_retries: Counter,
    latency: Histogram,
    pub(crate) upstream_latency: Histogram,
    pub(crate) overhead: Histogram,
    /// By the parts of [`Times`].
    time: [Histogram; 4],
    pub(crate) in_flight: Open,
    accepted: AtomicU64,
    /// See [`Route::closings`].
    closings: AtomicU64,
    /// See [`Route::stream_mark`].
    stream_mark: AtomicU64,
    /// Wakes the tasks that serve the open connections of an `http` route or with TLS, by number.
    clients: Mutex<HashMap<u64, Arc<AtomicWaker>>>,
    /// When it was last said that clients speak another protocol, by protocol.
    warned_at: Mutex<HashMap<&'static str, Instant>>,
    /// By reason, made when a request is first refused for it.
    refused: Mutex<HashMap<&'static str, Counter>>,
    logs_access: bool,
    /// 1xx to 5xx, then none.
    responses: [Counter; 6],
    errors: [Counter; ErrorKind::USUAL.len()],
    /// Of TLS, by cause, made when one is first met.
    tls_errors: Mutex<HashMap<&'static str, Counter>>,
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
        callers: Arc<CallerFaults>,
    ) -> Arc<Self> {
        const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
        let series = metrics.group();
        Arc::new(Self {
            protocol: upstream.protocol(),
            upstream: ArcSwap::from_pointee(upstream),
            tls: ArcSwapOption::empty(),
            reached: Mutex::default(),
            callers,
            callers_ignored: OnceLock::new(),
            accepts_proxy: AtomicBool::new(false),
            requests: Total::with(series.counter(names::PROXY_REQUESTS, &[name])),
            bytes_in: Total::with(series.counter(names::PROXY_BYTES_IN, &[name])),
            bytes_out: Total::with(series.counter(names::PROXY_BYTES_OUT, &[name])),
            connections: Open::with(series.gauge(names::PROXY_CONNECTIONS, &[name])),
            upstream_retries: series.counter(names::PROXY_UPSTREAM_RETRIES, &[name]),
            latency: series.histogram(names::PROXY_LATENCY, &[name]),
            upstream_latency: series.histogram(names::PROXY_UPSTREAM_LATENCY, &[name]),
            overhead: series.histogram(names::PROXY_OVERHEAD, &[name]),
            time: Times::PARTS.map(|part| series.histogram(names::PROXY_TIME, &[name, part])),
            in_flight: Open::with(series.gauge(names::PROXY_IN_FLIGHT, &[name])),
            accepted: AtomicU64::new(0),
            closings: AtomicU64::new(0),
            stream_mark: AtomicU64::new(Self::NO_STREAM_FAULT),
            clients: Mutex::default(),
            warned_at: Mutex::default(),
            refused: Mutex::default(),
            logs_access,
            responses: CLASSES.map(|class| series.counter(names::PROXY_RESPONSES, &[name, class])),
            tls_errors: Mutex::default(),
            errors: ErrorKind::USUAL
                .map(|kind| series.counter(names::PROXY_ERRORS, &[name, kind.name()])),
            faults: std::array::from_fn(|_| OnceLock::new()),
            name: Arc::from(name),
            series,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its name, to be kept by others.
    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it carries; a change of its upstream keeps that.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The mark of a route on which no fault of the stream layer is armed.
    pub(crate) const NO_STREAM_FAULT: u64 = 0;

    /// A mark that is another whenever the faults of the stream layer that act on connections of the route may be others.
    pub(crate) fn stream_mark(&self) -> u64 {
        self.stream_mark.load(Ordering::Acquire)
    }

    /// Takes note of what is armed now. Tasks of open connections that may be concerned are woken.
    pub(crate) fn follow(&self, plan: &FaultPlan) {
        let acts = match self.protocol {
            Protocol::Http => plan.acts_beneath(self.name()),
            // Connections without TLS look at the plan themselves, and not at this mark.
            Protocol::Tcp => plan.acts_on_bytes(self.name()),
        };
        let mark = match acts {
            true => plan.revision(),
            false => Self::NO_STREAM_FAULT,
        };
        if self.stream_mark.swap(mark, Ordering::AcqRel) == mark {
            return;
        }
        self.wake_connections();
    }

    /// How often it was [closed](Self::closes). A connection looks at its token only when that has changed: the token has a lock.
    pub(crate) fn closings(&self) -> u64 {
        self.closings.load(Ordering::Acquire)
    }

    /// Tells its open connections, whose token is cancelled, that it closes.
    pub(crate) fn closes(&self) {
        self.closings.fetch_add(1, Ordering::Release);
        self.wake_connections();
    }

    /// Wakes the tasks of all open connections.
    fn wake_connections(&self) {
        for client in self.clients().values() {
            client.wake();
        }
    }

    /// Counts a connection, until it is [closed](Self::close). Gives what wakes its task.
    pub(crate) fn open(&self, number: u64) -> Arc<AtomicWaker> {
        let waker = Arc::<AtomicWaker>::default();
        self.connections.add(1);
        self.clients().insert(number, Arc::clone(&waker));
        waker
    }

    /// Forgets the connection with this number.
    pub(crate) fn close(&self, number: u64) {
        self.connections.sub(1);
        self.clients().remove(&number);
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<u64, Arc<AtomicWaker>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that were refused for this reason, before they became an exchange.
    pub(crate) fn refused(&self, why: &'static str) -> Counter {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = refused.entry(why).or_insert_with(|| {
            self.series
                .counter(names::PROXY_REFUSED, &[self.name(), why])
        });
        counter.clone()
    }

    /// Says in the log, once a minute at most for each protocol, that clients speak another protocol than the route.
    pub(crate) fn warn_of_protocol(&self, refusal: &Refusal) {
        let of_protocol = [Refusal::TLS, Refusal::PLAIN_HTTP, Refusal::HTTP2];
        if of_protocol.contains(refusal) {
            self.warn_of(refusal.why, refusal.detail);
        }
    }

    /// Counts a client with whom no TLS connection came about, and says so in the log, once a minute at most for each cause.
    pub(crate) fn tls_failed(&self, failure: &TlsFailure) {
        self.refused(failure.cause.name()).add(1);
        self.warn_of(failure.cause.name(), &format!("with a client: {failure}"));
    }

    /// Counts a server of several that cannot be connected to, and says so in the log, once a minute at most.
    pub(crate) fn server_failed(&self, server: &Upstream, failure: &ServerFailure<'_>) {
        let server = server.shown();
        let failures = [self.name(), &server];
        (self.series.counter(names::PROXY_SERVER_FAILURES, &failures)).add(1);
        self.warn_of("server", &format!("the server {server} {failure}"));
    }

    /// Whether connections that are accepted now begin with a header of the PROXY protocol.
    pub(crate) fn accepts_proxy(&self) -> bool {
        self.accepts_proxy.load(Ordering::Relaxed)
    }

    pub(crate) fn set_accepts_proxy(&self, accepts: bool) {
        self.accepts_proxy.store(accepts, Ordering::Relaxed);
    }

    /// Counts a connection that did not begin with a header of the PROXY protocol, and says so in the log, once a minute at
    /// most for each cause.
    pub(crate) fn no_proxy_header(&self, peer: SocketAddr, error: &NoHeader) {
        const BAD: &str = "proxy_header";
        const LATE: &str = "proxy_header_timeout";
        let (why, detail) = match error {
            NoHeader::Bad(why) => (BAD, format!("was closed, as {why}")),
            NoHeader::Late(limit) => {
                let limit = show_duration(*limit);
                (
                    LATE,
                    format!("was closed, as it sent no header within {limit}"),
                )
            }
            NoHeader::Left => return,
        };
        self.refused(why).add(1);
        let detail = format!("a connection of {peer} to `accept_proxy` {detail}");
        self.warn_of(why, &detail);
    }

    fn warn_of(&self, why: &'static str, detail: &str) {
        const AGAIN_AFTER: Duration = Duration::from_secs(60);
        let mut warned_at = self
            .warned_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = warned_at.get(why);
        if last.is_none_or(|at| now.saturating_duration_since(*at) >= AGAIN_AFTER) {
            warned_at.insert(why, now);
            tracing::warn!(route = self.name(), "{detail}");
        }
    }

    /// Takes away the fields by which a request asks for faults, and counts it if something in them was ignored.
    pub(crate) fn take_over(&self, asked: CallerAsked, fields: &mut Fields) {
        if asked.has_fields {
            for name in CALLER_FIELDS {
                fields.remove(name);
            }
        }
        if asked.was_ignored {
            let ignored = self.callers_ignored.get_or_init(|| {
                self.series
                    .counter(names::FAULT_CALLER_IGNORED, &[self.name()])
            });
            ignored.add(1);
        }
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
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How its listener speaks TLS with those who connect now.
    pub(crate) fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.load_full()
    }

    pub(crate) fn set_tls(&self, tls: Option<Arc<ServerTls>>) {
        self.tls.store(tls);
    }

    /// Where its upstream was when it was connected to last, if it has a name.
    pub(crate) fn reached(&self) -> Option<SocketAddr> {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where its upstream is.
    pub(crate) fn reaches(&self, upstream: &Upstream, address: SocketAddr) {
        if upstream.address().is_none() {
            *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        }
    }

    /// Answers with this status; `None` for exchanges that ended without one.
    pub(crate) fn responses(&self, status: Option<u16>) -> &Counter {
        let class = status.map_or(0, |status| usize::from(status / 100));
        match class {
            1..=5 => &self.responses[class - 1],
            _ => &self.responses[5],
        }
    }

    /// Records whom the time of an exchange was spent on. A part that took none is left out.
    pub(crate) fn record_times(&self, times: &Times) {
        self.latency.record(times.whole);
        for (histogram, spent) in self.time.iter().zip(times.parts()) {
            if !spent.is_zero() {
                histogram.record(spent);
            }
        }
    }

    pub(crate) fn errors(&self, kind: ErrorKind) -> Counter {
        if let Some(at) = ErrorKind::USUAL.iter().position(|usual| *usual == kind) {
            return self.errors[at].clone();
        }
        let mut errors = (self.tls_errors.lock()).unwrap_or_else(PoisonError::into_inner);
        let counter = errors.entry(kind.name()).or_insert_with(|| {
            self.series
                .counter(names::PROXY_ERRORS, &[self.name(), kind.name()])
        });
        counter.clone()
    }

    /// Counts what became of faults.
    pub(crate) fn count_outcomes(&self, considered: &[Considered]) {
        for Considered { kind, outcome } in considered {
            let Some(metrics) = self.faults(kind) else {
                continue;
            };
            metrics.matched.add(1);
            match outcome {
                MatchOutcome::Injected => metrics.injected.add(1),
                MatchOutcome::Skipped => metrics.skipped.add(1),
                MatchOutcome::Overflow => metrics.overflow.add(1),
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
