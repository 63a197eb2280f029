//! The face of a service: which requests it takes, and what it says of the rest and of itself.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Instant};

use brownout_telemetry::{RouteMatch, ServerRequest, Tracer};
use http::{Method, Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use serde::Serialize;

use crate::{
    actuator,
    answer::{self, Answer},
    inbound::Inbound,
    service::Service,
    serving::Face,
    settings::{Change, Settings},
    stats::{Stats, UpstreamStats},
    tally::ServiceTally,
    upstream::Upstream,
    workers::Line,
};

/// A policy file is far shorter.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What all connections of a service share.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) service: Service,
    pub(crate) workers: usize,
    pub(crate) line: Line,
    pub(crate) tally: Arc<ServiceTally>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tracer: Tracer,
}

impl Face for Front {
    fn name(&self) -> &'static str {
        self.service.as_str()
    }

    /// Answers a request. No resource but the settings takes content, so what is sent of it is left unread.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        let resource = match head.uri.path() {
            "/healthz" => Resource::Health,
            "/stats" => Resource::Stats,
            "/settings" if !self.upstreams.is_empty() => {
                return Ok(self.settings(&head.method, body).await);
            }
            "/actuator/health" => Resource::Actuator(actuator::health),
            "/actuator/circuitbreakerevents" => Resource::Actuator(actuator::events),
            path if path == self.service.path() => Resource::Work,
            _ => return Ok(answer::problem(StatusCode::NOT_FOUND, "no such resource")),
        };
        let wanted = match resource {
            Resource::Health | Resource::Stats | Resource::Actuator(_) => Method::GET,
            Resource::Work => self.service.method(),
        };
        let is_head = wanted == Method::GET && head.method == Method::HEAD;
        if head.method != wanted && !is_head {
            let allowed = if wanted == Method::GET {
                "GET, HEAD"
            } else {
                "POST"
            };
            return Ok(answer::method_not_allowed(allowed));
        }
        Ok(match resource {
            Resource::Health => answer::json(&Health { status: "ok" }),
            Resource::Stats => answer::json(&self.stats()),
            Resource::Actuator(page) => page(&self.upstreams),
            Resource::Work => self.work(head, peer).await,
        })
    }
}

impl Front {
    /// Hands a request to the workers and waits for the answer, or tells that there is no room.
    ///
    /// Dropped, as when the caller leaves, it ends nothing: the request goes on.
    async fn work(&self, mut head: Parts, peer: SocketAddr) -> Answer {
        let received = Instant::now();
        self.tally.received.count();
        let span = self.tracer.server(&ServerRequest {
            peer: Some(peer),
            route: RouteMatch::Pattern(self.service.path()),
            ..ServerRequest::of_parts(&head)
        });
        self.tracer.restrict(&mut head.headers);
        let inbound = Inbound::arrived(head.headers, span);
        wait_in_line(&self.line, &self.tally, inbound, received).await
    }

    /// Shows the policy, or changes it and shows the new one.
    async fn settings<B>(&self, method: &Method, body: B) -> Answer
    where
        B: Body<Error: Into<BoxError>>,
    {
        let change = match *method {
            Method::GET | Method::HEAD => return answer::json(&self.settings.shown()),
            Method::PUT => Change::Replace,
            Method::PATCH => Change::Merge,
            _ => return answer::method_not_allowed("GET, HEAD, PUT, PATCH"),
        };
        let Ok(body) = Limited::new(body, SETTINGS_BYTES_MAX).collect().await else {
            let detail = "the body is longer than 64 KiB, or broke off";
            return answer::problem(StatusCode::BAD_REQUEST, detail);
        };
        match self.settings.change(change, &body.to_bytes()) {
            Ok(()) => answer::json(&self.settings.shown()),
            Err(why) => answer::problem(StatusCode::BAD_REQUEST, &why),
        }
    }

    fn stats(&self) -> Stats {
        let upstreams = self.upstreams.iter();
        let upstreams = upstreams.map(|it| (it.name().to_owned(), it.stats()));
        let name = self.service.metric_name();
        stats(name, self.workers, &self.line, &self.tally, upstreams)
    }
}

/// What can be asked for.
enum Resource {
    Health,
    Stats,
    /// A page about the upstreams.
    Actuator(fn(&[Arc<Upstream>]) -> Answer),
    Work,
}

/// The body of `GET /healthz`.
#[derive(Serialize)]
pub(crate) struct Health {
    pub(crate) status: &'static str,
}

/// Hands a request to the workers and waits for the answer, or tells that there is no room.
pub(crate) async fn wait_in_line(
    line: &Line,
    tally: &ServiceTally,
    inbound: Inbound,
    received: Instant,
) -> Answer {
    match line.join(inbound, received) {
        Ok(answer) => answer
            .await
            .unwrap_or_else(|_| unavailable("the service is shutting down")),
        Err(mut inbound) => {
            let answer = unavailable("all workers are busy and the queue is full");
            tally.shed.add(1);
            tally.responded(answer.status(), received.elapsed());
            inbound.span.status_code(answer.status().as_u16());
            answer
        }
    }
}

/// The account of a service of so many workers.
pub(crate) fn stats(
    service: &str,
    workers: usize,
    line: &Line,
    tally: &ServiceTally,
    upstreams: impl Iterator<Item = (String, UpstreamStats)>,
) -> Stats {
    // Read first: what has been taken since looks queued for a moment, never gone.
    let running = u64::try_from(tally.running.value()).unwrap_or(0);
    let taken = line.taken() as u64;
    Stats {
        service: service.to_owned(),
        workers: workers as u64,
        received: tally.received.total(),
        answered: tally.answered.total(),
        abandoned: tally.abandoned.total(),
        shed: tally.shed.total(),
        expired: tally.expired.total(),
        queued: taken.saturating_sub(running),
        running,
        upstreams: upstreams.collect(),
    }
}

fn unavailable(detail: &str) -> Answer {
    answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail)
}
