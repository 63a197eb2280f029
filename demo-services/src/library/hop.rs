//! The gate's calls to a book service, under a policy.

use std::sync::Arc;

use arc_swap::ArcSwap;
use brownout_resilience::{
    Attempt, Call, Called, InvalidPolicy, Outcome, Policy, Pushback, Reading,
};
use brownout_telemetry::{Metrics, forward_context};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header::CONTENT_TYPE, uri::Authority};
use http_body_util::Full;

use super::{
    book::Book, book_service::IDEMPOTENCY_KEY, config::LibraryStartError, request::Task,
    service::LibraryService,
};
use crate::{
    config,
    inbound::Inbound,
    stats::UpstreamStats,
    upstream::{
        AttemptError, AttemptSpan, Exchanged, Protection, Transport, UpstreamTally, Watch, describe,
    },
};

/// One way to a book service. All workers of the gate share it, its breaker included.
#[derive(Debug)]
pub(super) struct Hop {
    upstream: LibraryService,
    authority: Authority,
    transport: Transport,
    protection: ArcSwap<Protection>,
    tally: UpstreamTally,
}

/// What a call brought.
#[derive(Debug)]
pub(super) enum Reply {
    /// A book, found or made.
    Book(Book),
    /// Another status than 2xx, with what was said, and what it asks of those who would try again.
    Refused(StatusCode, Bytes, Option<Pushback>),
    /// Nothing usable; the policy wants somebody else asked.
    Fallback,
}

impl Hop {
    /// A way called `name` on the health page, in metrics and in spans.
    pub(super) fn new(
        name: &str,
        (upstream, url): (LibraryService, &str),
        policy: &Policy,
        seed: u64,
        metrics: &Metrics,
        transport: Transport,
    ) -> Result<Self, LibraryStartError> {
        let authority = config::authority(url, &http::uri::Scheme::HTTP);
        let authority = authority.ok_or_else(|| LibraryStartError::InvalidUpstream {
            upstream,
            url: url.to_owned(),
        })?;
        let caller = format!("library_gate_{name}");
        let tally = UpstreamTally::new(&caller, upstream.metric_name(), upstream.path(), metrics);
        let (name, metrics) = (name.to_owned(), metrics.clone());
        // One client for all workers: the gate's breakers are shared.
        let protection = Protection::made(name, seed, metrics, 1, policy);
        Ok(Self {
            upstream,
            authority,
            transport,
            protection: ArcSwap::from_pointee(protection.map_err(LibraryStartError::Policy)?),
            tally,
        })
    }

    /// Makes further calls under this policy. What has not changed in it goes on: an open breaker stays open.
    pub(super) fn protect(&self, policy: &Policy) -> Result<(), InvalidPolicy> {
        let next = self.protection.load().under(policy)?;
        self.protection.store(Arc::new(next));
        Ok(())
    }

    /// What protects it at this moment.
    pub(super) fn protection(&self) -> Arc<Protection> {
        self.protection.load_full()
    }

    pub(super) fn stats(&self) -> (String, UpstreamStats) {
        let protection = self.protection.load();
        let stats = self.tally.stats(protection.policy(), protection.breakers());
        (protection.client(0).name().to_owned(), stats)
    }

    /// Calls. A creation is sent with its key in every attempt.
    pub(super) async fn call(
        &self,
        inbound: &Inbound,
        task: &Task,
        key: Option<&HeaderValue>,
    ) -> Called<Reply, AttemptError> {
        let name = self.upstream.metric_name();
        let mut span = inbound.span.internal(format!("call {name}"));
        let request = self.request(task, key);
        let protection = self.protection();
        let client = protection.client(0);
        let call = Call::method(request.method().as_str())
            .before(inbound.deadline)
            .observed_by(Watch::new(&self.tally, client))
            .or_else(|_| Reply::Fallback);
        let called = client
            .call(call, read, |attempt| {
                self.attempt(attempt, request.clone(), inbound, &span)
            })
            .await;
        protection.note_rate(client);
        describe(&mut span, client, &called.report);
        called
    }

    fn request(&self, task: &Task, key: Option<&HeaderValue>) -> Request<Full<Bytes>> {
        let (method, inside, body) = match task {
            Task::Read(id) => (Method::GET, id.to_string(), None),
            Task::Create(body) => (Method::POST, "create".to_owned(), Some(body)),
            Task::Update(body) => (Method::PUT, "update".to_owned(), Some(body)),
        };
        let mut request = Request::new(body.cloned().map(Full::new).unwrap_or_default());
        *request.method_mut() = method;
        *request.uri_mut() = self.uri(&inside);
        let headers = request.headers_mut();
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(key) = key {
            headers.insert(IDEMPOTENCY_KEY, key.clone());
        }
        request
    }

    fn uri(&self, inside: &str) -> Uri {
        let path = format!("{}/{inside}", self.upstream.path());
        config::at(&http::uri::Scheme::HTTP, self.authority.clone(), &path)
            .expect("words and numbers make a path")
    }

    /// Sends one request, and reads the whole of its answer. As in `upstream`, the span begins at once.
    fn attempt<'a>(
        &'a self,
        attempt: Attempt,
        mut request: Request<Full<Bytes>>,
        inbound: &Inbound,
        call: &brownout_telemetry::Span,
    ) -> impl Future<Output = Result<Reply, AttemptError>> + use<'a> {
        let mut span = AttemptSpan::begin(call, attempt, &request);
        let headers = request.headers_mut();
        if let Some((name, time_left)) = attempt.time_left_header()
            && let Ok(time_left) = HeaderValue::try_from(time_left)
        {
            headers.insert(name, time_left);
        }
        forward_context(&inbound.headers, headers);
        span.inject(headers);

        async move {
            let answered = self.transport.send(request, &mut span).await;
            let result = answered.and_then(|Exchanged { status, asks, body }| {
                if !status.is_success() {
                    return Ok(Reply::Refused(status, body, asks));
                }
                let book = serde_json::from_slice(&body).map_err(AttemptError::Content)?;
                Ok(Reply::Book(book))
            });
            if let Err(error) = &result {
                let error: &dyn std::error::Error = error;
                tracing::debug!(error, upstream = %self.upstream, "an attempt failed");
            }
            span.end(result.as_ref().err());
            result
        }
    }
}

/// What a result means in the words of a policy.
fn read(result: &Result<Reply, AttemptError>) -> Reading {
    match result {
        Ok(Reply::Book(_) | Reply::Fallback) => Outcome::Success.into(),
        Ok(Reply::Refused(status, _, asks)) => Outcome::Status(status.as_u16()).asking(*asks),
        Err(error) => Outcome::Error(error.kind()).into(),
    }
}
