//! A closed loop of connections, or of streams of HTTP/2 on them, each sending its next request when it has the whole answer.

#[path = "http2_load.rs"]
mod http2;

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, LocalOptions},
};
use tokio_rustls::TlsConnector;

/// One kind of load.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// Further fields of each request, each with its line end.
    pub(crate) fields: &'static str,
    pub(crate) connections: usize,
    pub(crate) keep_alive: bool,
    /// In TLS 1.3, with a full handshake for each connection.
    pub(crate) tls: bool,
    /// Requests at once on each connection, as streams of HTTP/2. 0: HTTP/1.1, one at a time.
    pub(crate) streams: usize,
    /// The contender asks its upstream with HTTP/2, too.
    pub(crate) http2_upstream: bool,
}

impl Scenario {
    /// 1 KiB with HTTP/1.1 over kept connections, in no TLS.
    pub(crate) const USUAL: Self = Self {
        name: "1 KiB, 32 connections",
        path: "/1k",
        fields: "",
        connections: 32,
        keep_alive: true,
        tls: false,
        streams: 0,
        http2_upstream: false,
    };
}

/// How TLS is spoken; set before there is load in TLS.
pub(crate) static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// What came of a load.
pub(crate) struct Ran {
    /// How many requests were answered, all with 200.
    pub(crate) answered: u64,
    /// In what time.
    pub(crate) took: Duration,
    /// The longest that one of them took.
    pub(crate) slowest: Duration,
}

/// Puts load on `address` for a while.
pub(crate) fn run(address: SocketAddr, scenario: Scenario, span: Duration) -> Ran {
    crate::contender::pin(0);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    runtime.unwrap().block_on(async move {
        let answered = Rc::new(Cell::new((0, Duration::ZERO)));
        let began = Instant::now();
        let until = began + span;
        let workers = (0..scenario.connections).map(|_| {
            let answered = Rc::clone(&answered);
            tokio::task::spawn_local(async move {
                match scenario.streams {
                    0 => work(address, scenario, until, answered).await,
                    _ => http2::work(address, scenario, until, answered).await,
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        for worker in workers {
            worker.await.unwrap();
        }
        let (answered, slowest) = answered.get();
        Ran {
            answered,
            took: began.elapsed(),
            slowest,
        }
    })
}

async fn work(
    address: SocketAddr,
    scenario: Scenario,
    until: Instant,
    answered: Rc<Cell<(u64, Duration)>>,
) {
    let close = if scenario.keep_alive {
        ""
    } else {
        "Connection: close\r\n"
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: load\r\nAccept: */*\r\n{}{close}\r\n",
        scenario.path, scenario.fields
    );
    let mut buffer = vec![0; 256 * 1024];
    let mut stream = None;
    while Instant::now() < until {
        let connection = match &mut stream {
            Some(connection) => connection,
            None => stream.insert(connect(address, scenario).await),
        };
        let sent = Instant::now();
        connection.write_all(request.as_bytes()).await.unwrap();
        connection.flush().await.unwrap();
        read_answer(connection, &mut buffer).await;
        let (count, slowest) = answered.get();
        answered.set((count + 1, slowest.max(sent.elapsed())));
        if !scenario.keep_alive {
            stream = None;
        }
    }
}

/// A connection, whichever way its bytes go.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

async fn connect(address: SocketAddr, scenario: Scenario) -> Box<dyn Stream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    if !scenario.tls {
        return Box::new(stream);
    }
    let mut config = Arc::clone(TLS.get().unwrap());
    if scenario.streams > 0 {
        Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
    }
    let connector = TlsConnector::from(config);
    let name = ServerName::try_from("bench.test").unwrap();
    Box::new(connector.connect(name, stream).await.unwrap())
}

async fn read_answer(stream: &mut Box<dyn Stream>, buffer: &mut [u8]) {
    let mut filled = 0;
    let head = loop {
        filled += read(stream, &mut buffer[filled..]).await;
        if let Some(end) = buffer[..filled]
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
        {
            break end + 4;
        }
    };
    let text = std::str::from_utf8(&buffer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let length = text.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let mut missing: usize = length.unwrap_or_else(|| panic!("no length in {text}"));
    missing -= filled - head;
    while missing > 0 {
        missing -= read(stream, buffer).await;
    }
}

async fn read(stream: &mut Box<dyn Stream>, buffer: &mut [u8]) -> usize {
    let read = stream.read(buffer).await.unwrap();
    assert!(read > 0, "the connection ended in an answer");
    read
}
