//! Calls to an upstream: the one way out of a service, under its policy.
//!
//! An [`Upstream`] belongs to a service and is shared by its workers; each worker calls through an [`UpstreamClient`]
//! of its own, with its own draws and, if the policy says so, its own breaker. This is the "API gateway" of the
//! original: whatever protects the service from the upstream is here, and the services know nothing of it.

mod attempt;
mod breakers;
mod protection;
mod tally;
mod transport;

use std::sync::Arc;

use arc_swap::ArcSwap;
use brownout_resilience::{
    Answer, Attempt, Call, CallError, Client, Fallback, InvalidPolicy, NoFallback, Outcome, Policy,
    Pushback, Reading, Report,
};
use brownout_telemetry::{Span, forward_context, names::attr};
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH},
};
use http_body_util::Full;
use serde::de::DeserializeOwned;

pub(crate) use self::{
    attempt::AttemptSpan,
    protection::Protection,
    tally::{UpstreamTally, Watch},
    transport::{AttemptError, Exchanged, Transport},
};
use crate::{
    config::{ServiceConfig, StartError},
    inbound::Inbound,
    service::Service,
    stats::UpstreamStats,
};

/// A service's side of one upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    upstream: Service,
    method: Method,
    target: Uri,
    transport: Transport,
    /// Changed as a whole when the policy does. A call keeps to the end what it began with.
    protection: ArcSwap<Protection>,
    tally: UpstreamTally,
}

/// One worker's way to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamClient {
    upstream: Arc<Upstream>,
    worker: usize,
}

/// What a call brought.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// The content of a 2xx.
    Content(T),
    /// Another status, and what it asks of those who would try again.
    Refused(StatusCode, Option<Pushback>),
    /// Nothing usable; the policy wants it done without.
    Fallback,
}

impl Upstream {
    pub(crate) fn new(
        config: &ServiceConfig,
        upstream: Service,
        transport: Transport,
    ) -> Result<Self, StartError> {
        let target = config.target(upstream)?;
        let caller = config.service.metric_name();
        // Names its breaker in metrics and spans, where the breakers of all services meet.
        let name = format!("{caller}-{}", upstream.metric_name());
        let protection = Protection::new(name, config).map_err(StartError::Policy)?;
        Ok(Self {
            upstream,
            method: upstream.method(),
            target,
            transport,
            protection: ArcSwap::from_pointee(protection),
            tally: UpstreamTally::new(
                caller,
                upstream.metric_name(),
                upstream.path(),
                &config.metrics,
            ),
        })
    }

    /// Makes further calls under this policy. What has not changed in it goes on: an open breaker stays open.
    pub(crate) fn protect(&self, policy: &Policy) -> Result<(), InvalidPolicy> {
        let next = self.protection.load().under(policy)?;
        self.protection.store(Arc::new(next));
        Ok(())
    }

    pub(crate) fn name(&self) -> &'static str {
        self.upstream.metric_name()
    }

    pub(crate) fn stats(&self) -> UpstreamStats {
        let protection = self.protection.load();
        self.tally.stats(protection.policy(), protection.breakers())
    }

    /// What protects it at this moment.
    pub(crate) fn protection(&self) -> Arc<Protection> {
        self.protection.load_full()
    }

    /// Sends one request, and reads the whole of its answer.
    ///
    /// The span begins at once, not when the future is first polled: before the time limit, so that it can tell when
    /// that has passed.
    fn attempt<'a, T: DeserializeOwned>(
        &'a self,
        attempt: Attempt,
        inbound: &Inbound,
        call: &Span,
    ) -> impl Future<Output = Result<Reply<T>, AttemptError>> + use<'a, T> {
        let mut request = Request::new(Full::default());
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.target);
        let mut span = AttemptSpan::begin(call, attempt, &request);
        let headers = request.headers_mut();
        if let Some(token) = inbound.token() {
            headers.insert(AUTHORIZATION, token.clone());
        }
        if self.method == Method::POST {
            // hyper says nothing of content that there is none of; servers may want to know (RFC 9110 §8.6).
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some((name, time_left)) = attempt.time_left_header()
            && let Ok(time_left) = HeaderValue::try_from(time_left)
        {
            headers.insert(name, time_left);
        }
        forward_context(&inbound.headers, headers);
        span.inject(headers);

        async move {
            let result = self.transport.exchange(request, &mut span).await;
            if let Err(error) = &result {
                let error: &dyn std::error::Error = error;
                tracing::debug!(error, upstream = self.name(), "an attempt failed");
            }
            span.end(result.as_ref().err());
            result
        }
    }
}

impl UpstreamClient {
    pub(crate) fn new(upstream: &Arc<Upstream>, worker: usize) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            worker,
        }
    }

    /// Calls, with nothing to fall back to: a failure stays one, whatever the policy says.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        inbound: &Inbound,
    ) -> Result<Reply<T>, CallError<AttemptError>> {
        self.run(inbound, NoFallback).await
    }

    /// Calls, and does without if the policy says so.
    pub(crate) async fn call_or_fall_back<T: DeserializeOwned>(
        &self,
        inbound: &Inbound,
    ) -> Result<Reply<T>, CallError<AttemptError>> {
        self.run(inbound, |_| Reply::Fallback).await
    }

    async fn run<T: DeserializeOwned>(
        &self,
        inbound: &Inbound,
        fallback: impl Fallback<Reply<T>>,
    ) -> Result<Reply<T>, CallError<AttemptError>> {
        let upstream = &*self.upstream;
        let protection = upstream.protection.load_full();
        let client = protection.client(self.worker);
        let mut span = inbound.span.internal(format!("call {}", upstream.name()));
        let call = Call::method(upstream.method.as_str())
            .before(inbound.deadline)
            .observed_by(Watch::new(&upstream.tally, client))
            .falling_back(fallback);
        let called = client
            .call(call, read, |attempt| {
                upstream.attempt(attempt, inbound, &span)
            })
            .await;
        protection.note_rate(client);
        describe(&mut span, client, &called.report);
        called.result
    }
}

/// What a result means in the words of a policy.
fn read<T>(result: &Result<Reply<T>, AttemptError>) -> Reading {
    match result {
        Ok(Reply::Content(_) | Reply::Fallback) => Outcome::Success.into(),
        Ok(Reply::Refused(status, asks)) => Outcome::Status(status.as_u16()).asking(*asks),
        Err(error) => Outcome::Error(error.kind()).into(),
    }
}

/// Says on a call's span how it went. What was made good is no error of the whole.
pub(crate) fn describe(span: &mut Span, client: &Client, report: &Report) {
    if !span.is_recording() {
        return;
    }
    span.set_str(attr::RESILIENCE_POLICY, &client.policy().name);
    span.set_str(attr::RESILIENCE_OUTCOME, report.answer.as_str());
    let requests = report.attempts + report.hedges;
    span.set_int(attr::RESILIENCE_ATTEMPTS, requests.into());
    if let Some(state) = report.breaker {
        span.set_str(attr::CIRCUITBREAKER_NAME, client.name());
        span.set_str(attr::CIRCUITBREAKER_STATE, state.as_str());
    }
    let Some(cause) = report.cause else { return };
    let cause = cause.to_string();
    if report.answer == Answer::Fallback {
        span.set_bool(attr::FALLBACK_USED, true);
        span.set_str(attr::FALLBACK_REASON, &cause);
    } else {
        span.error(&cause, "");
    }
}
