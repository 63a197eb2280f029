//! A collector for traces that keeps what it is sent.

mod decode;

use std::{
    convert::Infallible,
    future, io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{runtime, sync::oneshot, task::JoinSet};

pub use self::decode::{AttrValue, ReceivedKind, ReceivedSpan};

/// Takes traces as OTLP over HTTP, `POST /v1/traces` in protobuf, on a port of its own.
///
/// It runs on its own thread and runtime, so that a test may block its own. Dropping it closes
/// the port.
#[derive(Debug)]
pub struct OtlpReceiver {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    received: Mutex<Received>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
enum Behaviour {
    /// Refuses the first so many requests, then accepts all.
    Refuse(usize),
    /// Takes connections and requests and never answers.
    BlackHole,
}

#[derive(Debug, Default)]
struct Received {
    requests: usize,
    spans: Vec<ReceivedSpan>,
}

impl OtlpReceiver {
    /// Accepts everything.
    ///
    /// # Panics
    /// As all constructors: when the system has no port left.
    #[must_use]
    pub fn start() -> Self {
        Self::behaving(Behaviour::Refuse(0))
    }

    /// Answers the first `requests` with 503, the rest as [`start`](Self::start).
    #[must_use]
    pub fn refusing_first(requests: usize) -> Self {
        Self::behaving(Behaviour::Refuse(requests))
    }

    /// Accepts connections and never answers.
    #[must_use]
    pub fn black_hole() -> Self {
        Self::behaving(Behaviour::BlackHole)
    }

    /// Base URL, without the path of traces.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans received so far.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.state.received().spans.clone()
    }

    /// How many requests came, whatever was answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state.received().requests
    }

    /// Waits until the spans received satisfy `condition`, and gives them.
    ///
    /// # Panics
    /// When they do not within `timeout`; shows what came.
    pub fn wait_until(
        &self,
        timeout: Duration,
        condition: impl Fn(&[ReceivedSpan]) -> bool,
    ) -> Vec<ReceivedSpan> {
        let received = self.state.received();
        let (received, waited) = self
            .state
            .changed
            .wait_timeout_while(received, timeout, |it| !condition(&it.spans))
            .expect("the receiver did not panic");
        assert!(
            !waited.timed_out(),
            "not within {timeout:?}; {} requests, spans: {:#?}",
            received.requests,
            received.spans
        );
        received.spans.clone()
    }

    fn behaving(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the port was bound");
        let state = Arc::new(State {
            behaviour,
            received: Mutex::default(),
            changed: Condvar::new(),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&state);
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    result = serve(listener, serving) => result.expect("accepts connections"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // Its panic was shown when it happened.
        }
    }
}

impl State {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().expect("the receiver did not panic")
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Empty<Bytes>>, Infallible> {
        let is_traces = request.method() == Method::POST && request.uri().path() == "/v1/traces";
        let number = {
            let mut received = self.received();
            received.requests += 1;
            received.requests
        };
        let status = match self.behaviour {
            Behaviour::BlackHole => future::pending().await,
            Behaviour::Refuse(first) if number <= first => StatusCode::SERVICE_UNAVAILABLE,
            Behaviour::Refuse(_) if !is_traces => StatusCode::NOT_FOUND,
            Behaviour::Refuse(_) => self.take(request).await,
        };
        let mut response = Response::new(Empty::new());
        *response.status_mut() = status;
        Ok(response)
    }

    async fn take(&self, request: Request<Incoming>) -> StatusCode {
        let Ok(body) = request.into_body().collect().await else {
            return StatusCode::BAD_REQUEST; // Nobody is left to read it.
        };
        let Ok(spans) = decode::spans(body.to_bytes()) else {
            return StatusCode::BAD_REQUEST;
        };
        self.received().spans.extend(spans);
        self.changed.notify_all();
        StatusCode::OK
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| state.answer(request));
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok(); // A client that leaves is its own affair.
        });
        while connections.try_join_next().is_some() {}
    }
}
