use std::{io, sync::Arc, time::Duration};

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
        })
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
        runtime.block_on(async {
            let exchange = self.connection.exchange(request);
            tokio::time::timeout(self.timeout, exchange).await?
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop waits, and panics where a runtime forbids waiting.
            runtime.shutdown_background();
        }
    }
}
