//! Bytes that wait for a budget.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use brownout_fault::{Bucket, Released, Taken};
use brownout_telemetry::Span;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use smallvec::SmallVec;

use crate::timer::{Sleep, Timer, later};

/// A wait that is set again and again.
pub(super) struct Alarm(Sleep);

impl Alarm {
    pub(super) fn new(timer: &Timer) -> Self {
        Self(timer.at(Instant::now()))
    }

    /// Ready once it is `at`.
    pub(super) fn poll_at(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.0.reset(at);
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Tells when a fault has let go.
pub(super) struct Release {
    ended: Pin<Box<dyn Future<Output = ()>>>,
    is_over: bool,
}

impl Release {
    pub(super) fn new(released: Released) -> Self {
        Self {
            ended: Box::pin(released.wait()),
            is_over: false,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_over = self.is_over || self.ended.as_mut().poll(cx).is_ready();
        self.is_over
    }
}

/// The budgets of one body, of which each must allow a byte.
pub(super) struct Budgets(Vec<(Arc<Bucket>, Release)>);

impl Budgets {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, bucket: Arc<Bucket>, released: Released) {
        self.0.push((bucket, Release::new(released)));
    }

    /// Takes up to `wanted` bytes, at least 1, or waits for them.
    pub(super) fn poll_take(
        &mut self,
        wanted: u64,
        alarm: &mut Alarm,
        cx: &mut Context<'_>,
    ) -> Poll<u64> {
        self.0.retain_mut(|(_, release)| !release.poll(cx));
        loop {
            let now = Instant::now();
            let mut given = wanted;
            let mut wait = None;
            let mut took = Vec::new();
            for (bucket, _) in &self.0 {
                match bucket.take(given, now) {
                    Taken::Bytes(bytes) => {
                        given = bytes;
                        took.push((bucket, bytes));
                    }
                    Taken::Wait(span) => {
                        wait = Some(span);
                        given = 0;
                        break;
                    }
                }
            }
            // Whoever gave more than the narrowest gets it back.
            for (bucket, bytes) in took {
                bucket.give_back(bytes - given);
            }
            match wait {
                None => return Poll::Ready(given),
                Some(span) => ready!(alarm.poll_at(later(now, span), cx)),
            }
        }
    }
}

/// Paces the body of a request.
pub(crate) struct Pace {
    budgets: Budgets,
    alarm: Alarm,
    carry: Bytes,
    /// Of the faults that pace it, up to its end.
    spans: SmallVec<[Span; 1]>,
}

impl Pace {
    pub(crate) fn new(
        budgets: impl IntoIterator<Item = (Arc<Bucket>, Released)>,
        spans: SmallVec<[Span; 1]>,
        timer: &Timer,
    ) -> Box<Self> {
        let mut made = Budgets::new();
        for (bucket, released) in budgets {
            made.push(bucket, released);
        }
        Box::new(Self {
            budgets: made,
            alarm: Alarm::new(timer),
            carry: Bytes::new(),
            spans,
        })
    }

    /// Whether it holds bytes that are still to go.
    pub(super) fn carries(&self) -> bool {
        !self.carry.is_empty()
    }

    pub(super) fn size_hint(&self, incoming: &Incoming) -> SizeHint {
        let (hint, carried) = (incoming.size_hint(), self.carry.len() as u64);
        let mut with_carried = SizeHint::new();
        with_carried.set_lower(hint.lower() + carried);
        if let Some(upper) = hint.upper() {
            with_carried.set_upper(upper + carried);
        }
        with_carried
    }

    pub(super) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if self.carry.is_empty() {
            match ready!(Pin::new(incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.carry = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => {
                    self.spans.clear();
                    return Poll::Ready(ended);
                }
            }
        }
        let wanted = self.carry.len() as u64;
        if wanted == 0 {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::new()))));
        }
        let given = ready!(self.budgets.poll_take(wanted, &mut self.alarm, cx));
        let given = usize::try_from(given).unwrap_or(usize::MAX);
        let piece = self.carry.split_to(given.min(self.carry.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").finish_non_exhaustive()
    }
}
