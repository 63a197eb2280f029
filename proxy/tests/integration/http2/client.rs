//! A client that speaks HTTP/2.

use std::net::SocketAddr;

use brownout_testkit::within;
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

/// A connection. It ends when it is dropped.
pub(super) struct Client {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) connection: JoinSet<Result<(), h2::Error>>,
    authority: String,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
    /// How it ended, if not with the end of the stream.
    pub(super) broke: Option<h2::Error>,
}

impl Client {
    /// With prior knowledge.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Self::over(tcp, &address.to_string()).await
    }

    pub(super) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        authority: &str,
    ) -> Self {
        Self::with(
            Builder::new().max_send_buffer_size(64 * 1024),
            stream,
            authority,
        )
        .await
    }

    pub(super) async fn with(
        builder: &Builder,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        authority: &str,
    ) -> Self {
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Self {
            requests,
            connection: tasks,
            authority: authority.to_owned(),
        }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority))
    }

    /// Sends a request whose content is still to come.
    pub(super) async fn begin(
        &mut self,
        request: http::request::Builder,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.send(request, false).await
    }

    /// Sends a request without content.
    pub(super) async fn send(
        &mut self,
        request: http::request::Builder,
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = within("a place for a stream", self.requests.clone().ready())
            .await
            .unwrap();
        ready
            .send_request(request.body(()).unwrap(), is_whole)
            .unwrap()
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        let (answer, _) = self.send(self.request("GET", path), true).await;
        whole(answer).await.unwrap()
    }

    /// How a request ends that gets no answer.
    pub(super) async fn refused(&mut self, path: &str) -> h2::Error {
        let (answer, _) = self.send(self.request("GET", path), true).await;
        within("the end of a stream", answer).await.unwrap_err()
    }

    pub(super) async fn post(&mut self, path: &str, content: &[u8]) -> Answer {
        let (answer, stream) = self.begin(self.request("POST", path)).await;
        let content = Bytes::copy_from_slice(content);
        let sending = send_all(stream, content, true);
        let (answer, _stream) = tokio::join!(whole(answer), sending);
        answer.unwrap()
    }

    /// Waits until the proxy has ended the connection in good order.
    pub(super) async fn closed(&mut self) {
        let ended = within("the connection to end", self.connection.join_next()).await;
        ended.unwrap().unwrap().unwrap();
    }
}

/// Sends content as there is credit for it.
pub(super) async fn send_all(
    mut stream: SendStream<Bytes>,
    mut content: Bytes,
    ends: bool,
) -> SendStream<Bytes> {
    while !content.is_empty() {
        stream.reserve_capacity(content.len());
        let credit = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(credit)) = credit else {
            return stream;
        };
        let piece = content.split_to(credit.min(content.len()));
        if stream.send_data(piece, false).is_err() {
            return stream;
        }
    }
    if ends {
        drop(stream.send_data(Bytes::new(), true));
    }
    stream
}

/// The next piece of content; `None` at the end.
pub(super) async fn piece(content: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let piece = within("content", content.data()).await;
    if let Some(Ok(piece)) = &piece {
        content
            .flow_control()
            .release_capacity(piece.len())
            .unwrap();
    }
    piece
}

/// Reads an answer to its end.
pub(super) async fn whole(answer: ResponseFuture) -> Result<Answer, h2::Error> {
    let answer = within("an answer", answer).await?;
    Ok(rest(answer).await)
}

/// Reads the content of an answer to its end.
pub(super) async fn rest(answer: Response<RecvStream>) -> Answer {
    let (head, mut content) = answer.into_parts();
    let mut whole = Answer {
        status: head.status,
        headers: head.headers,
        body: Vec::new(),
        trailers: None,
        broke: None,
    };
    while let Some(piece) = piece(&mut content).await {
        match piece {
            Ok(piece) => whole.body.extend_from_slice(&piece),
            Err(error) => {
                whole.broke = Some(error);
                return whole;
            }
        }
    }
    match within("trailers", content.trailers()).await {
        Ok(trailers) => whole.trailers = trailers,
        Err(error) => whole.broke = Some(error),
    }
    whole
}
