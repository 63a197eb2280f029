//! What the API's calls work on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use brownout_fault::{
    FaultSpec, FaultWriter, Moment, Routes,
    read::{Problem, nearest},
};
use brownout_proxy::{GatewayHandle, Protocol, RouteStatus};
use brownout_telemetry::{Counter, Metrics, names};
use serde_json::Value;
use tokio::{sync::Notify, time::sleep_until};

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
    metrics: Metrics,
    fault_changes: Counter,
}

impl Control {
    pub(crate) fn new(
        faults: FaultWriter,
        gateway: GatewayHandle,
        guard: Guard,
        metrics: Metrics,
    ) -> Self {
        Self {
            faults: Mutex::new(faults),
            gateway,
            guard,
            locked_until: Mutex::default(),
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
            fault_changes: metrics.counter(names::CONTROL_FAULT_CHANGES, &[]),
            metrics,
        }
    }

    /// What is armed, to look at.
    pub(crate) fn faults(&self) -> MutexGuard<'_, FaultWriter> {
        // Every change of the store is whole, so a panic elsewhere leaves nothing half done.
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is armed, to change it.
    pub(crate) fn change(&self) -> MutexGuard<'_, FaultWriter> {
        self.fault_changes.add(1);
        self.changed.notify_one();
        self.faults()
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
            let (gone, next) = self.faults().expire(Instant::now());
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

    /// Serves a call and counts it.
    pub(crate) async fn count(&self, request: Request, next: Next) -> Response {
        let method = request.method().clone();
        let path = request
            .extensions()
            .get::<MatchedPath>()
            .map(|path| path.as_str().to_owned());
        let began = Instant::now();
        let response = next.run(request).await;
        // By pattern, never by path: ids would make a series each, and so would methods that somebody made up.
        let tags = &[known(&method), path.as_deref().unwrap_or("unknown")];
        self.metrics.counter(names::CONTROL_REQUESTS, tags).add(1);
        self.metrics
            .histogram(names::CONTROL_LATENCY, tags)
            .record(began.elapsed());
        response
    }
}

/// Checks that a fault can act on a route. The problem has no place when it is the route itself.
fn cannot_carry(route: &RouteStatus, spec: &FaultSpec) -> Result<(), Problem> {
    let (check, carries) = match route.protocol {
        Protocol::Http => (spec.check_request(), "requests (http)"),
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
