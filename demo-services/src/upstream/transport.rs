//! HTTP to upstreams: one attempt is one request on the wire.

use std::{
    error::Error as _,
    io,
    time::{Duration, SystemTime},
};

use brownout_resilience::{ErrorKind, Pushback};
use bytes::Bytes;
use http::{Request, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::rt::Executor;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::TokioTimer,
};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio_util::task::TaskTracker;

use super::{Reply, attempt::AttemptSpan};
use crate::tls::{ServiceTls, connector};

/// How long an upstream may take to accept a connection. The answer may take as long as the policy says.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept. Far less than servers do (ours 90 s, the usual ones 60 s and more).
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Answers are small.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A service's connections to its upstreams, kept alive and used by all its workers: HTTP/1.1, or in TLS what both sides can.
///
/// An attempt is one request on the wire, so that a service's count of attempts and its upstream's count of requests
/// can be compared. hyper-util's client sends a request again by itself only if the connection it had chosen from the
/// pool turned out to be closed before anything was written: hyper then hands the request back untouched. That stays
/// switched on. With it, no attempt becomes two; without it, an attempt that meets a connection which the upstream has
/// closed while it was unused would fail without a request. What is left is an upstream that closes an unused
/// connection at the very moment when a request is written to it: the attempt fails with a reset, unseen by the
/// upstream. Connections are therefore given up long before a server would close them for being unused.
///
/// Dropping an exchange, as a timeout does, closes its connection, or with HTTP/2 resets its stream: the upstream learns that nobody
/// waits.
#[derive(Debug, Clone)]
pub(crate) struct Transport(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Transport {
    /// Its connections run as `tasks`, and end when it and all its exchanges are dropped.
    pub(crate) fn new(tasks: &TaskTracker, tls: Option<&ServiceTls>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self(
            Client::builder(Tracked(tasks.clone()))
                .pool_idle_timeout(IDLE_MAX)
                .pool_timer(TokioTimer::new())
                .retry_canceled_requests(true)
                .build(connector(tls, tcp)),
        )
    }

    /// Sends a request and reads what its answer says.
    pub(super) async fn exchange<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
        span: &mut AttemptSpan,
    ) -> Result<Reply<T>, AttemptError> {
        let Exchanged { status, asks, body } = self.send(request, span).await?;
        if !status.is_success() {
            return Ok(Reply::Refused(status, asks));
        }
        let content = serde_json::from_slice(&body).map_err(AttemptError::Content)?;
        Ok(Reply::Content(content))
    }

    /// Sends a request and reads its answer to the end, so that the connection can be used again.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        span: &mut AttemptSpan,
    ) -> Result<Exchanged, AttemptError> {
        let answer = self.0.request(request).await;
        let answer = answer.map_err(AttemptError::before_the_head)?;
        let status = answer.status();
        span.status(status);
        let asks = answer.headers().get(RETRY_AFTER);
        let asks = asks
            .and_then(|value| value.to_str().ok())
            .and_then(|value| Pushback::from_retry_after(value, SystemTime::now()));
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX);
        let body = body.collect().await.map_err(AttemptError::in_the_body)?;
        Ok(Exchanged {
            status,
            asks,
            body: body.to_bytes(),
        })
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) status: StatusCode,
    /// What it asks of those who would try again.
    pub(crate) asks: Option<Pushback>,
    pub(crate) body: Bytes,
}

/// Why an attempt brought no answer.
#[derive(Debug, Error)]
pub(crate) enum AttemptError {
    #[error("could not connect")]
    Connect(#[source] ClientError),
    #[error("the connection broke before the answer")]
    Broken(#[source] ClientError),
    #[error("what came is not an HTTP answer")]
    Protocol(#[source] ClientError),
    #[error("the answer broke off")]
    Incomplete(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is longer than 1 MiB")]
    TooLong,
    #[error("the answer is not the JSON that was expected")]
    Content(#[source] serde_json::Error),
}

impl AttemptError {
    fn before_the_head(error: ClientError) -> Self {
        if error.is_connect() {
            return Self::Connect(error);
        }
        let hyper = error.source().and_then(|it| it.downcast_ref());
        if hyper.is_some_and(hyper::Error::is_parse) {
            Self::Protocol(error)
        } else {
            Self::Broken(error)
        }
    }

    fn in_the_body(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        if error.is::<LengthLimitError>() {
            Self::TooLong
        } else {
            Self::Incomplete(error)
        }
    }

    /// Its kind, as policies know it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(_) => ErrorKind::Connect,
            Self::Broken(_) => ErrorKind::Reset,
            Self::Protocol(_) | Self::Content(_) => ErrorKind::Protocol,
            Self::Incomplete(_) => ErrorKind::Incomplete,
            Self::TooLong => ErrorKind::Other,
        }
    }

    /// `error.type` on the span of the attempt.
    pub(super) fn span_type(&self) -> &'static str {
        match self {
            Self::Connect(error) if is_refusal(error) => "connection_refused",
            Self::Connect(_) => "connection_error",
            Self::Broken(_) => "connection_reset",
            Self::Protocol(_) => "protocol_error",
            Self::Incomplete(_) => "incomplete_body",
            Self::TooLong => "body_too_long",
            Self::Content(_) => "invalid_content",
        }
    }
}

fn is_refusal(error: &ClientError) -> bool {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(io) = source.downcast_ref::<io::Error>() {
            return io.kind() == io::ErrorKind::ConnectionRefused;
        }
        next = source.source();
    }
    false
}

/// Runs hyper's tasks where they can be waited for.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
