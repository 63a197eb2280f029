//! What faults do to the bytes of an answer while they stream.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use brownout_fault::{Break, Corruption, Cut, CutAt, Dribble, Keep, Shape, Stall};
use brownout_telemetry::Span;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use hyper::body::Frame;
use smallvec::SmallVec;

use super::{
    BodyError,
    paced::{Alarm, Budgets, Release},
};
use crate::{client_io::ClientSocket, inject::DRAIN, record::Record, timer::later};

/// The shapes of one body. Bytes are damaged as they come, and then leave in pieces that every shape allows.
pub(crate) struct Shaper {
    damages: SmallVec<[(usize, Corruption); 1]>,
    stops: SmallVec<[Stop; 1]>,
    cut: Option<PlannedCut>,
    dribbles: SmallVec<[Pieces; 1]>,
    budgets: Budgets,
    /// The faults whose bytes are measured.
    measured: SmallVec<[usize; 1]>,
    /// Of the faults that pace it, up to its end.
    spans: SmallVec<[Span; 1]>,
    keep: Option<Keeping>,
    alarm: Alarm,
    /// Damaged already, still to go.
    carry: Bytes,
    trailers: Option<Frame<Bytes>>,
    source_is_done: bool,
    passed: u64,
    began: Option<Instant>,
    finishing: Option<Finishing>,
}

struct Stop {
    by: usize,
    stall: Stall,
    release: Release,
    /// Since when it holds the body, and the span of that time.
    began: Option<(Instant, Span)>,
}

struct PlannedCut {
    by: usize,
    /// `None` until a length is known.
    at: Option<u64>,
    cut: Cut,
}

struct Pieces {
    bytes: u64,
    gap: Duration,
    /// Of the present piece.
    left: u64,
    next_at: Option<Instant>,
    release: Release,
}

/// An answer on its way onto the shelf.
struct Keeping {
    keep: Keep,
    status: StatusCode,
    headers: HeaderMap,
    content: BytesMut,
}

/// An end that waits until everything before has gone out.
struct Finishing {
    how: Break,
    flush_mark: u64,
    release: Release,
    /// Waits for what was sent to be acknowledged.
    settle: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// What comes out of a source: a frame, an error or the end.
pub(super) type Polled = Option<Result<Frame<Bytes>, BodyError>>;

impl Shaper {
    /// The shapes of the answer to the exchange of `record`, for a body of `length` bytes.
    pub(crate) fn new(
        shapes: impl IntoIterator<Item = (usize, Shape)>,
        length: Option<u64>,
        record: &mut Record,
    ) -> Box<Self> {
        let mut made = Self {
            damages: SmallVec::new(),
            stops: SmallVec::new(),
            cut: None,
            dribbles: SmallVec::new(),
            budgets: Budgets::new(),
            measured: SmallVec::new(),
            spans: SmallVec::new(),
            keep: None,
            alarm: Alarm::new(&record.scope().timer),
            carry: Bytes::new(),
            trailers: None,
            source_is_done: false,
            passed: 0,
            began: None,
            finishing: None,
        };
        for (by, shape) in shapes {
            made.add(by, shape, length, record);
        }
        Box::new(made)
    }

    fn add(&mut self, by: usize, shape: Shape, length: Option<u64>, record: &mut Record) {
        let released = record.fired(by).released();
        match shape {
            Shape::Corrupt(corruption) => self.damages.push((by, corruption)),
            Shape::Pace(bucket) => {
                record.acts(by);
                self.budgets.push(bucket, released);
                self.measured.push(by);
                self.spans.push(record.span_of(by));
            }
            Shape::Dribble(dribble) => {
                record.acts(by);
                self.add_dribble(dribble, length, Release::new(released));
                self.measured.push(by);
                self.spans.push(record.span_of(by));
            }
            Shape::Stall(stall) => self.stops.push(Stop {
                by,
                stall,
                release: Release::new(released),
                began: None,
            }),
            Shape::Cut(cut) => {
                let at = match (cut.at, length) {
                    (CutAt::Bytes(at), _) => Some(at),
                    (at @ CutAt::Fraction(_), Some(length)) => Some(at.bytes(length)),
                    (CutAt::Fraction(_), None) => None,
                };
                if cut.how == Break::Clean && at.is_some() && length.is_some() {
                    // The length that the head promises changes.
                    record.acts(by);
                }
                self.cut = Some(PlannedCut { by, at, cut });
                self.measured.push(by);
            }
        }
    }

    fn add_dribble(&mut self, dribble: Dribble, length: Option<u64>, release: Release) {
        let (bytes, gap) = dribble.pieces(length);
        self.dribbles.push(Pieces {
            bytes,
            gap,
            left: bytes,
            next_at: None,
            release,
        });
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

    /// The length of the body as the client will see it, if it is framed anew.
    pub(crate) fn reframed(&self) -> Option<u64> {
        let planned = self.cut.as_ref()?;
        (planned.cut.how == Break::Clean).then_some(planned.at?)
    }

    /// Whether nothing more can come.
    pub(super) fn is_done(&self) -> bool {
        self.source_is_done && self.carry.is_empty() && self.trailers.is_none()
    }

    /// The next frame for the client.
    pub(super) fn poll_frame(
        &mut self,
        record: &mut Record,
        mut poll_source: impl FnMut(&mut Record, &mut Context<'_>) -> Poll<Polled>,
        cx: &mut Context<'_>,
    ) -> Poll<Polled> {
        loop {
            if let Some(finishing) = &mut self.finishing {
                return finishing.poll(record.client(), cx);
            }
            if self.begins_to_end(record) {
                continue;
            }
            ready!(self.poll_stops(record, cx));
            if self.finishing.is_some() {
                continue;
            }
            if self.carry.is_empty() && !self.source_is_done {
                match ready!(poll_source(record, cx)) {
                    Some(Ok(frame)) => self.take(frame, record),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => self.source_ended(),
                }
                continue;
            }
            if self.carry.is_empty() {
                return Poll::Ready(self.trailers.take().map(Ok));
            }
            let given = ready!(self.poll_room(cx));
            let given = usize::try_from(given).unwrap_or(usize::MAX);
            let piece = self.carry.split_to(given.min(self.carry.len()));
            self.began.get_or_insert_with(Instant::now);
            self.passed += piece.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
    }

    fn take(&mut self, frame: Frame<Bytes>, record: &mut Record) {
        match frame.into_data() {
            Ok(mut data) => {
                if let Some(keeping) = &mut self.keep {
                    keeping.content.extend_from_slice(&data);
                    if keeping.content.len() > Keep::BYTES_MAX {
                        self.keep = None;
                    }
                }
                if let Some(planned) = &mut self.cut
                    && planned.at.is_none()
                {
                    planned.at = Some(planned.cut.at.bytes(data.len() as u64));
                }
                for (by, damage) in &mut self.damages {
                    data = damage.apply(data);
                    if damage.has_damaged() {
                        record.acts(*by);
                    }
                }
                self.carry = data;
            }
            Err(trailers) => {
                self.trailers = Some(trailers);
                self.source_ended();
            }
        }
    }

    pub(super) fn source_ended(&mut self) {
        self.source_is_done = true;
        if let Some(keeping) = self.keep.take() {
            let now = Instant::now();
            let content = keeping.content.freeze();
            keeping
                .keep
                .put(keeping.status, &keeping.headers, content, now);
        }
    }

    /// Whether this is the place of the cut.
    fn begins_to_end(&mut self, record: &mut Record) -> bool {
        let is_here = |planned: &PlannedCut| planned.at.is_some_and(|at| self.passed >= at);
        if !self.cut.as_ref().is_some_and(is_here) {
            return false;
        }
        if let Some(planned) = self.cut.take() {
            self.finish(planned.by, planned.cut.how, record);
        }
        true
    }

    fn finish(&mut self, by: usize, how: Break, record: &mut Record) {
        record.acts(by);
        record.cut_by_fault(by);
        self.finishing = Some(Finishing {
            how,
            flush_mark: record.client().flush_mark(),
            release: Release::new(record.fired(by).released()),
            settle: None,
        });
    }

    /// Waits where the body stops.
    fn poll_stops(&mut self, record: &mut Record, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(at) =
            (0..self.stops.len()).find(|at| self.passed >= self.stops[*at].stall.after_bytes)
        {
            let stop = &mut self.stops[at];
            let hold = || {
                let now = Instant::now();
                record.acts(stop.by);
                (now, record.hold(stop.by, now))
            };
            let began = stop.began.get_or_insert_with(hold).0;
            let released = stop.release.poll(cx);
            if !released {
                match stop.stall.hold {
                    None => return Poll::Pending,
                    Some(hold) => ready!(self.alarm.poll_at(later(began, hold), cx)),
                }
            }
            let Stop { by, stall, .. } = self.stops.remove(at);
            let asked = stall.hold.filter(|_| !released);
            record.delayed(by, asked, began.elapsed());
            if let Some(how) = stall.then
                && !released
            {
                self.finish(by, how, record);
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }

    /// How many bytes of those carried may go now.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        let mut room = self.carry.len() as u64;
        if let Some(at) = self.cut.as_ref().and_then(|planned| planned.at) {
            room = room.min(at - self.passed);
        }
        for stop in &self.stops {
            room = room.min(stop.stall.after_bytes - self.passed);
        }
        self.dribbles.retain_mut(|pieces| !pieces.release.poll(cx));
        for pieces in &mut self.dribbles {
            if pieces.left == 0 {
                let at = pieces.next_at.unwrap_or_else(Instant::now);
                ready!(self.alarm.poll_at(at, cx));
                pieces.left = pieces.bytes;
            }
            room = room.min(pieces.left);
        }
        if !self.budgets.is_empty() {
            room = ready!(self.budgets.poll_take(room, &mut self.alarm, cx));
        }
        for pieces in &mut self.dribbles {
            if pieces.left == pieces.bytes {
                // The gap is from the beginning of a piece to the next, so that lateness does not add up.
                let before = pieces.next_at.unwrap_or_else(Instant::now);
                pieces.next_at = Some(before + pieces.gap);
            }
            pieces.left -= room;
        }
        Poll::Ready(room)
    }

    /// Tells the faults how much went through and how long that took. Nothing comes after it.
    pub(super) fn report(&mut self, record: &mut Record) {
        self.spans.clear();
        self.stops.clear();
        record.shaped(self.passed);
        let took = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        for by in &self.measured {
            record.fired(*by).note_bytes(self.passed, took);
        }
    }
}

impl Finishing {
    fn poll(&mut self, client: &Arc<ClientSocket>, cx: &mut Context<'_>) -> Poll<Polled> {
        if self.how == Break::Clean {
            return Poll::Ready(None);
        }
        let released = self.release.poll(cx);
        match self.how {
            Break::Clean => {}
            Break::Fin => {
                // hyper throws away what it still holds when a body fails.
                if !released {
                    ready!(client.poll_flushed(self.flush_mark, cx));
                }
                client.linger_on_close();
            }
            Break::Reset => {
                let settle = self.settle.get_or_insert_with(|| {
                    let client = Arc::clone(client);
                    Box::pin(async move { client.settled(DRAIN).await })
                });
                if !released {
                    ready!(settle.as_mut().poll(cx));
                }
                client.reset_on_close();
            }
        }
        Poll::Ready(Some(Err(BodyError::Cut)))
    }
}
