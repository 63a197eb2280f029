//! The upstream's side of a stream: the request is written to it, the answer read from it.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use h2::{Reason, RecvStream, client::ResponseFuture, ext::Protocol};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};

use crate::{
    http1::{BodyLength, Decoder, FieldKind, HeadLimits, HeadSearch, RequestHead, request_body},
    http2::{
        body::{FromStream, Incoming, ToStream, ends_with_head, to_io},
        fields,
        upstream::Connection,
    },
};

/// See the module. Dropping it before its end resets the stream with CANCEL.
#[derive(Debug)]
pub(crate) struct ToUpstream {
    state: RefCell<State>,
    /// The upstream has said that it did nothing with the request (RFC 9113 §8.7).
    was_refused: Cell<bool>,
    /// Has a place for a stream less while this is there.
    connection: Rc<Connection>,
}

#[derive(Debug)]
struct State {
    request: Written,
    answer: Answer,
    /// To a HEAD request: it has no content.
    answers_head: bool,
    /// The request asks for another protocol on the stream (RFC 8441).
    is_tunnel: bool,
}

#[derive(Debug)]
enum Written {
    /// A head that is not whole yet.
    Head(Vec<u8>, HeadSearch),
    Content(ToStream),
}

#[derive(Debug)]
enum Answer {
    /// The request was not sent.
    Nothing,
    /// Of which 1xx may be read first.
    Head(ResponseFuture, FromStream),
    Content(FromStream),
}

impl ToUpstream {
    pub(in crate::http2) fn new(connection: &Rc<Connection>) -> Self {
        connection.opens_stream();
        Self {
            state: RefCell::new(State {
                request: Written::Head(Vec::new(), HeadSearch::default()),
                answer: Answer::Nothing,
                answers_head: false,
                is_tunnel: false,
            }),
            was_refused: Cell::new(false),
            connection: Rc::clone(connection),
        }
    }

    /// Whether the upstream did nothing with the request.
    pub(crate) fn was_refused(&self) -> bool {
        self.was_refused.get()
    }

    /// Whether the upstream takes another protocol on a stream (RFC 8441 §3), once its SETTINGS have come.
    pub(crate) async fn takes_tunnels(&self) -> bool {
        self.connection.takes_tunnels().await
    }

    /// Both directions of what the stream carries behind its heads.
    pub(super) fn with_ends<R>(
        &self,
        then: impl FnOnce(&mut FromStream, &mut ToStream) -> R,
    ) -> Option<R> {
        let State {
            request, answer, ..
        } = &mut *self.state.borrow_mut();
        match (answer, request) {
            (Answer::Content(answer), Written::Content(request)) => Some(then(answer, request)),
            _ => None,
        }
    }

    /// Waits until what was written is with the connection's transport.
    pub(in crate::http2) async fn written(&self) {
        self.connection.written().await;
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.state.borrow_mut().poll_ready(cx, &self.connection);
        polled.map(|ready| self.noted(ready).map(drop))
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        let ready = ready!(state.poll_ready(cx, &self.connection));
        if !self.noted(ready)? {
            return Poll::Ready(Ok(0));
        }
        let read = match &mut state.answer {
            Answer::Nothing => return Poll::Ready(Ok(0)),
            Answer::Head(_, answer) | Answer::Content(answer) => answer.read_ready(buf),
        };
        Poll::Ready(Ok(read))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        match &mut state.request {
            Written::Head(..) => Poll::Ready(state.write_head(bytes, &self.connection)),
            Written::Content(content) => content.poll_write(cx, bytes),
        }
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state.borrow_mut().request {
            Written::Head(..) => Poll::Ready(Ok(())),
            Written::Content(content) => content.poll_flush(cx),
        }
    }

    /// A stream that was refused looks like a connection that was closed before anything of the request was read.
    fn noted<T>(&self, read: Result<T, h2::Error>) -> io::Result<T> {
        read.map_err(|error| {
            let refused = error.is_remote()
                && (error.reason() == Some(Reason::REFUSED_STREAM)
                    || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR)));
            if !refused {
                return to_io(error);
            }
            self.was_refused.set(true);
            io::Error::new(io::ErrorKind::UnexpectedEof, error)
        })
    }
}

impl Drop for ToUpstream {
    fn drop(&mut self) {
        self.connection.closes_stream();
    }
}

impl State {
    /// Takes bytes of the head. Those behind it are to be written with the next call.
    fn write_head(&mut self, bytes: &[u8], connection: &Connection) -> io::Result<usize> {
        let Written::Head(text, search) = &mut self.request else {
            return Ok(0);
        };
        let before = text.len();
        text.extend_from_slice(bytes);
        let mut head = RequestHead::spare();
        let invalid = |detail| io::Error::new(io::ErrorKind::InvalidInput, detail);
        let used = match head.parse_of_stream(text, search, &HeadLimits::default()) {
            Ok(Some(used)) => used,
            Ok(None) => return Ok(bytes.len()),
            Err(refusal) => return Err(invalid(refusal.detail)),
        };
        let length = request_body(&head).map_err(|refusal| invalid(refusal.detail))?;
        self.is_tunnel = head.method() == "CONNECT";
        let (length, end) = match self.is_tunnel {
            true => (BodyLength::UntilClose, None),
            false => (length, ends_with_head(length, &text[used..])),
        };
        let used = used - before + end.unwrap_or(0);
        self.answers_head = head.method() == "HEAD";
        let request = request(&mut head, connection.scheme())
            .ok_or_else(|| invalid("HTTP/2 cannot carry the request's target"))?;
        head.recycle();
        let sent = connection.send(request, end.is_some()).map_err(to_io)?;
        let (answer, stream) = sent;
        let content = ToStream::new(stream, Decoder::new(length), end.is_some());
        self.request = Written::Content(content);
        self.answer = Answer::Head(answer, FromStream::new(Vec::new(), None, false));
        Ok(used)
    }

    /// Ready when there are bytes to read, or there will be none: `false`.
    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
    ) -> Poll<Result<bool, h2::Error>> {
        loop {
            let (response, text) = match &mut self.answer {
                Answer::Nothing => return Poll::Ready(Ok(false)),
                Answer::Content(content) => return content.poll_next(cx),
                Answer::Head(_, text) if text.has_bytes() => return Poll::Ready(Ok(true)),
                Answer::Head(response, text) => (response, text),
            };
            if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                let interim = interim?;
                let head = head(interim.status(), interim.headers(), "");
                *text = FromStream::new(head, None, false);
                continue;
            }
            let answer = ready!(Pin::new(response).poll(cx))?;
            self.answer = Answer::Content(self.content(answer, connection));
        }
    }

    /// An answer as HTTP/1.1.
    fn content(&self, answer: Response<RecvStream>, connection: &Connection) -> FromStream {
        let (mut parts, content) = answer.into_parts();
        let (status, headers) = (parts.status, &mut parts.headers);
        if self.is_tunnel && status.is_success() {
            let text = head(status, headers, "");
            let content = Incoming::new(content, connection.windows());
            return FromStream::new(text, Some(content), false);
        }
        let has_none = self.answers_head
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if !has_none && !content.is_end_stream() && fields::announce_trailers_of_answer(headers) {
            headers.remove(header::CONTENT_LENGTH);
        }
        if has_none || headers.contains_key(header::CONTENT_LENGTH) {
            let text = head(status, headers, "");
            let content = (!has_none).then(|| Incoming::new(content, connection.windows()));
            return FromStream::new(text, content, false);
        }
        let mut text = head(status, headers, "transfer-encoding: chunked\r\n");
        if content.is_end_stream() {
            // In one piece with its head: so it can end with that again.
            text.extend_from_slice(b"0\r\n\r\n");
            return FromStream::new(text, None, true);
        }
        FromStream::new(
            text,
            Some(Incoming::new(content, connection.windows())),
            true,
        )
    }
}

/// The head of an answer as HTTP/1.1.
fn head(status: StatusCode, headers: &HeaderMap, framing: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    for part in ["HTTP/1.1 ", status.as_str(), " \r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    fields::write(headers, &mut text);
    text.extend_from_slice(framing.as_bytes());
    text.extend_from_slice(b"\r\n");
    text
}

/// A request as it goes out on a stream. `None` if its target is none there.
fn request(head: &mut RequestHead, scheme: &str) -> Option<Request<()>> {
    let host = head.fields.get_kind(FieldKind::Host).unwrap_or_default();
    let host = str::from_utf8(host).ok()?.to_owned();
    head.fields.remove_kind(FieldKind::Host);
    let uri = match host.as_str() {
        "" => head.target().parse().ok()?,
        host => Uri::builder()
            .scheme(scheme)
            .authority(host)
            .path_and_query(head.target())
            .build()
            .ok()?,
    };
    let mut request = Request::new(());
    if head.method() == "CONNECT" {
        let protocol = head.fields.get_kind(FieldKind::Upgrade)?;
        let protocol = Protocol::from(str::from_utf8(protocol).ok()?);
        request.extensions_mut().insert(protocol);
    }
    *request.method_mut() = Method::from_bytes(head.method().as_bytes()).ok()?;
    *request.uri_mut() = uri;
    *request.headers_mut() = fields::to_stream(&head.fields);
    Some(request)
}
