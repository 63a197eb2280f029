//! Bodies of hyper's that a [`BodyShaper`] shapes.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use brownout_fault::{Bell, Break, Bucket, Keep, Shape};
use brownout_telemetry::Span;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use smallvec::SmallVec;

use super::BodyError;
use crate::{
    client_io::ClientSocket,
    limits::DRAIN,
    record::Record,
    shaping::{BodyNext, BodyNote, BodyShaper},
    timer::{Sleep, Timer},
};

/// What comes out of a source: a frame, an error or the end.
pub(super) type Polled<E = BodyError> = Option<Result<Frame<Bytes>, E>>;

/// A shaper between a body of hyper's and whoever takes its frames.
struct Shaped<E> {
    shaper: BodyShaper,
    alarm: Sleep,
    /// Read and not given on.
    held_bytes: u64,
    trailers: Option<Frame<Bytes>>,
    /// `Some` once the source has ended, with its error if it broke.
    source_end: Option<Result<(), E>>,
}

/// What a [`Shaped`] gives.
enum Given<E> {
    Data(Bytes),
    /// The source has ended; this is its trailers or its error.
    End(Polled<E>),
    Cut {
        by: usize,
        how: Break,
    },
}

impl<E> Shaped<E> {
    fn new(
        shapes: impl IntoIterator<Item = (usize, Shape, Bell)>,
        length: Option<u64>,
        timer: &Timer,
    ) -> Self {
        let now = Instant::now();
        Self {
            shaper: BodyShaper::new(shapes, length, now),
            alarm: timer.at(now),
            held_bytes: 0,
            trailers: None,
            source_end: None,
        }
    }

    fn poll(
        &mut self,
        mut poll_source: impl FnMut(&mut Context<'_>) -> Poll<Polled<E>>,
        cx: &mut Context<'_>,
    ) -> Poll<Given<E>> {
        loop {
            let now = Instant::now();
            // Ready or not: what was held is seen by the next call.
            let _released: Poll<()> = self.shaper.poll_released(now, cx);
            let due = match self.shaper.next(now) {
                BodyNext::Write(bytes) => {
                    self.held_bytes = self.held_bytes.saturating_sub(bytes.len() as u64);
                    return Poll::Ready(Given::Data(bytes));
                }
                BodyNext::End => {
                    let trailers = self.trailers.take().map(Ok);
                    let end = match self.source_end.take() {
                        Some(Err(error)) => Some(Err(error)),
                        Some(Ok(())) | None => trailers,
                    };
                    self.source_end = Some(Ok(()));
                    return Poll::Ready(Given::End(end));
                }
                BodyNext::Cut { by, how } => return Poll::Ready(Given::Cut { by, how }),
                BodyNext::WaitUntil(at) => Some(at),
                BodyNext::Idle => None,
            };
            if self.source_end.is_none()
                && self.shaper.has_room()
                && let Poll::Ready(polled) = poll_source(cx)
            {
                self.take(polled);
                continue;
            }
            let Some(at) = due else { return Poll::Pending };
            self.alarm.reset(at);
            ready!(Pin::new(&mut self.alarm).poll(cx));
        }
    }

    fn take(&mut self, polled: Polled<E>) {
        match polled {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.held_bytes += data.len() as u64;
                    self.shaper.push(Instant::now(), data);
                }
                Err(trailers) => {
                    self.trailers = Some(trailers);
                    self.source_ended(Ok(()));
                }
            },
            Some(Err(error)) => self.source_ended(Err(error)),
            None => self.source_ended(Ok(())),
        }
    }

    fn source_ended(&mut self, how: Result<(), E>) {
        if self.source_end.is_none() {
            self.source_end = Some(how);
            self.shaper.end(Instant::now());
        }
    }
}

/// Paces the body of a request.
pub(crate) struct UploadPace {
    shaped: Shaped<hyper::Error>,
    /// Those of the faults that pace it, up to its end.
    spans: SmallVec<[Span; 1]>,
}

impl UploadPace {
    pub(crate) fn new(
        budgets: impl IntoIterator<Item = (usize, Arc<Bucket>, Bell)>,
        spans: SmallVec<[Span; 1]>,
        length: Option<u64>,
        timer: &Timer,
    ) -> Box<Self> {
        let shapes = budgets.into_iter();
        let shapes = shapes.map(|(by, bucket, bell)| (by, Shape::Pace(bucket), bell));
        Box::new(Self {
            shaped: Shaped::new(shapes, length, timer),
            spans,
        })
    }

    /// Whether it holds bytes that are still to go.
    pub(super) fn is_holding(&self) -> bool {
        self.shaped.held_bytes > 0
    }

    pub(super) fn size_hint(&self, incoming: &Incoming) -> SizeHint {
        let (hint, held) = (incoming.size_hint(), self.shaped.held_bytes);
        let mut with_held = SizeHint::new();
        with_held.set_lower(hint.lower() + held);
        if let Some(upper) = hint.upper() {
            with_held.set_upper(upper + held);
        }
        with_held
    }

    pub(super) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Polled<hyper::Error>> {
        let poll_source = |cx: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(cx);
        Poll::Ready(match ready!(self.shaped.poll(poll_source, cx)) {
            Given::Data(bytes) => Some(Ok(Frame::data(bytes))),
            Given::End(end) => {
                self.spans.clear();
                end
            }
            Given::Cut { .. } => None, // Uploads are only paced.
        })
    }
}

impl std::fmt::Debug for UploadPace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadPace").finish_non_exhaustive()
    }
}

/// What faults do to the body of a response.
pub(crate) struct ShapedResponse {
    shaped: Shaped<BodyError>,
    /// Those of the faults that act, up to the end of the body or of the stall.
    spans: SmallVec<[(usize, Span); 1]>,
    /// Those that hold the body, and those that slow it down.
    stalls: SmallVec<[usize; 1]>,
    paces: SmallVec<[usize; 1]>,
    keep: Option<Keeping>,
    passed_bytes: u64,
    ending: Option<Ending>,
}

/// An answer on its way into the cache.
struct Keeping {
    keep: Keep,
    status: StatusCode,
    headers: HeaderMap,
    content: BytesMut,
}

/// An end that waits until everything before has gone out.
enum Ending {
    Broken {
        error: Option<BodyError>,
        flush_mark: u64,
    },
    Cut {
        how: Break,
        flush_mark: u64,
        released: Pin<Box<dyn Future<Output = ()>>>,
        /// Waits for what was sent to be acknowledged.
        settled: Option<Pin<Box<dyn Future<Output = ()>>>>,
    },
}

impl ShapedResponse {
    /// The answer to the exchange of `record`, with a body of `length` bytes.
    pub(crate) fn new(
        shapes: impl IntoIterator<Item = (usize, Shape)>,
        length: Option<u64>,
        record: &mut Record,
    ) -> Box<Self> {
        let mut stalls = SmallVec::new();
        let mut paces = SmallVec::new();
        let shapes: Vec<_> = shapes
            .into_iter()
            .map(|(by, shape)| {
                match shape {
                    Shape::Stall(_) => stalls.push(by),
                    Shape::Pace(_) | Shape::Dribble(_) => paces.push(by),
                    Shape::Corrupt(_) | Shape::Cut(_) => {}
                }
                (by, shape, record.fired(by).bell())
            })
            .collect();
        let mut made = Self {
            shaped: Shaped::new(shapes, length, &record.scope().timer),
            spans: SmallVec::new(),
            stalls,
            paces,
            keep: None,
            passed_bytes: 0,
            ending: None,
        };
        made.count(record);
        Box::new(made)
    }

    /// Keeps a copy of the answer as it comes from the upstream.
    pub(crate) fn keep(&mut self, keep: Keep, status: StatusCode, headers: HeaderMap) {
        self.keep = Some(Keeping {
            keep,
            status,
            headers,
            content: BytesMut::new(),
        });
    }

    pub(crate) fn new_length(&self) -> Option<u64> {
        self.shaped.shaper.new_length()
    }

    pub(super) fn poll_frame(
        &mut self,
        record: &mut Record,
        mut poll_source: impl FnMut(&mut Record, &mut Context<'_>) -> Poll<Polled>,
        cx: &mut Context<'_>,
    ) -> Poll<Polled> {
        if let Some(ending) = &mut self.ending {
            return ending.poll(record.client(), cx);
        }
        let keep = &mut self.keep;
        let given = self.shaped.poll(
            |cx| {
                let polled = ready!(poll_source(record, cx));
                Keeping::look(keep, &polled);
                Poll::Ready(polled)
            },
            cx,
        );
        self.count(record);
        match ready!(given) {
            Given::Data(bytes) => {
                self.passed_bytes += bytes.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Given::End(Some(Err(error))) => {
                let ending = self.ending.insert(Ending::Broken {
                    error: Some(error),
                    flush_mark: record.client().flush_mark(),
                });
                ending.poll(record.client(), cx)
            }
            Given::End(end) => Poll::Ready(end),
            Given::Cut { by, how } => {
                record.cut_by_fault(by);
                if how == Break::Clean {
                    return Poll::Ready(None);
                }
                let bell = record.fired(by).bell();
                let ending = self.ending.insert(Ending::Cut {
                    how,
                    flush_mark: record.client().flush_mark(),
                    released: Box::pin(bell.released()),
                    settled: None,
                });
                ending.poll(record.client(), cx)
            }
        }
    }

    /// Counts what happened.
    fn count(&mut self, record: &mut Record) {
        for note in self.shaped.shaper.take_notes() {
            match note {
                BodyNote::Acts { by } => {
                    record.acts(by);
                    if self.stalls.contains(&by) {
                        self.spans.push((by, record.hold(by, Instant::now())));
                    } else if self.paces.contains(&by) {
                        self.spans.push((by, record.span_of(by)));
                    }
                }
                BodyNote::Held {
                    by,
                    asked,
                    achieved,
                } => {
                    self.spans.retain(|(of, _)| *of != by);
                    record.delayed(by, asked, achieved);
                }
                BodyNote::Passed { by, bytes, took } => {
                    self.spans.retain(|(of, _)| *of != by);
                    record.fired(by).note_bytes(bytes, took);
                }
            }
        }
    }

    /// Whether nothing more can come.
    pub(super) fn is_done(&self) -> bool {
        self.shaped.source_end.is_some()
            && self.shaped.held_bytes == 0
            && self.shaped.trailers.is_none()
    }

    pub(super) fn source_ended(&mut self) {
        Keeping::look(&mut self.keep, &None);
        self.shaped.source_ended(Ok(()));
    }

    /// Counts what is left to count. Nothing comes after it.
    pub(super) fn report(&mut self, record: &mut Record) {
        let now = Instant::now();
        if self.is_done() {
            self.shaped.shaper.next(now);
        }
        self.shaped.shaper.abandon(now);
        for note in self.shaped.shaper.take_notes() {
            match note {
                BodyNote::Acts { by } => record.acts(by),
                BodyNote::Held { .. } => {} // The record knows what holds it.
                BodyNote::Passed { by, bytes, took } => record.fired(by).note_bytes(bytes, took),
            }
        }
        self.spans.clear();
        record.shaped(self.passed_bytes);
    }
}

impl Keeping {
    /// Takes what comes, and keeps the answer once it is whole.
    fn look(this: &mut Option<Self>, polled: &Polled) {
        match polled {
            Some(Ok(frame)) => {
                let Some(keeping) = this else { return };
                if let Some(data) = frame.data_ref() {
                    keeping.content.extend_from_slice(data);
                    if keeping.content.len() > Keep::BYTES_MAX {
                        *this = None;
                    }
                    return;
                }
            }
            Some(Err(_)) => return *this = None,
            None => {}
        }
        if let Some(keeping) = this.take() {
            let content = keeping.content.freeze();
            let now = Instant::now();
            keeping
                .keep
                .put(keeping.status, keeping.headers, content, now);
        }
    }
}

impl Ending {
    fn poll(&mut self, client: &Arc<ClientSocket>, cx: &mut Context<'_>) -> Poll<Polled> {
        match self {
            // hyper throws away what it still holds when a body fails.
            Self::Broken { error, flush_mark } => {
                ready!(client.poll_flushed(*flush_mark, cx));
                Poll::Ready(error.take().map(Err))
            }
            Self::Cut {
                how,
                flush_mark,
                released,
                settled,
            } => {
                let is_released = released.as_mut().poll(cx).is_ready();
                if *how == Break::Reset {
                    let settled = settled.get_or_insert_with(|| {
                        let client = Arc::clone(client);
                        Box::pin(async move { client.settled(DRAIN).await })
                    });
                    if !is_released {
                        ready!(settled.as_mut().poll(cx));
                    }
                    client.reset_on_close();
                } else {
                    if !is_released {
                        ready!(client.poll_flushed(*flush_mark, cx));
                    }
                    client.linger_on_close();
                }
                Poll::Ready(Some(Err(BodyError::Cut)))
            }
        }
    }
}
