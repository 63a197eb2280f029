//! Bodies on their way from one connection to another.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::task::yield_now;

use super::{
    BadBody, EventTail, Input,
    decoder::{Decoder, Tracked},
};
use crate::{
    clock::{Clock, Part},
    relay::Pipe,
    transport::Transport,
};

/// Where a body comes from.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) input: &'a mut Input,
    pub(crate) decoder: &'a mut Decoder,
}

/// Why a body did not pass to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// Its sender closed the connection before the end.
    Eof,
    /// Reading it failed.
    Read(io::Error),
    /// It is not framed as its head says.
    Malformed(BadBody),
    /// Writing it failed.
    Write(io::Error),
}

/// Which direction a body goes, for the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the upstream.
    Upload,
    /// From the upstream to the client.
    Download,
}

impl Way {
    /// Whose time it is while there is nothing to read.
    fn sender(self) -> Part {
        match self {
            Self::Upload => Part::Client,
            Self::Download => Part::Upstream,
        }
    }

    /// Whose time it is while nothing can be written.
    fn receiver(self) -> Part {
        match self {
            Self::Upload => Part::Upstream,
            Self::Download => Part::Client,
        }
    }
}

/// Bodies that are longer than this are moved inside the kernel where that is possible.
const SPLICED_BYTES_MIN: u64 = 192 * 1024;

impl Source<'_> {
    /// Reads more. A body that ends with its connection ends here. Without a `clock` the time is somebody else's.
    ///
    /// # Errors
    /// When there is no more, though the body has not ended.
    pub(crate) async fn fill(&mut self, clock: Option<&Clock>, way: Way) -> Result<(), BodyError> {
        let (transport, input) = (self.transport, &mut *self.input);
        let poll = |cx: &mut Context<'_>| input.poll_fill(transport, cx);
        let read = match clock {
            Some(clock) => wait(clock, way, way.sender(), poll).await,
            None => poll_fn(poll).await,
        };
        match read {
            Ok(0) => self.decoder.end_of_stream().map_err(|_| BodyError::Eof),
            Ok(_) => Ok(()),
            Err(error) => Err(BodyError::Read(error)),
        }
    }

    /// Takes as much of the body as was read, up to `bytes_max` bytes, into `out`, framing included. Gives the bytes of
    /// content.
    ///
    /// # Errors
    /// When what was read is not framed as its head says.
    pub(crate) fn take_verbatim(
        &mut self,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<u64, BadBody> {
        if self.input.is_empty() || self.decoder.is_ended() {
            return Ok(0);
        }
        let bytes = &self.input.bytes()[..self.input.len().min(bytes_max)];
        let tracked = self.decoder.track(bytes)?;
        out.extend_from_slice(&bytes[..tracked.used]);
        self.input.consume(tracked.used);
        Ok(tracked.data)
    }

    /// How much of what was read is to be [passed on](Self::write_behind) byte for byte, and what is wrong about the framing
    /// behind that, if something is: the receiver learns the same however the bytes are cut.
    pub(crate) fn track(&mut self) -> (Tracked, Option<BadBody>) {
        if self.input.is_empty() || self.decoder.is_ended() {
            return (Tracked::default(), None);
        }
        match self.decoder.track(self.input.bytes()) {
            Ok(tracked) => (tracked, None),
            Err(bad) => (self.decoder.before_flaw(), Some(bad)),
        }
    }

    /// Reads and forgets a piece of the body. Gives its bytes, framing included. Without a `clock` the time is somebody
    /// else's.
    ///
    /// # Errors
    /// When the body does not go on as it should.
    pub(crate) async fn discard_piece(
        &mut self,
        clock: Option<&Clock>,
    ) -> Result<usize, BodyError> {
        loop {
            if !self.input.is_empty() {
                let tracked = self.decoder.track(self.input.bytes());
                let used = tracked.map_err(BodyError::Malformed)?.used;
                self.input.consume(used);
                if used > 0 {
                    return Ok(used);
                }
            }
            if self.decoder.is_ended() {
                return Ok(0);
            }
            self.fill(clock, Way::Upload).await?;
        }
    }

    /// The next piece of content, read if there is none; `None` at the end of the body.
    ///
    /// # Errors
    /// When the body does not go on as it should.
    pub(crate) async fn next_piece(
        &mut self,
        clock: &Clock,
        way: Way,
    ) -> Result<Option<Bytes>, BodyError> {
        self.next_piece_unless(clock, way, || false).await
    }

    /// As [`next_piece`](Self::next_piece); `None` as well when there is nothing to read and `ends_here`. Whoever makes
    /// that true wakes the task.
    ///
    /// # Errors
    /// When the body does not go on as it should.
    pub(crate) async fn next_piece_unless(
        &mut self,
        clock: &Clock,
        way: Way,
        ends_here: impl Fn() -> bool,
    ) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(piece) = self.take_piece().map_err(BodyError::Malformed)? {
                return Ok(Some(piece));
            }
            if self.decoder.is_ended() || !self.fill_unless(clock, way, &ends_here).await? {
                return Ok(None);
            }
        }
    }

    /// Reads more, unless there is nothing to read and `ends_here`. Whether it did.
    async fn fill_unless(
        &mut self,
        clock: &Clock,
        way: Way,
        ends_here: impl Fn() -> bool,
    ) -> Result<bool, BodyError> {
        let (transport, input) = (self.transport, &mut *self.input);
        let read = wait(clock, way, way.sender(), |cx| {
            match input.poll_fill(transport, cx) {
                Poll::Pending if ends_here() => Poll::Ready(None),
                polled => polled.map(Some),
            }
        });
        match read.await {
            None => return Ok(false),
            Some(Ok(0)) => self.decoder.end_of_stream().map_err(|_| BodyError::Eof)?,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(BodyError::Read(error)),
        }
        Ok(true)
    }

    /// The next piece of content among the bytes that were read.
    ///
    /// # Errors
    /// When they are not framed as the head says.
    pub(crate) fn take_piece(&mut self) -> Result<Option<Bytes>, BadBody> {
        while !self.input.is_empty() && !self.decoder.is_ended() {
            let decoded = self.decoder.decode(self.input.bytes())?;
            let piece = Bytes::copy_from_slice(&self.input.bytes()[decoded.data]);
            self.input.consume(decoded.used);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if decoded.used == 0 {
                break;
            }
        }
        Ok(None)
    }

    /// Passes the rest of the body on byte for byte, framing included. `count` is told of content before it is written.
    ///
    /// Holds at most one buffer: no more is read before all is written, so a receiver that does not read slows its
    /// sender down.
    pub(crate) async fn pass_verbatim(
        &mut self,
        to: &Transport,
        clock: &Clock,
        way: Way,
        mut count: impl FnMut(u64),
    ) -> Result<(), BodyError> {
        loop {
            let (tracked, flaw) = self.track();
            if tracked.used > 0 {
                // Before the receiver can know of it.
                count(tracked.data);
                let written = self.write_behind(&[], tracked.used, to, clock, way).await;
                written.map_err(BodyError::Write)?;
            }
            if let Some(bad) = flaw {
                return Err(BodyError::Malformed(bad));
            }
            if self.decoder.is_ended() {
                return Ok(());
            }
            if self
                .decoder
                .remaining()
                .is_some_and(|rest| rest >= SPLICED_BYTES_MIN)
                && !self.decoder.is_watched()
                && let Some(pipe) = self.pipe(to)
            {
                self.splice(pipe, to, clock, way, &mut count).await?;
                continue;
            }
            self.fill(Some(clock), way).await?;
        }
    }

    /// As [`pass_verbatim`](Self::pass_verbatim), of a chunked stream of server-sent events whose bytes up to here are in
    /// `tail`. When `is_last` it ends between two events, with a last chunk of the proxy's: the flag says whether it was so.
    /// Whoever makes `is_last` true wakes the task.
    pub(crate) async fn pass_events(
        &mut self,
        to: &Transport,
        clock: &Clock,
        mut tail: EventTail,
        is_last: impl Fn() -> bool,
        mut count: impl FnMut(u64),
    ) -> Result<bool, BodyError> {
        let way = Way::Download;
        loop {
            let (tracked, flaw) = self.track();
            if tracked.used > 0 {
                count(tracked.data);
                tail.follow(&self.input.bytes()[..tracked.used]);
                let written = self.write_behind(&[], tracked.used, to, clock, way).await;
                written.map_err(BodyError::Write)?;
            }
            if let Some(bad) = flaw {
                return Err(BodyError::Malformed(bad));
            }
            if self.decoder.is_ended() {
                return Ok(false);
            }
            let may_end = self.decoder.is_between_chunks() && tail.is_between_chunked_events();
            let ends_here = || may_end && is_last();
            if !self.fill_unless(clock, way, ends_here).await? {
                let ended = write_all(to, b"0\r\n\r\n", clock, way).await;
                return ended.map(|()| true).map_err(BodyError::Write);
            }
        }
    }

    /// Writes a head, which may be empty, and behind it the first `bytes` of the input, which the decoder has followed. They
    /// leave the input with this call, whether it fails or is dropped: decoder and input stay in step.
    pub(crate) async fn write_behind(
        &mut self,
        mut head: &[u8],
        bytes: usize,
        to: &Transport,
        clock: &Clock,
        way: Way,
    ) -> io::Result<()> {
        let mut unwritten = Unwritten {
            input: &mut *self.input,
            bytes,
        };
        while !head.is_empty() || unwritten.bytes > 0 {
            let write = |cx: &mut Context<'_>| to.poll_write_both(cx, head, unwritten.bytes());
            let written = wait(clock, way, way.receiver(), write).await?;
            let of_head = written.min(head.len());
            head = &head[of_head..];
            unwritten.consume(written - of_head);
        }
        Ok(())
    }

    /// A pipe between the two sockets, where nothing lies between them and the core has one to spare.
    fn pipe(&self, to: &Transport) -> Option<Pipe> {
        (self.transport.is_plain() && to.is_plain())
            .then(Pipe::take)
            .flatten()
    }

    /// Moves content inside the kernel, for as long as nothing comes between and much is left.
    ///
    /// The decoder follows what is taken from the sender, so it stays in step if this fails or is dropped.
    async fn splice(
        &mut self,
        pipe: Pipe,
        to: &Transport,
        clock: &Clock,
        way: Way,
        count: &mut impl FnMut(u64),
    ) -> Result<(), BodyError> {
        let from = self.transport;
        let is_plain = || from.is_plain() && to.is_plain();
        let mut pipe = pipe;
        while let Some(rest) = self.decoder.remaining().filter(|rest| *rest > 0) {
            // A fault of the stream layer that is armed meanwhile wakes the task.
            let filled = wait(clock, way, way.sender(), |cx| match is_plain() {
                true => pipe.poll_fill(from.tcp(), rest, cx).map_ok(Some),
                false => Poll::Ready(Ok(None)),
            });
            match filled.await {
                Ok(None) => break,
                Ok(Some(0)) => return Err(BodyError::Eof),
                Ok(Some(filled)) => {
                    self.decoder.advance(filled as u64);
                    count(filled as u64);
                }
                Err(error) => return Err(BodyError::Read(error)),
            }
            while pipe.held() > 0 {
                if !to.is_plain() {
                    let bytes = pipe.into_bytes().map_err(BodyError::Read)?;
                    return (write_all(to, &bytes, clock, way).await).map_err(BodyError::Write);
                }
                let drained = wait(clock, way, way.receiver(), |cx| match to.is_plain() {
                    true => pipe.poll_drain(to.tcp(), cx),
                    false => Poll::Ready(Ok(0)),
                });
                drained.await.map_err(BodyError::Write)?;
            }
            // Others on this core have their turn.
            yield_now().await;
        }
        pipe.give_back();
        Ok(())
    }
}

/// Bytes at the beginning of an input that are being written. Dropping it forgets those that were not.
struct Unwritten<'a> {
    input: &'a mut Input,
    bytes: usize,
}

impl Unwritten<'_> {
    fn bytes(&self) -> &[u8] {
        &self.input.bytes()[..self.bytes]
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.input.consume(self.bytes);
    }
}

async fn wait<T>(
    clock: &Clock,
    way: Way,
    part: Part,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> T {
    match way {
        Way::Upload => clock.while_sending(part, poll).await,
        Way::Download => clock.during(part, poll).await,
    }
}

async fn write_some(to: &Transport, bytes: &[u8], clock: &Clock, way: Way) -> io::Result<usize> {
    wait(clock, way, way.receiver(), |cx| to.poll_write(cx, bytes)).await
}

/// Writes all of `bytes`.
pub(crate) async fn write_all(
    to: &Transport,
    mut bytes: &[u8],
    clock: &Clock,
    way: Way,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = write_some(to, bytes, clock, way).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}
