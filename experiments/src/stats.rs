//! What services say of themselves at `GET /stats`, as far as it is read here.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use thiserror::Error;
use tokio::time::timeout;

/// How long a service may take to tell. It waits for no worker to do so.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A service's account of itself since its start. It may say more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ServiceStats {
    /// Requests that came for its resource.
    pub(crate) received: u64,
    /// Requests whose work is done and whose caller was there.
    pub(crate) answered: u64,
    /// Requests whose work is done for nobody.
    pub(crate) abandoned: u64,
    /// Requests refused because the queue was full.
    pub(crate) shed: u64,
    /// Requests dropped before they were begun: their caller's time was over.
    #[serde(default)]
    pub(crate) expired: u64,
    /// Requests that wait for a worker.
    pub(crate) queued: u64,
    /// Requests that a worker has.
    pub(crate) running: u64,
    /// Its calls, by the called service's name in metrics.
    #[serde(default)]
    pub(crate) upstreams: BTreeMap<String, UpstreamStats>,
}

/// A service's calls to one upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct UpstreamStats {
    pub(crate) calls: u64,
    pub(crate) attempts: u64,
    pub(crate) retries: u64,
    pub(crate) timeouts: u64,
    /// Calls that the breaker refused.
    pub(crate) rejected: u64,
    pub(crate) fallbacks: u64,
    pub(crate) breaker: Option<BreakerStats>,
}

/// The breakers before one upstream, all together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct BreakerStats {
    /// How often they went open.
    pub(crate) opened: u64,
}

/// Why a service did not tell of itself.
#[derive(Debug, Error)]
pub enum StatsError {
    /// What was given is no URL.
    #[error("that is not a URL")]
    Url(#[source] http::uri::InvalidUri),
    /// The address cannot be connected to.
    #[error("nobody answers there")]
    Unreachable(#[source] legacy::Error),
    /// No answer in time.
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    /// The service answers with another status than 200.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// The answer broke off, or is too long.
    #[error("the answer could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It says something else.
    #[error("the answer is not what was expected")]
    Content(#[source] serde_json::Error),
}

/// Asks services. Cheap to clone; connections are kept between questions.
#[derive(Debug, Clone)]
pub(crate) struct StatsClient(legacy::Client<HttpConnector, Empty<Bytes>>);

impl ServiceStats {
    /// Whether it still has something to do, for whomever.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting() > 0
    }

    /// Requests whose work is not done.
    pub(crate) fn waiting(&self) -> u64 {
        self.queued + self.running
    }

    /// Requests whose work is done.
    pub(crate) fn done(&self) -> u64 {
        self.answered + self.abandoned + self.expired
    }
}

impl StatsClient {
    pub(crate) fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    /// Asks the service at `url`, `http://HOST:PORT`.
    pub(crate) async fn read(&self, url: &str) -> Result<ServiceStats, StatsError> {
        let uri: Uri = format!("{}/stats", url.trim_end_matches('/'))
            .parse()
            .map_err(StatsError::Url)?;
        timeout(TIMEOUT, self.ask(uri))
            .await
            .unwrap_or(Err(StatsError::Timeout))
    }

    async fn ask(&self, uri: Uri) -> Result<ServiceStats, StatsError> {
        let answer = self.0.get(uri).await.map_err(StatsError::Unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(StatsError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(StatsError::Body)?;
        serde_json::from_slice(&body.to_bytes()).map_err(StatsError::Content)
    }
}
