//! The content of a message: from a stream as HTTP/1.1, and from HTTP/1.1 to a stream.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

use super::{
    UNSENT_MAX, fields,
    window::{Reading, Windows},
};
use crate::http1::{BodyLength, ChunkHead, Decoder};

/// What came on a stream, read as HTTP/1.1.
#[derive(Debug)]
pub(super) struct FromStream {
    /// A head, a chunk's size line or a trailer section, of which the first bytes are read already.
    text: Vec<u8>,
    text_read: usize,
    /// Content, behind the text.
    data: Bytes,
    content: Content,
    /// The content is framed in chunks.
    is_chunked: bool,
    /// The other side gets no credit for what is read.
    withholds: bool,
    /// Bytes that were read, and for which it has no credit.
    withheld: usize,
}

#[derive(Debug)]
enum Content {
    /// There may be more of it.
    Stream(Box<Incoming>),
    /// All of it has come.
    Ended,
}

/// Content that comes, and what its connection is told of how it is read.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    windows: Rc<Windows>,
    reading: Reading,
}

impl Incoming {
    pub(super) fn new(stream: RecvStream, windows: &Rc<Windows>) -> Box<Self> {
        Box::new(Self {
            stream,
            windows: Rc::clone(windows),
            reading: Reading::default(),
        })
    }

    /// Gives the other side credit for what was read.
    fn give_credit(&mut self, bytes: usize) {
        let flow = self.stream.flow_control();
        // It fails only for more than has come.
        drop(flow.release_capacity(bytes));
        let keeps_up = flow.used_capacity() == 0;
        self.windows.read(&mut self.reading, bytes, keeps_up);
    }
}

impl FromStream {
    /// A message whose head is `text`, with what comes on `content` behind it.
    pub(super) fn new(text: Vec<u8>, content: Option<Box<Incoming>>, is_chunked: bool) -> Self {
        Self {
            text,
            text_read: 0,
            data: Bytes::new(),
            content: content.map_or(Content::Ended, Content::Stream),
            is_chunked,
            withholds: false,
            withheld: 0,
        }
    }

    pub(super) fn has_bytes(&self) -> bool {
        self.text_read < self.text.len() || !self.data.is_empty()
    }

    /// Ready when there are bytes, or when there will be none: `false`.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.poll_next(cx).map_err(to_io)
    }

    /// As [`poll_ready`](Self::poll_ready), with the error as it is.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
        while !self.has_bytes() {
            let Content::Stream(incoming) = &mut self.content else {
                return Poll::Ready(Ok(false));
            };
            let stream = &mut incoming.stream;
            match ready!(stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    if self.is_chunked {
                        let head = ChunkHead::new(data.len() as u64);
                        self.set_text(|text| text.extend_from_slice(head.as_bytes()));
                    }
                    self.data = data;
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {
                    let trailers = ready!(stream.poll_trailers(cx))?;
                    self.content = Content::Ended;
                    if self.is_chunked {
                        self.end_chunks(trailers.as_ref());
                    }
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    fn end_chunks(&mut self, trailers: Option<&HeaderMap>) {
        self.set_text(|text| {
            text.extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                fields::write(trailers, text);
            }
            text.extend_from_slice(b"\r\n");
        });
    }

    fn set_text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.text.clear();
        self.text_read = 0;
        write(&mut self.text);
    }

    /// The next piece of what is no message, behind a head; `None` at the end. The other side gets credit for it when it is
    /// [passed on](Self::passed_on).
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, h2::Error>> {
        while self.data.is_empty() {
            let Content::Stream(incoming) = &mut self.content else {
                return Poll::Ready(Ok(None));
            };
            match ready!(incoming.stream.poll_data(cx)) {
                Some(data) => self.data = data?,
                None => {
                    // A stream that carries another protocol has none (RFC 9113 §8.5).
                    let trailers = ready!(incoming.stream.poll_trailers(cx))?;
                    self.content = Content::Ended;
                    if trailers.is_some() {
                        return Poll::Ready(Err(Reason::PROTOCOL_ERROR.into()));
                    }
                }
            }
        }
        Poll::Ready(Ok(Some(std::mem::take(&mut self.data))))
    }

    /// Whether nothing follows the last [piece](Self::poll_piece), as its frame has said.
    pub(super) fn ends_here(&self) -> bool {
        self.data.is_empty()
            && matches!(&self.content, Content::Stream(incoming) if incoming.stream.is_end_stream())
    }

    /// Gives credit for bytes of a [piece](Self::poll_piece).
    pub(super) fn passed_on(&mut self, bytes: usize) {
        self.withheld += bytes;
        if !self.withholds {
            self.give_credit();
        }
    }

    /// Reads what there is. The other side gets credit for it.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read = 0;
        while read < buf.len() {
            match self.poll_ready(cx) {
                Poll::Ready(Ok(true)) => read += self.take(&mut buf[read..]),
                // Told with the next read, as it comes behind these bytes.
                _ if read > 0 => break,
                polled => return polled.map_ok(|_| 0),
            }
        }
        Poll::Ready(Ok(read))
    }

    /// Reads what is there already.
    pub(super) fn read_ready(&mut self, buf: &mut [u8]) -> usize {
        let mut read = 0;
        while read < buf.len() && self.has_bytes() {
            read += self.take(&mut buf[read..]);
        }
        read
    }

    fn take(&mut self, buf: &mut [u8]) -> usize {
        let text = &self.text[self.text_read..];
        if !text.is_empty() {
            let taken = text.len().min(buf.len());
            buf[..taken].copy_from_slice(&text[..taken]);
            self.text_read += taken;
            return taken;
        }
        let taken = self.data.len().min(buf.len());
        buf[..taken].copy_from_slice(&self.data.split_to(taken));
        if self.data.is_empty() && self.is_chunked {
            self.set_text(|text| text.extend_from_slice(b"\r\n"));
        }
        self.passed_on(taken);
        taken
    }

    /// Whether the other side gets no credit for what is read. What was withheld is given when that ends.
    pub(super) fn withhold(&mut self, withholds: bool) {
        self.withholds = withholds;
        if !withholds {
            self.give_credit();
        }
    }

    fn give_credit(&mut self) {
        let withheld = std::mem::take(&mut self.withheld);
        if withheld > 0
            && let Content::Stream(incoming) = &mut self.content
        {
            incoming.give_credit(withheld);
        }
    }
}

/// HTTP/1.1 that is written, on its way to a stream.
#[derive(Debug)]
pub(super) struct ToStream {
    stream: SendStream<Bytes>,
    decoder: Decoder,
    /// Content for which there was no credit yet.
    unsent: BytesMut,
    /// The end of the stream was sent.
    has_ended: bool,
}

impl ToStream {
    /// Behind a head that was sent.
    pub(super) fn new(stream: SendStream<Bytes>, decoder: Decoder, has_ended: bool) -> Self {
        Self {
            stream,
            decoder,
            unsent: BytesMut::new(),
            has_ended,
        }
    }

    pub(super) fn stream(&mut self) -> &mut SendStream<Bytes> {
        &mut self.stream
    }

    /// Sends of `piece` what there is credit for, and tells how much that is. With the last byte of one that `is_last` it ends.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        piece: &mut Bytes,
        is_last: bool,
    ) -> Poll<io::Result<usize>> {
        self.stream.reserve_capacity(piece.len());
        loop {
            let credit = self.stream.capacity().min(piece.len());
            if credit > 0 {
                let part = piece.split_to(credit);
                self.has_ended = is_last && piece.is_empty();
                let sent = self.stream.send_data(part, self.has_ended);
                return Poll::Ready(sent.map(|()| credit).map_err(to_io));
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    /// Ends what is no message.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        self.has_ended = true;
        self.stream.send_data(Bytes::new(), true).map_err(to_io)
    }

    /// Whether the whole message was given to the connection.
    pub(super) fn is_whole(&self) -> bool {
        self.has_ended
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        if self.has_ended {
            return Poll::Ready(Ok(bytes.len())); // Nothing follows a message on its stream.
        }
        let bytes = &bytes[..bytes.len().min(UNSENT_MAX)];
        let mut used = 0;
        while used < bytes.len() && !self.decoder.is_ended() {
            let decoded = self.decoder.decode(&bytes[used..]).map_err(|bad| {
                self.stream.send_reset(Reason::PROTOCOL_ERROR);
                io::Error::new(io::ErrorKind::InvalidData, bad.detail)
            })?;
            self.unsent
                .extend_from_slice(&bytes[used..][decoded.data.clone()]);
            used += decoded.used;
            if decoded.used == 0 {
                break;
            }
        }
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(used)),
        }
    }

    /// Ready once all that was written is with the connection.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            self.stream.reserve_capacity(self.unsent.len());
            let credit = self.stream.capacity();
            if credit == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                }
            }
            let piece = self.unsent.split_to(credit.min(self.unsent.len())).freeze();
            let is_last =
                self.unsent.is_empty() && self.decoder.is_ended() && !self.decoder.has_trailers();
            self.stream.send_data(piece, is_last).map_err(to_io)?;
            self.has_ended = is_last;
        }
        if self.decoder.is_ended() && !self.has_ended {
            match self.decoder.take_trailers() {
                Some(trailers) => self.stream.send_trailers(fields::to_stream(&trailers)),
                None => self.stream.send_data(Bytes::new(), true),
            }
            .map_err(to_io)?;
            self.has_ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// A decoder for what follows a head, with `rest` looked at already: whether the message ends there.
pub(super) fn ends_with_head(length: BodyLength, rest: &[u8]) -> Option<usize> {
    match length {
        BodyLength::Empty | BodyLength::Sized(0) => Some(0),
        BodyLength::Chunked if rest.starts_with(b"0\r\n\r\n") => Some(5),
        BodyLength::Chunked | BodyLength::Sized(_) | BodyLength::UntilClose => None,
    }
}

/// An error of a stream as one of a connection.
pub(super) fn to_io(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
    }
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
