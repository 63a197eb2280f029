//! An upstream and a client that speak extended CONNECT.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use brownout_proxy::{HttpVersion, UpstreamOptions};
use brownout_testkit::{TestProxy, TestProxyBuilder, eventually, within};
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::ResponseFuture,
    ext::Protocol,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use crate::http2::client::{Client, piece, send_all};

/// When an upstream says that it takes extended CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announces {
    AtOnce,
    /// In a second SETTINGS frame, when it has got a request.
    Late,
    Never,
}

/// An upstream that speaks HTTP/2.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<()>>>>,
    /// How tunnels ended that wait for that.
    resets: UnboundedReceiver<Reason>,
    serving: JoinSet<()>,
}

impl Upstream {
    pub(super) async fn start(announces: Announces) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), announces).await
    }

    pub(super) async fn at(address: SocketAddr, announces: Announces) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen_there = Arc::clone(&seen);
        let (ended, resets) = unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (seen, ended) = (Arc::clone(&seen_there), ended.clone());
                open.spawn(serve(tcp, announces, seen, ended));
            }
        });
        Self {
            address,
            seen,
            resets,
            serving,
        }
    }

    pub(super) fn requests(&self) -> Vec<Request<()>> {
        self.seen.lock().unwrap().clone()
    }

    /// The code with which a client has reset a tunnel.
    pub(super) async fn reset(&mut self) -> Reason {
        within("a reset", self.resets.recv()).await.unwrap()
    }

    /// Ends all of its connections, and takes no more.
    pub(super) fn die(&mut self) {
        self.serving.abort_all();
    }

    pub(super) fn proxy(&self) -> TestProxyBuilder {
        spoken(&format!("http://{}", self.address))
    }
}

/// A proxy before an upstream with HTTP/2.
pub(super) fn spoken(url: &str) -> TestProxyBuilder {
    let options = UpstreamOptions {
        http: HttpVersion::Http2,
        ..UpstreamOptions::default()
    };
    TestProxy::to_url(url).with_options(options).with_cores(1)
}

async fn serve(
    io: TcpStream,
    announces: Announces,
    seen: Arc<Mutex<Vec<Request<()>>>>,
    ended: UnboundedSender<Reason>,
) {
    let mut builder = Builder::new();
    builder.initial_connection_window_size(16 << 20);
    if announces == Announces::AtOnce {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else {
        return;
    };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        if announces == Announces::Late {
            drop(connection.enable_connect_protocol());
        }
        let (parts, content) = request.into_parts();
        let head = Request::from_parts(parts, ());
        seen.lock().unwrap().push(head.clone());
        streams.spawn(answer(head, content, respond, ended.clone()));
    }
}

/// Answers as the path says.
async fn answer(
    head: Request<()>,
    mut content: RecvStream,
    mut respond: SendResponse<Bytes>,
    ended: UnboundedSender<Reason>,
) {
    let accept = |respond: &mut SendResponse<Bytes>| {
        let answer = Response::builder().header("sec-websocket-protocol", "chat");
        respond
            .send_response(answer.body(()).unwrap(), false)
            .unwrap()
    };
    if head.extensions().get::<Protocol>().is_none() {
        respond.send_response(Response::new(()), true).unwrap();
        return;
    }
    match head.uri().path() {
        "/refuses" => {
            let answer = Response::builder().status(403).body(()).unwrap();
            let mut stream = respond.send_response(answer, false).unwrap();
            stream.send_data("no".into(), true).unwrap();
        }
        "/resets" => {
            let mut stream = accept(&mut respond);
            stream.send_data("bye".into(), false).unwrap();
            piece(&mut content).await;
            stream.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
        // Ends its direction first, and reads on.
        "/ends" => {
            let mut stream = accept(&mut respond);
            stream.send_data("bye".into(), true).unwrap();
            while let Some(Ok(_)) = piece(&mut content).await {}
            ended.send(Reason::NO_ERROR).unwrap();
        }
        "/waits" => {
            let mut stream = accept(&mut respond);
            let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            let reset = reset.unwrap_or(Reason::INTERNAL_ERROR);
            ended.send(reset).unwrap_or_default();
        }
        "/trailers" => {
            let mut stream = accept(&mut respond);
            stream.send_trailers(HeaderMap::new()).unwrap();
            std::future::pending::<()>().await;
        }
        // Sends what nobody may read.
        "/floods" => {
            let stream = accept(&mut respond);
            send_all(stream, vec![b'x'; 64 << 20].into(), true).await;
        }
        // Reads nothing.
        "/stands" => {
            let _stream = accept(&mut respond);
            std::future::pending::<()>().await;
        }
        "/no-content" => {
            let answer = Response::builder().status(204).body(()).unwrap();
            let stream = respond.send_response(answer, false).unwrap();
            echo(content, stream).await;
        }
        _ => echo(content, accept(&mut respond)).await,
    }
}

async fn echo(mut content: RecvStream, mut stream: SendStream<Bytes>) {
    while let Some(Ok(piece)) = piece(&mut content).await {
        stream = send_all(stream, piece, false).await;
    }
    drop(stream.send_data(Bytes::new(), true));
}

/// A client that was told that extended CONNECT passes.
pub(super) async fn told(proxy: &TestProxy) -> Client {
    let address = proxy.address();
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(16 << 20);
    let client = Client::with(&builder, tcp, &address.to_string()).await;
    eventually("extended CONNECT to be announced", || {
        client.requests.is_extended_connect_protocol_enabled()
    })
    .await;
    client
}

/// Asks for a WebSocket.
pub(super) async fn ask(client: &mut Client, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
    let request = client
        .request("CONNECT", path)
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("origin", "http://web.test");
    client.begin(request).await
}

/// A tunnel that was opened.
pub(super) async fn open(client: &mut Client, path: &str) -> (RecvStream, SendStream<Bytes>) {
    let (answer, stream) = ask(client, path).await;
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    (answer.into_body(), stream)
}

/// Reads until so many bytes have come.
pub(super) async fn read(content: &mut RecvStream, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < bytes {
        read.extend_from_slice(&piece(content).await.unwrap().unwrap());
    }
    read
}

/// Reads to the end of the direction; the error, if it is none in good order.
pub(super) async fn read_to_end(content: &mut RecvStream) -> (Vec<u8>, Option<h2::Error>) {
    let mut read = Vec::new();
    loop {
        match piece(content).await {
            None => return (read, None),
            Some(Ok(piece)) => read.extend_from_slice(&piece),
            Some(Err(error)) => return (read, Some(error)),
        }
    }
}

/// So long nothing happens that may not.
pub(super) const QUIET: Duration = Duration::from_millis(200);
