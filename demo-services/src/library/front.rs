//! The face of a service of the library: which requests it takes, and what it says of the rest and of itself.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Instant};

use brownout_telemetry::{Counter, Metrics, RouteMatch, ServerRequest, Tracer};
use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::{
    gate::Gate,
    request::{self, BookRequest, Resource, Task},
    service::LibraryService,
};
use crate::{
    answer::{self, Answer, Refused},
    front::{Health, stats, wait_in_line},
    inbound::Inbound,
    serving::Face,
    tally::ServiceTally,
    workers::Line,
};

/// A book is far smaller.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What all connections of a service share.
#[derive(Debug)]
pub(super) struct LibraryFront {
    pub(super) service: LibraryService,
    pub(super) workers: usize,
    pub(super) line: Line,
    pub(super) tally: Arc<ServiceTally>,
    pub(super) methods: MethodTally,
    /// None of the book services.
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) tracer: Tracer,
}

/// Requests by method.
#[derive(Debug)]
pub(super) struct MethodTally {
    get: Counter,
    post: Counter,
    put: Counter,
}

impl MethodTally {
    pub(super) fn new(service: LibraryService, metrics: &Metrics) -> Self {
        let name = service.metric_name();
        let counter = |method: &str| metrics.counter_named(format!("{name}.{method}"));
        Self {
            get: counter("get"),
            post: counter("post"),
            put: counter("put"),
        }
    }

    fn of(&self, task: &Task) -> &Counter {
        match task {
            Task::Read(_) => &self.get,
            Task::Create(_) => &self.post,
            Task::Update(_) => &self.put,
        }
    }
}

impl Face for LibraryFront {
    fn name(&self) -> &'static str {
        self.service.as_str()
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        Ok(
            match request::find(self.service, &head.method, head.uri.path()) {
                Ok(Resource::Health) => answer::json(&Health { status: "ok" }),
                Ok(Resource::Stats) => answer::json(&self.stats()),
                Ok(Resource::Actuator) => match &self.gate {
                    Some(gate) => gate.health(),
                    None => answer::problem(StatusCode::NOT_FOUND, "no such resource"),
                },
                Ok(Resource::Books {
                    pattern,
                    gate,
                    task,
                }) => match with_body(task, body).await {
                    Ok(task) => {
                        self.work(head, peer, pattern, BookRequest { gate, task })
                            .await
                    }
                    Err(refused) => refused.into(),
                },
                Err(refusal) => refusal.into(),
            },
        )
    }
}

impl LibraryFront {
    /// Hands a request to the workers and waits for the answer.
    async fn work(
        &self,
        mut head: Parts,
        peer: SocketAddr,
        pattern: &'static str,
        book: BookRequest,
    ) -> Answer {
        let received = Instant::now();
        self.tally.received.count();
        self.methods.of(&book.task).add(1);
        let span = self.tracer.server(&ServerRequest {
            peer: Some(peer),
            route: RouteMatch::Pattern(pattern),
            ..ServerRequest::of_parts(&head)
        });
        self.tracer.restrict(&mut head.headers);
        let inbound = Inbound {
            book: Some(Box::new(book)),
            ..Inbound::arrived(head.headers, span)
        };
        wait_in_line(&self.line, &self.tally, inbound, received).await
    }

    fn stats(&self) -> crate::Stats {
        let ways = self.gate.iter().flat_map(|gate| gate.stats());
        let name = self.service.metric_name();
        stats(name, self.workers, &self.line, &self.tally, ways)
    }
}

/// The task with its body read whole, before it waits for a worker: nobody's slow sending holds one.
async fn with_body(task: Task, body: Incoming) -> Result<Task, Refused> {
    Ok(match task {
        Task::Read(id) => Task::Read(id),
        Task::Create(_) => Task::Create(whole(body).await?),
        Task::Update(_) => Task::Update(whole(body).await?),
    })
}

async fn whole(body: Incoming) -> Result<Bytes, Refused> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a book takes at most 64 KiB",
        )),
        Err(_) => Err(Refused::new(StatusCode::BAD_REQUEST, "the body broke off")),
    }
}
