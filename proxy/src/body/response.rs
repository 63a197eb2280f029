//! What goes to a client.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{BodyError, ShapedResponse, request::UploadProgress, shaped::Polled};
use crate::{
    error::ErrorKind,
    record::Record,
    upstream::{Lease, SharedPool},
};

/// What goes to a client: an upstream's body as it comes, or an answer of our own. The exchange's record
/// rides along and is written when the body ends or is dropped.
pub(crate) struct ResponseBody {
    source: Source,
    record: Box<Record>,
    /// What faults do to it; `None` for most.
    shaper: Option<Box<ShapedResponse>>,
}

enum Source {
    Upstream {
        incoming: Incoming,
        /// Given back to the pool at the end of the body.
        lease: Lease,
        pool: SharedPool,
        upload: UploadProgress,
    },
    /// The upstream broke off: everything before goes out first.
    Broken {
        error: Option<hyper::Error>,
        flush_mark: u64,
    },
    Own(Bytes),
    /// What was taken from a source and is given back to it.
    Ahead(Bytes, Box<Self>),
    /// As [`Self::Ahead`], of a trailer section.
    Trailers(HeaderMap),
    Ended,
}

/// A whole body, taken to be said in another way.
pub(crate) struct Gathered {
    pub(crate) content: Bytes,
    trailers: Option<HeaderMap>,
}

impl ResponseBody {
    pub(crate) fn upstream(
        incoming: Incoming,
        lease: Lease,
        pool: SharedPool,
        upload: UploadProgress,
        record: Box<Record>,
    ) -> Self {
        let source = Source::Upstream {
            incoming,
            lease,
            pool,
            upload,
        };
        Self {
            source,
            record,
            shaper: None,
        }
    }

    pub(crate) fn own(content: Bytes, record: Box<Record>) -> Self {
        Self {
            source: Source::Own(content),
            record,
            shaper: None,
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Says something else instead, dropping what was to come.
    pub(crate) fn set_content(&mut self, content: Bytes) {
        self.source = Source::Own(content);
    }

    /// Lets faults shape it from now on.
    pub(crate) fn set_shaper(&mut self, shaper: Box<ShapedResponse>) {
        self.shaper = Some(shaper);
    }

    /// Says what was gathered after all, with its trailers.
    pub(crate) fn put_back(&mut self, gathered: Gathered) {
        let Gathered { content, trailers } = gathered;
        self.source = match trailers {
            None => Source::Own(content),
            Some(trailers) => Source::Ahead(content, Box::new(Source::Trailers(trailers))),
        };
    }

    /// Takes all of it, up to `bytes_max`, to be said in another way or [put back](Self::put_back). `None` when it
    /// breaks off or is longer: then it still comes as it would have.
    pub(crate) async fn gather(&mut self, bytes_max: usize) -> Option<Gathered> {
        let mut gathered = BytesMut::new();
        let mut trailers = None;
        loop {
            let polled = poll_fn(|cx| poll_source(&mut self.source, &mut self.record, cx));
            match polled.await {
                Some(Ok(frame)) => {
                    match frame.into_data() {
                        Ok(data) => gathered.extend_from_slice(&data),
                        Err(frame) => trailers = frame.into_trailers().ok(),
                    }
                    if gathered.len() > bytes_max {
                        break;
                    }
                }
                Some(Err(BodyError::Broken(error))) => {
                    self.source = Source::broken(error, &self.record);
                    break;
                }
                Some(Err(BodyError::Cut)) => break,
                None => {
                    self.give_back();
                    return Some(Gathered {
                        content: gathered.freeze(),
                        trailers,
                    });
                }
            }
        }
        let rest = std::mem::replace(&mut self.source, Source::Ended);
        self.source = Source::Ahead(gathered.freeze(), Box::new(rest));
        None
    }

    fn end(&mut self) {
        self.give_back();
        self.record.body_ended();
    }

    /// Gives the connection back if the exchange used all of it: the whole request and the whole answer.
    fn give_back(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Ended);
        if let Source::Upstream {
            lease,
            pool,
            upload,
            ..
        } = source
            && upload.is_done()
        {
            pool.give_back(lease);
        }
    }
}

/// The next frame of a source, as it comes.
fn poll_source(source: &mut Source, record: &mut Record, cx: &mut Context<'_>) -> Poll<Polled> {
    let polled = match source {
        Source::Upstream {
            incoming, lease, ..
        } => ready!(lease.poll_frame(incoming, cx)),
        Source::Own(content) if content.is_empty() => None,
        Source::Own(content) => Some(Ok(Frame::data(std::mem::take(content)))),
        Source::Broken { .. } => return poll_broken(source, record, cx),
        Source::Ahead(content, rest) => {
            let content = std::mem::take(content);
            *source = std::mem::replace(&mut **rest, Source::Ended);
            Some(Ok(Frame::data(content)))
        }
        Source::Trailers(trailers) => {
            let trailers = std::mem::take(trailers);
            *source = Source::Ended;
            Some(Ok(Frame::trailers(trailers)))
        }
        Source::Ended => return Poll::Ready(None),
    };
    match polled {
        Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
        Some(Err(error)) => {
            record.broke(ErrorKind::Reset, "incomplete_body");
            *source = Source::broken(error, record);
            poll_broken(source, record, cx)
        }
        None => Poll::Ready(None),
    }
}

/// Fails once everything before is on its way: hyper throws away what it still holds when a body fails.
fn poll_broken(source: &mut Source, record: &Record, cx: &mut Context<'_>) -> Poll<Polled> {
    let Source::Broken { error, flush_mark } = source else {
        return Poll::Ready(None);
    };
    ready!(record.client().poll_flushed(*flush_mark, cx));
    Poll::Ready(error.take().map(|error| Err(BodyError::Broken(error))))
}

impl Source {
    fn broken(error: hyper::Error, record: &Record) -> Self {
        Self::Broken {
            error: Some(error),
            flush_mark: record.client().flush_mark(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream { incoming, .. } => incoming.size_hint(),
            // Trailers need chunks, so no length is told.
            Self::Broken { .. } | Self::Trailers(_) => SizeHint::default(),
            Self::Own(content) => SizeHint::with_exact(content.len() as u64),
            Self::Ahead(content, rest) => {
                let (ahead, rest) = (content.len() as u64, rest.size_hint());
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + ahead);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + ahead);
                }
                hint
            }
            Self::Ended => SizeHint::with_exact(0),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream { incoming, .. } => incoming.is_end_stream(),
            Self::Broken { .. } | Self::Ahead(..) | Self::Trailers(_) => false,
            Self::Own(content) => content.is_empty(),
            Self::Ended => true,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = match &mut this.shaper {
            None => ready!(poll_source(&mut this.source, &mut this.record, cx)),
            Some(shaper) => {
                let source = &mut this.source;
                let poll_source =
                    |record: &mut Record, cx: &mut Context<'_>| poll_source(source, record, cx);
                ready!(shaper.poll_frame(&mut this.record, poll_source, cx))
            }
        };
        match &polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.record.sent_body(data.len());
                }
                if this.is_end_stream() {
                    this.end();
                }
            }
            Some(Err(_)) => {}
            None => this.end(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.shaper {
            None => self.source.is_end_stream(),
            // Its end may have to wait for what went before.
            Some(shaper) => shaper.is_done() || matches!(self.source, Source::Ended),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(length) = self.shaper.as_ref().and_then(|shaper| shaper.new_length()) {
            return SizeHint::with_exact(length);
        }
        self.source.size_hint()
    }
}

impl Drop for ResponseBody {
    /// hyper asks a body that is empty from the start for no frame at all, and one whose length is known for none
    /// after its last byte.
    fn drop(&mut self) {
        let all_came = self.source.is_end_stream();
        if let Some(shaper) = &mut self.shaper {
            if all_came {
                shaper.source_ended();
            }
            shaper.report(&mut self.record);
            if !shaper.is_done() {
                return;
            }
        }
        if all_came && !matches!(self.source, Source::Ended) {
            self.end();
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
