use std::{
    error::Error,
    io, iter,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::{self, Runtime};

/// A collector answers with a few bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Carries exports to the collector.
///
/// The SDK exports from threads of its own, outside any runtime, so this brings its own; it works
/// whatever runtime the application has, or none.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    connection: Arc<Connection>,
    /// How long one request may take, from connecting to the end of the answer.
    timeout: Duration,
    /// Why the last request had no answer; of one exporter. The SDK says "network error" of all.
    failure: Arc<Mutex<Option<String>>>,
}

#[derive(Debug)]
struct Connection {
    /// Only ever empty while it is dropped.
    runtime: Option<Runtime>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Collector {
    pub(super) fn new(timeout: Duration) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1) // Looks names up.
            .build()?;
        // The runtime stands still between exports, so a connection kept open would not be seen
        // to close.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build_http();
        let connection = Arc::new(Connection {
            runtime: Some(runtime),
            client,
        });
        Ok(Self {
            connection,
            timeout,
            failure: Arc::default(),
        })
    }

    /// The same, for another exporter.
    pub(super) fn of_another(&self) -> Self {
        Self {
            failure: Arc::default(),
            ..self.clone()
        }
    }

    /// Why the last request had no answer, if it had none.
    pub(super) fn take_failure(&self) -> Option<String> {
        self.failure().take()
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // It is replaced as a whole.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = self.connection.exchange(request);
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("it did not answer within {:?}", self.timeout).into()),
        }
    }
}

impl Connection {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.request(request.map(Full::new)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.connection.runtime.as_ref();
        let runtime = runtime.expect("it is not being dropped");
        let answer = runtime.block_on(self.exchange(request));
        *self.failure() = answer.as_ref().err().map(|error| cause(&**error));
        answer
    }
}

/// The error at the bottom of a chain, which says what went wrong.
fn cause(error: &(dyn Error + 'static)) -> String {
    let last = iter::successors(Some(error), |&error| error.source()).last();
    last.map_or_else(String::new, ToString::to_string)
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop waits, and panics where a runtime forbids waiting.
            runtime.shutdown_background();
        }
    }
}
