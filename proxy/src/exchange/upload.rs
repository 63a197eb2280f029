//! The direction from the client to the upstream: the request is sent, then the client is watched.

use std::{
    cell::Cell,
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use brownout_fault::{Bucket, Shape};
use brownout_telemetry::Span;
use smallvec::SmallVec;
use tokio::{sync::Notify, time::timeout};

use super::Exchange;
use crate::{
    clock::{Clock, Part},
    http1::{BadBody, BodyError, BodyLength, Encoder, Output, Source, Way, write_all},
    limits::EARLY_ANSWER_STALL_MAX,
    shaping::{BodyNext, BodyNote, BodyShaper},
    transport::Transport,
};

/// How far a request has been sent. Both directions of an exchange look at it.
#[derive(Debug)]
pub(super) struct Upload {
    state: Cell<UploadState>,
    /// Whether the client sends its content unasked, or what it waits for.
    pub(super) gate: ContinueGate,
    /// The final answer is being written to the client: nothing else can be answered.
    pub(super) answer_has_begun: Cell<bool>,
    /// A 1xx is being written to the client.
    pub(super) is_informing: Cell<bool>,
    /// The upstream has sent a 1xx.
    pub(super) was_informed: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploadState {
    Sending,
    /// All of it is with the kernel.
    Sent,
    /// The upstream takes no more of it.
    Refused,
}

/// How the direction from the client ended before the answer was passed on.
#[derive(Debug)]
pub(super) enum UploadEnd {
    /// The client has left.
    Left,
    /// The client's content is not framed as its head says.
    Malformed(BadBody),
    /// Not a byte could be written: the upstream had closed the connection before.
    Unwritten(io::Error),
}

/// A gate for the content of a request with `Expect: 100-continue`: it opens when the upstream answers 100, or when the
/// proxy has sent a 100 of its own (RFC 9110 §10.1.1: a client must not wait for ever).
#[derive(Debug)]
pub(super) struct ContinueGate {
    state: Cell<GateState>,
    opened: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GateState {
    /// The client waits for no 100.
    Absent,
    Closed,
    /// The upstream's 100 opened it.
    ByUpstream,
    /// The proxy's own 100 opened it.
    ByProxy,
}

impl ContinueGate {
    fn new(expects_continue: bool) -> Self {
        Self {
            state: Cell::new(match expects_continue {
                true => GateState::Closed,
                false => GateState::Absent,
            }),
            opened: Notify::new(),
        }
    }

    /// Whether the client still waits for a 100.
    pub(super) fn is_closed(&self) -> bool {
        self.state.get() == GateState::Closed
    }

    /// The upstream sent a 100. Whether the client is to get it: not if it has got the proxy's own.
    pub(super) fn upstream_continues(&self) -> bool {
        if self.is_closed() {
            self.open(GateState::ByUpstream);
        }
        self.state.get() != GateState::ByProxy
    }

    /// The proxy sends a 100 of its own.
    pub(super) fn open_by_proxy(&self) {
        self.open(GateState::ByProxy);
    }

    fn open(&self, by: GateState) {
        self.state.set(by);
        self.opened.notify_waiters();
    }

    async fn wait(&self) {
        while self.is_closed() {
            self.opened.notified().await;
        }
    }
}

impl Upload {
    pub(super) fn new(expects_continue: bool) -> Self {
        Self {
            state: Cell::new(UploadState::Sending),
            gate: ContinueGate::new(expects_continue),
            answer_has_begun: Cell::new(false),
            is_informing: Cell::new(false),
            was_informed: Cell::new(false),
        }
    }

    /// Whether nothing of the request is still to come.
    pub(super) fn is_sent(&self) -> bool {
        self.state.get() == UploadState::Sent
    }

    /// Whether the upstream takes no more of it.
    pub(super) fn is_refused(&self) -> bool {
        self.state.get() == UploadState::Refused
    }
}

/// Content that faults pace on its way to the upstream, framed anew.
pub(super) struct Paced {
    shaper: BodyShaper,
    encoder: Encoder,
    /// Of the faults that pace it, up to its end.
    _spans: SmallVec<[Span; 1]>,
}

impl Exchange<'_, '_> {
    /// Lets faults pace the content of a request of this length.
    pub(super) fn pace(
        &self,
        buckets: impl IntoIterator<Item = (usize, Arc<Bucket>)>,
        length: BodyLength,
    ) -> Box<Paced> {
        let record = self.record.borrow();
        let mut spans = SmallVec::new();
        let shapes: SmallVec<[_; 1]> = (buckets.into_iter())
            .map(|(by, bucket)| {
                spans.push(record.span_of(by));
                (by, Shape::Pace(bucket), record.fired(by).released())
            })
            .collect();
        let sized = match length {
            BodyLength::Sized(bytes) => Some(bytes),
            BodyLength::Empty => Some(0),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        Box::new(Paced {
            shaper: BodyShaper::new(shapes, sized, Instant::now()),
            encoder: Encoder::new(length),
            _spans: spans,
        })
    }

    /// Sends the request: `head`, which may have content behind it, then the rest of `body`. Then watches the client, so
    /// it ends only when something goes wrong.
    pub(super) async fn upload(
        &self,
        upload: &Upload,
        head: &[u8],
        mut body: Source<'_>,
        paced: Option<&mut Paced>,
        to: &Transport,
    ) -> UploadEnd {
        let mut unwritten = head;
        match poll_fn(|cx| Poll::Ready(to.poll_write(cx, head))).await {
            Poll::Ready(Ok(written)) => unwritten = &head[written..],
            Poll::Ready(Err(error)) => return UploadEnd::Unwritten(error),
            Poll::Pending => {}
        }
        // What TLS has encrypted may be on its way to the kernel still.
        let is_with_kernel =
            to.is_plain() || poll_fn(|cx| Poll::Ready(to.poll_flush(cx).is_ready())).await;
        if unwritten.is_empty() && body.decoder.is_ended() && is_with_kernel {
            upload.state.set(UploadState::Sent);
        } else {
            // Boxed, as most requests are sent at once and need no room for it.
            let is_unwritten = unwritten.len() == head.len();
            let rest = self.send_rest(upload, unwritten, is_unwritten, &mut body, paced, to);
            if let Some(end) = Box::pin(rest).await {
                return end;
            }
        }
        self.client.left(body.input).await;
        UploadEnd::Left
    }

    /// Sends what could not be written at once. Tells what went wrong, unless the upstream just takes no more.
    async fn send_rest(
        &self,
        upload: &Upload,
        mut unwritten: &[u8],
        mut is_unwritten: bool,
        body: &mut Source<'_>,
        paced: Option<&mut Paced>,
        to: &Transport,
    ) -> Option<UploadEnd> {
        while !unwritten.is_empty() {
            let written = self
                .clock
                .while_sending(Part::Upstream, |cx| to.poll_write(cx, unwritten));
            match written.await {
                Ok(written) => unwritten = &unwritten[written..],
                Err(error) if is_unwritten => return Some(UploadEnd::Unwritten(error)),
                // What it answered is read all the same.
                Err(_) => {
                    upload.state.set(UploadState::Refused);
                    return None;
                }
            }
            is_unwritten = false;
        }
        if !body.decoder.is_ended() {
            let passing = async {
                upload.gate.wait().await;
                match paced {
                    None => {
                        let count = |bytes| self.count_request(bytes);
                        body.pass_verbatim(to, self.clock, Way::Upload, count).await
                    }
                    Some(paced) => Box::pin(self.pass_paced(paced, body, to)).await,
                }
            };
            let mut passing = pin!(passing);
            let passing = poll_fn(|cx| {
                let polled = passing.as_mut().poll(cx);
                // What the upstream gave no credit for goes out when it does: the client may wait for that before it sends more.
                if polled.is_pending() {
                    to.poll_drive(cx);
                }
                polled
            });
            // While it is not read from, the client may leave unseen.
            let passed = tokio::select! {
                biased;
                passed = passing => passed,
                () = self.client.gone() => return Some(UploadEnd::Left),
            };
            match passed {
                Ok(()) => {}
                Err(BodyError::Write(_)) => {
                    upload.state.set(UploadState::Refused);
                    return None;
                }
                Err(BodyError::Malformed(bad)) => return Some(UploadEnd::Malformed(bad)),
                Err(BodyError::Eof | BodyError::Read(_)) => return Some(UploadEnd::Left),
            }
        }
        let flushing = (self.clock).while_sending(Part::Upstream, |cx| to.poll_flush(cx));
        let flushed = tokio::select! {
            biased;
            flushed = flushing => flushed,
            () = self.client.gone() => return Some(UploadEnd::Left),
        };
        upload.state.set(match flushed {
            Ok(()) => UploadState::Sent,
            Err(_) => UploadState::Refused,
        });
        None
    }

    /// Passes content on as fast as faults allow.
    async fn pass_paced(
        &self,
        paced: &mut Paced,
        body: &mut Source<'_>,
        to: &Transport,
    ) -> Result<(), BodyError> {
        let Paced {
            shaper, encoder, ..
        } = paced;
        let mut has_ended = false;
        loop {
            let next = shaper.next(Instant::now());
            self.note_body(shaper.take_notes());
            let until = match next {
                BodyNext::Write(bytes) => {
                    let mut framed = Output::new();
                    framed.extend(encoder.before(bytes.len() as u64).as_bytes());
                    framed.extend(&bytes);
                    framed.extend(encoder.after());
                    let written = write_all(to, framed.bytes(), self.clock, Way::Upload).await;
                    written.map_err(BodyError::Write)?;
                    self.count_request(bytes.len() as u64);
                    continue;
                }
                BodyNext::End | BodyNext::Cut { .. } => {
                    let mut end = Output::new();
                    encoder.end(body.decoder.take_trailers().as_ref(), end.bytes_mut());
                    let written = write_all(to, end.bytes(), self.clock, Way::Upload).await;
                    return written.map_err(BodyError::Write);
                }
                BodyNext::WaitUntil(at) => Some(at),
                BodyNext::Idle => None,
            };
            let reads = !has_ended && shaper.has_room();
            if reads {
                if let Some(piece) = body.take_piece().map_err(BodyError::Malformed)? {
                    shaper.push(Instant::now(), piece);
                    continue;
                }
                if body.decoder.is_ended() {
                    has_ended = true;
                    shaper.end(Instant::now());
                    continue;
                }
            }
            self.wait_for_content(shaper, body, until, reads, Way::Upload)
                .await?;
        }
    }

    /// Waits until `until`, until there is content if `reads`, or until a fault is removed. While a fault is the reason
    /// that nothing goes on, the time is the fault's.
    pub(super) async fn wait_for_content(
        &self,
        shaper: &mut BodyShaper,
        body: &mut Source<'_>,
        until: Option<Instant>,
        reads: bool,
        way: Way,
    ) -> Result<(), BodyError> {
        let pausing = shaper.is_pausing();
        let clock = match pausing {
            Some(by) => {
                self.record.borrow_mut().pause(Some(by));
                match way {
                    Way::Upload => self.clock.sending_is_held(),
                    Way::Download => {
                        self.clock.enter(Part::Fault);
                    }
                }
                None
            }
            None => Some(self.clock),
        };
        let waited = {
            let released = poll_fn(|cx| shaper.poll_released(Instant::now(), cx));
            let time = async {
                match until {
                    Some(at) => self.scope.timer.at(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = time => Ok(()),
                () = released => Ok(()),
                filled = body.fill(clock, way), if reads => filled,
            }
        };
        if pausing.is_some() {
            self.record.borrow_mut().pause(None);
            match way {
                Way::Upload => self.clock.sending_goes_on(),
                Way::Download => {
                    self.clock.enter(Part::Own);
                }
            }
        }
        waited
    }

    /// Counts what faults did to a body.
    pub(super) fn note_body(&self, notes: impl IntoIterator<Item = BodyNote>) {
        let mut record = self.record.borrow_mut();
        for note in notes {
            match note {
                BodyNote::Acts { by } => record.acts(by),
                BodyNote::Held {
                    by,
                    asked,
                    achieved,
                } => record.delayed(by, asked, achieved),
                BodyNote::Passed { by, bytes, took } => record.fired(by).note_bytes(bytes, took),
            }
        }
    }
}

/// Goes on sending a request whose answer came before all of it: until all is sent, the upstream takes no more, or nothing
/// moves for [`EARLY_ANSWER_STALL_MAX`]. Tells whether something went wrong on the client's side.
pub(super) async fn finish_sending(
    upload: &Upload,
    clock: &Clock,
    mut sending: Pin<&mut impl Future<Output = UploadEnd>>,
) -> Option<UploadEnd> {
    clock.enter(Part::Client);
    // A client that still waits for a 100 has nothing to send.
    while !upload.is_sent() && !upload.is_refused() && !upload.gate.is_closed() {
        let steps = clock.sending_steps();
        let moved = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending if upload.is_sent() || upload.is_refused() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match timeout(EARLY_ANSWER_STALL_MAX, moved).await {
            Ok(end) => return end,
            Err(_) if clock.sending_steps() == steps => upload.state.set(UploadState::Refused),
            Err(_) => {}
        }
    }
    None
}
