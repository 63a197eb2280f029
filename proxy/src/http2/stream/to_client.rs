//! The client's side of a stream: the request is read from it, the answer written to it.

use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{Response, StatusCode};

use crate::{
    http1::{BodyLength, Decoder, HeadLimits, HeadSearch, ResponseHead, response_body},
    http2::{
        body::{FromStream, ToStream, ends_with_head, to_io},
        fields,
    },
};

/// See the module.
#[derive(Debug)]
pub(crate) struct ToClient(RefCell<State>);

#[derive(Debug)]
struct State {
    request: FromStream,
    /// To a HEAD request: it has no content.
    answers_head: bool,
    answer: Answer,
    /// The end is a reset with this code, even of a whole message.
    resets: Option<Reason>,
}

#[derive(Debug)]
enum Answer {
    /// Heads of answers that are not whole yet.
    Head {
        respond: SendResponse<Bytes>,
        text: Vec<u8>,
        search: HeadSearch,
    },
    /// The head of the final answer was sent.
    Content(ToStream),
    /// Nothing more can be sent.
    Over,
}

impl ToClient {
    pub(in crate::http2) fn new(
        request: FromStream,
        answers_head: bool,
        respond: SendResponse<Bytes>,
    ) -> Self {
        Self(RefCell::new(State {
            request,
            answers_head,
            answer: Answer::Head {
                respond,
                text: Vec::new(),
                search: HeadSearch::default(),
            },
            resets: None,
        }))
    }

    /// Ready when there is content, or the client has left. A request's end is no end of the stream.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        match ready!(state.request.poll_ready(cx))? {
            true => Poll::Ready(Ok(())),
            false => state.poll_left(cx).map(Ok),
        }
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        match ready!(state.request.poll_read(cx, buf))? {
            0 => state.poll_left(cx).map(|()| Ok(0)),
            read => Poll::Ready(Ok(read)),
        }
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, bytes)
    }

    /// Ready once all that was written is with the connection.
    pub(in crate::http2) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.borrow_mut().answer {
            Answer::Content(content) => content.poll_flush(cx),
            Answer::Head { .. } | Answer::Over => Poll::Ready(Ok(())),
        }
    }

    /// Ready when the client has reset the stream, or its connection has ended.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.borrow_mut().poll_left(cx)
    }

    pub(super) fn reset_at_end(&self, reason: Reason) {
        self.0.borrow_mut().resets = Some(reason);
    }

    /// The code of the reset at the end.
    pub(in crate::http2) fn reset_reason(&self) -> Reason {
        self.0.borrow().resets.unwrap_or(Reason::INTERNAL_ERROR)
    }

    /// Whether the client gets no credit for its content.
    pub(super) fn withhold_credit(&self, withholds: bool) {
        self.0.borrow_mut().request.withhold(withholds);
    }

    /// Whether the answer was sent to its end, and that is the end.
    pub(in crate::http2) fn is_whole(&self) -> bool {
        let state = self.0.borrow();
        state.resets.is_none()
            && matches!(&state.answer, Answer::Content(content) if content.is_whole())
    }

    /// Answers with the head that `text` begins with, behind which the stream carries another protocol. Gives what follows it.
    ///
    /// # Errors
    /// When the client has left.
    pub(in crate::http2) fn open_tunnel(&self, text: &[u8]) -> io::Result<Bytes> {
        let mut state = self.0.borrow_mut();
        let Answer::Head { respond, .. } = &mut state.answer else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut head = ResponseHead::spare();
        let parsed = head.parse(text, &mut HeadSearch::default(), &HeadLimits::default());
        let Ok(Some(used)) = parsed else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let response = response(&head);
        head.recycle();
        let stream = (respond.send_response(response, false)).map_err(to_io)?;
        let content = ToStream::new(stream, Decoder::new(BodyLength::UntilClose), false);
        state.answer = Answer::Content(content);
        Ok(Bytes::copy_from_slice(&text[used..]))
    }

    /// Both directions of what the stream carries behind its heads.
    pub(super) fn with_ends<R>(
        &self,
        then: impl FnOnce(&mut FromStream, &mut ToStream) -> R,
    ) -> Option<R> {
        let State {
            request, answer, ..
        } = &mut *self.0.borrow_mut();
        match answer {
            Answer::Content(content) => Some(then(request, content)),
            Answer::Head { .. } | Answer::Over => None,
        }
    }

    /// Resets the stream.
    pub(in crate::http2) fn send_reset(&self, reason: Reason) {
        self.0.borrow_mut().send_reset(reason);
    }
}

impl State {
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answer {
            Answer::Head { respond, .. } => respond.poll_reset(cx).map(drop),
            Answer::Content(content) => content.stream().poll_reset(cx).map(drop),
            Answer::Over => Poll::Ready(()),
        }
    }

    fn send_reset(&mut self, reason: Reason) {
        match &mut self.answer {
            Answer::Head { respond, .. } => respond.send_reset(reason),
            Answer::Content(content) => content.stream().send_reset(reason),
            Answer::Over => {}
        }
        self.answer = Answer::Over;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.answer {
            Answer::Head { .. } => Poll::Ready(self.write_head(bytes)),
            Answer::Content(content) => content.poll_write(cx, bytes),
            Answer::Over => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Takes bytes of a head. Those behind it are to be written with the next call, unless they are nothing but the end.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Answer::Head {
            respond,
            text,
            search,
        } = &mut self.answer
        else {
            return Ok(0);
        };
        let before = text.len();
        text.extend_from_slice(bytes);
        let mut head = ResponseHead::spare();
        let used = match head.parse(text, search, &HeadLimits::default()) {
            Ok(Some(used)) => used,
            Ok(None) => return Ok(bytes.len()),
            Err(bad) => {
                self.send_reset(Reason::PROTOCOL_ERROR);
                return Err(io::Error::new(io::ErrorKind::InvalidData, bad.detail));
            }
        };
        let rest = &text[used..];
        let response = response(&head);
        let mut used = used - before;
        if head.is_informational() {
            head.recycle();
            respond.send_informational(response).map_err(to_io)?;
            text.clear();
            *search = HeadSearch::default();
            return Ok(used);
        }
        let length = response_body(&head, self.answers_head);
        head.recycle();
        let length = match length {
            Ok(length) => length,
            Err(bad) => {
                self.send_reset(Reason::PROTOCOL_ERROR);
                return Err(io::Error::new(io::ErrorKind::InvalidData, bad.detail));
            }
        };
        let end = ends_with_head(length, rest);
        used += end.unwrap_or(0);
        let stream = (respond.send_response(response, end.is_some())).map_err(to_io)?;
        let content = ToStream::new(stream, Decoder::new(length), end.is_some());
        self.answer = Answer::Content(content);
        Ok(used)
    }
}

/// A head as `h2` has it.
fn response(head: &ResponseHead) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or_default();
    *response.headers_mut() = fields::to_stream(&head.fields);
    response
}
