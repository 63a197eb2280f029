//! Upstreams that do what a test says.

use std::{
    fmt,
    future::{Future, pending},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

type Handling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server on a free loopback port. It ends when it is dropped, with all its connections.
pub struct TestUpstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Received>>>,
    _accepting: JoinSet<()>,
}

/// A request that a [`TestUpstream`] got.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its target as sent.
    pub target: String,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Bytes,
}

impl TestUpstream {
    /// Answers every request with 200 and `body`, once it has read it whole.
    pub async fn replying(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::serving(move |_| {
            let body = body.clone();
            async move { Response::new(Full::new(body)) }
        })
        .await
    }

    /// Answers every request with what `answer` makes of it, once it has read it whole.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn serving<A, F>(answer: A) -> Self
    where
        A: Fn(Received) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let log = Arc::clone(&received);
        let handle = move |stream| -> Handling {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (log, answer) = (Arc::clone(&log), answer.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let Ok(body) = body.collect().await else {
                        return Err("the request was cut short");
                    };
                    let request = Received {
                        method: head.method,
                        target: head.uri.to_string(),
                        headers: head.headers,
                        body: body.to_bytes(),
                    };
                    log.lock()
                        .expect("no test panicked in here")
                        .push(request.clone());
                    Ok(answer(request).await)
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            Box::pin(async move {
                // A client that leaves is part of many tests.
                drop(connection.await);
            })
        };
        let mut upstream = Self::start(Arc::new(handle)).await;
        upstream.received = received;
        upstream
    }

    /// Hands every connection to `handle`, as bytes.
    pub async fn raw<H, F>(handle: H) -> Self
    where
        H: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start(Arc::new(move |stream| -> Handling {
            Box::pin(handle(stream))
        }))
        .await
    }

    /// Answers the first request of its first connection. On the second it sends a FIN without having read it, and keeps
    /// the connection: most of a [`long_request`](Self::long_request) is still with its sender then. On other connections
    /// it answers every request.
    ///
    /// # Panics
    /// In the task of a connection, when the proxy does not read the answer.
    pub async fn closing_before_it_reads_the_second_request() -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        Self::raw(move |mut stream| {
            let is_first = connections.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                let mut request = Vec::new();
                while let Ok(1..) = stream.read_buf(&mut request).await {
                    if !request.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    request.clear();
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    stream.write_all(answer).await.expect("the proxy reads");
                    if is_first {
                        stream.readable().await.expect("the socket is open");
                        stream.shutdown().await.expect("the socket is open");
                        pending::<()>().await;
                    }
                }
            }
        })
        .await
    }

    /// A GET with more fields than a socket takes that nobody reads from.
    #[must_use]
    pub fn long_request() -> String {
        let fields = format!("X-Filler: {}\r\n", "f".repeat(8_000)).repeat(25);
        format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
    }

    async fn start(handle: Arc<dyn Fn(TcpStream) -> Handling + Send + Sync>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener.local_addr().expect("a listener has an address");
        let connections: Arc<AtomicUsize> = Arc::default();
        let counter = Arc::clone(&connections);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("the listener is open");
                stream
                    .set_nodelay(true)
                    .expect("a fresh socket takes TCP_NODELAY");
                counter.fetch_add(1, Ordering::Relaxed);
                open.spawn(handle(stream));
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            connections,
            received: Arc::default(),
            _accepting: accepting,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The requests it got, in order.
    ///
    /// # Panics
    /// When a handler panicked.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .expect("no test panicked in here")
            .clone()
    }
}

impl fmt::Debug for TestUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestUpstream")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
