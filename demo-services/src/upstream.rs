//! Calls to an upstream: the one way out of a service, under its policy.
//!
//! An [`Upstream`] belongs to a service and is shared by its workers; each worker calls through an [`UpstreamClient`]
//! of its own, with its own draws and, if the policy says so, its own breaker. This is the "API gateway" of the
//! original: whatever protects the service from the upstream is here, and the services know nothing of it.

mod attempt;
mod breakers;
mod tally;
mod transport;

use std::sync::Arc;

use brownout_resilience::{
    Answer, Attempt, Call, CallError, Client, Fallback, Outcome, Report, Setup,
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
    breakers::BreakerTally,
    tally::{UpstreamTally, Watch},
    transport::{AttemptError, Transport},
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
    /// One for each worker, on one breaker or on breakers of their own.
    clients: Vec<Client>,
    tally: UpstreamTally,
    breakers: Option<Arc<BreakerTally>>,
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
    /// Another status.
    Refused(StatusCode),
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
        let mut setup = Setup::seeded(config.seed);
        let breakers = config
            .policy
            .breaker
            .as_ref()
            .map(|policy| BreakerTally::new(&name, policy, config.workers, &config.metrics));
        let breakers = breakers.map(Arc::new);
        if let Some(breakers) = &breakers {
            let breakers = Arc::clone(breakers);
            setup = setup.listening(move |event| breakers.hear(event));
        }
        let client =
            Client::new(&name, config.policy.clone(), setup).map_err(StartError::Policy)?;
        Ok(Self {
            upstream,
            method: upstream.method(),
            target,
            transport,
            clients: (0..config.workers as u64)
                .map(|worker| client.for_worker(worker))
                .collect(),
            tally: UpstreamTally::new(
                caller,
                upstream.metric_name(),
                upstream.path(),
                &config.metrics,
            ),
            breakers,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.upstream.metric_name()
    }

    pub(crate) fn stats(&self) -> UpstreamStats {
        let policy = self.clients[0].policy();
        let breakers = self.breakers.as_ref();
        let breaker = breakers.map(|it| it.stats(&self.clients));
        self.tally.stats(&policy.name, breaker)
    }

    fn begin(&self) -> Call<'_, Watch<'_>> {
        Call::method(self.method.as_str()).observed_by(Watch::new(&self.tally))
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
        self.run(inbound, self.upstream.begin()).await
    }

    /// Calls, and does without if the policy says so.
    pub(crate) async fn call_or_fall_back<T: DeserializeOwned>(
        &self,
        inbound: &Inbound,
    ) -> Result<Reply<T>, CallError<AttemptError>> {
        let call = self.upstream.begin().or_else(|_| Reply::Fallback);
        self.run(inbound, call).await
    }

    async fn run<T: DeserializeOwned, B: Fallback<Reply<T>>>(
        &self,
        inbound: &Inbound,
        call: Call<'_, Watch<'_>, B>,
    ) -> Result<Reply<T>, CallError<AttemptError>> {
        let upstream = &*self.upstream;
        let client = &upstream.clients[self.worker];
        let mut span = inbound.span.internal(format!("call {}", upstream.name()));
        let called = client
            .call(call, outcome, |attempt| {
                upstream.attempt(attempt, inbound, &span)
            })
            .await;
        describe(&mut span, client, &called.report);
        called.result
    }
}

/// What a result means in the words of a policy.
fn outcome<T>(result: &Result<Reply<T>, AttemptError>) -> Outcome {
    match result {
        Ok(Reply::Content(_) | Reply::Fallback) => Outcome::Success,
        Ok(Reply::Refused(status)) => Outcome::Status(status.as_u16()),
        Err(error) => Outcome::Error(error.kind()),
    }
}

/// Says on a call's span how it went. What was made good is no error of the whole.
pub(crate) fn describe(span: &mut Span, client: &Client, report: &Report) {
    if !span.is_recording() {
        return;
    }
    span.set_str(attr::RESILIENCE_POLICY, &client.policy().name);
    span.set_str(attr::RESILIENCE_OUTCOME, report.answer.as_str());
    span.set_int(attr::RESILIENCE_ATTEMPTS, report.attempts.into());
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
