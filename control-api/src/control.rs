//! What the API's calls work on.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request},
    http::{Method, request::Parts},
    middleware::Next,
    response::Response,
};
use brownout_fault::{
    FaultSpec, FaultWriter, Moment, Origin, Routes,
    read::{Problem, nearest},
};
use brownout_proxy::{GatewayHandle, Protocol, RouteStatus};
use brownout_telemetry::{
    Counter, Gauge, Metrics, RouteMatch, ServerRequest, Span, SpanLink, Tracer, names,
};
use serde_json::Value;
use tokio::{sync::Notify, time::sleep_until};
use tracing::Instrument;

use crate::{auth::Guard, problem::Refusal};

/// The state behind the API.
#[derive(Debug)]
pub(crate) struct Control {
    faults: Mutex<FaultWriter>,
    pub(crate) gateway: GatewayHandle,
    pub(crate) guard: Guard,
    /// Until when nothing may be armed.
    locked_until: Mutex<Option<Instant>>,
    /// Whether the process is about to end.
    stopping: AtomicBool,
    /// Rung when what is armed has changed, so that the next expiry may be another.
    changed: Notify,
    pub(crate) metrics: Metrics,
    tracer: Tracer,
    fault_changes: Counter,
    revision: Gauge,
}

impl Control {
    pub(crate) fn new(
        faults: FaultWriter,
        gateway: GatewayHandle,
        guard: Guard,
        metrics: Metrics,
        tracer: Tracer,
    ) -> Self {
        Self {
            faults: Mutex::new(faults),
            gateway,
            guard,
            locked_until: Mutex::default(),
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
            fault_changes: metrics.counter(names::CONTROL_FAULT_CHANGES, &[]),
            revision: metrics.gauge(names::CONTROL_REVISION, &[]),
            metrics,
            tracer,
        }
    }

    /// What is armed, to look at.
    pub(crate) fn faults(&self) -> MutexGuard<'_, FaultWriter> {
        // Every change of the store is whole, so a panic elsewhere leaves nothing half done.
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is armed, to change it.
    pub(crate) fn change(&self) -> MutexGuard<'_, FaultWriter> {
        self.change_for(Caller::default())
    }

    /// As [`change`](Self::change), on behalf of a call that what it arms shall be traced back to.
    pub(crate) fn change_for(&self, caller: Caller) -> MutexGuard<'_, FaultWriter> {
        self.fault_changes.add(1);
        self.changed.notify_one();
        let mut faults = self.faults();
        faults.on_behalf_of(caller.0);
        faults
    }

    /// From now on nothing may be armed.
    pub(crate) fn stop_arming(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Refuses while arming is locked, and for good when the process is about to end.
    pub(crate) fn check_lock(&self) -> Result<(), Refusal> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Refusal::ShuttingDown);
        }
        let locked = self.lock();
        let rest = locked.and_then(|until| until.checked_duration_since(Instant::now()));
        match rest {
            Some(rest) if !rest.is_zero() => Err(Refusal::Locked(rest)),
            _ => Ok(()),
        }
    }

    pub(crate) fn lock_until(&self, until: Instant) {
        *self.lock() = Some(until);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.locked_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One problem for each route that a fault names and that is not there, or cannot carry it.
    pub(crate) fn unfit_routes(&self, spec: &FaultSpec) -> Vec<Problem> {
        let Routes::Named(names) = &spec.route else {
            return Vec::new();
        };
        self.problems_of(names, |route| cannot_carry(route, spec).err())
    }

    /// One problem for each route that is named and not there, of a fault that cannot be read otherwise.
    pub(crate) fn unknown_routes(&self, fault: &Value) -> Vec<Problem> {
        match fault.get("route").map(Routes::read) {
            Some(Ok(Routes::Named(names))) => self.problems_of(&names, |_| None),
            Some(Ok(Routes::All) | Err(_)) | None => Vec::new(),
        }
    }

    /// One problem for each of `names` that is no route, or that `unfit` finds one with.
    fn problems_of(
        &self,
        names: &[String],
        unfit: impl Fn(&RouteStatus) -> Option<Problem>,
    ) -> Vec<Problem> {
        let routes = self.gateway.routes();
        let known: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        let problem = |name: &str| match routes.iter().find(|route| route.name == name) {
            Some(route) => unfit(route),
            None => Some(Problem::here(match nearest(name, &known) {
                Some(near) => format!("there is no route `{name}`; did you mean `{near}`?"),
                None if known.is_empty() => {
                    format!("there is no route `{name}`; make one with POST /routes")
                }
                None => format!("there is no route `{name}`; there are {}", known.join(", ")),
            })),
        };
        let placed = |(index, problem): (usize, Problem)| {
            if !problem.pointer.is_empty() {
                return problem; // A field that does not go with the route.
            }
            let problem = if names.len() > 1 {
                problem.under(&index.to_string())
            } else {
                problem
            };
            problem.under("route")
        };
        let problems = names.iter().map(|name| problem(name)).enumerate();
        problems
            .filter_map(|(index, problem)| Some((index, problem?)))
            .map(placed)
            .collect()
    }

    /// Forgets faults when their ttl is over, for ever: the one timer for all of them.
    pub(crate) async fn expire(&self) {
        loop {
            let (gone, next) = {
                let mut faults = self.faults();
                let expired = faults.expire(Instant::now());
                self.note_revision(&faults);
                expired
            };
            for id in gone {
                tracing::info!(id, "a fault expired");
            }
            match next {
                None => self.changed.notified().await,
                Some(next) => tokio::select! {
                    () = sleep_until(next.into()) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    /// Serves a call, counts it and traces it.
    pub(crate) async fn count(&self, mut request: Request, next: Next) -> Response {
        let method = request.method().clone();
        let path = request
            .extensions()
            .get::<MatchedPath>()
            .map(|path| path.as_str().to_owned());
        let began = Instant::now();
        let mut span = self.span(&request, path.as_deref());
        request.extensions_mut().insert(Caller::of(&span));
        let response = next.run(request).instrument(in_logs(&span)).await;
        span.status_code(response.status().as_u16());
        span.end();
        self.note_revision(&self.faults());
        // By pattern, never by path: ids would make a series each, and so would methods that somebody made up.
        let tags = &[known(&method), path.as_deref().unwrap_or("unknown")];
        self.metrics.counter(names::CONTROL_REQUESTS, tags).add(1);
        self.metrics
            .histogram(names::CONTROL_LATENCY, tags)
            .record(began.elapsed());
        response
    }
}

impl Control {
    fn note_revision(&self, faults: &FaultWriter) {
        let revision = i64::try_from(faults.revision()).unwrap_or(i64::MAX);
        self.revision.set(revision);
    }

    /// The span of a call; none for those that only ask, over and over, whether we are there.
    fn span(&self, request: &Request, path: Option<&str>) -> Span {
        if matches!(path, Some("/healthz" | "/metrics")) {
            return Span::none();
        }
        self.tracer.server(&ServerRequest {
            route: path.map_or(RouteMatch::Unmatched, RouteMatch::Pattern),
            ..ServerRequest::of(request)
        })
    }
}

/// What every line that is logged during a call says of it.
fn in_logs(span: &Span) -> tracing::Span {
    match (span.trace_id(), span.span_id()) {
        (Some(trace_id), Some(span_id)) => {
            // At the level of what is logged by default, or it would be left out.
            tracing::warn_span!("call", %trace_id, %span_id)
        }
        _ => tracing::Span::none(),
    }
}

/// The call on whose behalf something is done, if it is traced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Caller(Option<Origin>);

impl Caller {
    fn of(span: &Span) -> Self {
        let origin = |link: SpanLink| Origin {
            trace_id: link.trace_id.to_bytes(),
            span_id: link.span_id.to_bytes(),
        };
        Self(span.link().map(origin))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Checks that a fault can act on a route. The problem has no place when it is the route itself.
fn cannot_carry(route: &RouteStatus, spec: &FaultSpec) -> Result<(), Problem> {
    let (check, carries) = match route.protocol {
        Protocol::Http => (spec.check_http(), "requests (http)"),
        Protocol::Tcp => (spec.check_stream(), "bytes (tcp)"),
    };
    check.map_err(|problem| match problem.pointer.as_str() {
        "" => {
            let name = &route.name;
            Problem::here(format!(
                "{}, and the route `{name}` carries {carries}",
                problem.detail
            ))
        }
        _ => problem,
    })
}

/// The method's name, or `_OTHER` for one that no HTTP specification knows.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS => method.as_str(),
        _ => "_OTHER",
    }
}

/// The time of a call.
pub(crate) fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}

/// The state as axum hands it to handlers.
pub(crate) type Shared = Arc<Control>;
