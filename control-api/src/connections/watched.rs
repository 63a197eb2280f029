//! Bodies that tell how far they are.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::places::Usage;

/// A request's body that says whether it was read to its end.
#[derive(Debug)]
pub(super) struct RequestBody {
    inner: Incoming,
    is_whole: IsWhole,
}

/// Whether nothing of a body is left.
#[derive(Debug, Clone)]
pub(super) struct IsWhole(Arc<AtomicBool>);

impl IsWhole {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self, is_whole: bool) {
        if is_whole {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl RequestBody {
    pub(super) fn new(inner: Incoming) -> (Self, IsWhole) {
        let is_whole = IsWhole(Arc::new(AtomicBool::new(inner.is_end_stream())));
        let body = Self {
            inner,
            is_whole: is_whole.clone(),
        };
        (body, is_whole)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.is_whole
            .note(frame.is_none() || self.inner.is_end_stream());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body. The call ends when hyper has taken all of it.
#[derive(Debug)]
pub(super) struct ResponseBody {
    inner: Body,
    usage: Arc<Usage>,
}

impl ResponseBody {
    pub(super) fn new(inner: Body, usage: Arc<Usage>) -> Self {
        Self { inner, usage }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_some() {
            // What is taken piece by piece, as events are, has its whole time for each.
            self.usage.begin();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.usage.end();
    }
}
