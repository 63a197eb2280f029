//! Bodies on their way through: streamed, counted, never held.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::{
    client_io::ClientSocket,
    error::ErrorKind,
    record::Record,
    route::Total,
    upstream::{Lease, SharedPool},
};

/// What goes to an upstream: a client's body as it comes, or nothing.
#[derive(Debug)]
pub(crate) struct RequestBody(Option<Upload>);

#[derive(Debug)]
struct Upload {
    incoming: Incoming,
    bytes: Total,
    progress: UploadProgress,
    client: Arc<ClientSocket>,
    /// The upstream's leave to send, where the client asked for it.
    leave: Option<Leave>,
}

/// Tells whether a request has been read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct UploadProgress(Option<Rc<Cell<bool>>>);

impl UploadProgress {
    /// Whether nothing of the request is still to come.
    pub(crate) fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(|done| done.get())
    }
}

impl RequestBody {
    pub(crate) fn absent() -> Self {
        Self(None)
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// Passes `incoming` on, counting its bytes. With a `leave` nothing is asked of the client before it is
    /// given.
    pub(crate) fn streaming(
        incoming: Incoming,
        bytes: Total,
        client: Arc<ClientSocket>,
        leave: Option<Leave>,
    ) -> (Self, UploadProgress) {
        if incoming.is_end_stream() {
            return (Self::absent(), UploadProgress::default());
        }
        let progress = UploadProgress(Some(Rc::default()));
        let upload = Upload {
            incoming,
            bytes,
            progress: progress.clone(),
            client,
            leave,
        };
        (Self(Some(upload)), progress)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(upload) = &mut self.0 else {
            return Poll::Ready(None);
        };
        if let Some(leave) = &mut upload.leave {
            ready!(leave.poll(cx));
            upload.leave = None;
        }
        let frame = ready!(Pin::new(&mut upload.incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            upload.bytes.add(data.len() as u64);
        }
        if frame.is_none() || upload.incoming.is_end_stream() {
            upload.progress.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|upload| upload.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(
            || SizeHint::with_exact(0),
            |upload| upload.incoming.size_hint(),
        )
    }
}

impl UploadProgress {
    fn finish(&self) {
        if let Some(done) = &self.0 {
            done.set(true);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.progress.is_done() {
            // The upstream has heard enough, but the client is still sending: it shall get its answer.
            self.client.linger_on_close();
        }
    }
}

/// An upstream's leave to send the body of a request with `Expect: 100-continue`: given when the upstream
/// answers 100, or taken after a second (RFC 9110 §10.1.1: a client must not wait for ever).
#[derive(Debug)]
pub(crate) struct Leave {
    given: Arc<LeaveGiven>,
    patience: Pin<Box<Sleep>>,
}

/// The other end of a [`Leave`].
#[derive(Debug, Default)]
pub(crate) struct LeaveGiven {
    given: AtomicBool,
    waker: AtomicWaker,
}

impl Leave {
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> (Self, Arc<LeaveGiven>) {
        let given = Arc::new(LeaveGiven::default());
        let leave = Self {
            given: Arc::clone(&given),
            patience: Box::pin(sleep(Self::PATIENCE)),
        };
        (leave, given)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.given.waker.register(cx.waker());
        if self.given.given.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.patience.as_mut().poll(cx)
    }
}

impl LeaveGiven {
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// What goes to a client: an upstream's body as it comes, or an answer of our own. The exchange's record
/// rides along and is written when the body ends or is dropped.
pub(crate) struct ResponseBody {
    source: Source,
    record: Box<Record>,
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
    Ended,
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
        Self { source, record }
    }

    pub(crate) fn own(content: Bytes, record: Box<Record>) -> Self {
        Self {
            source: Source::Own(content),
            record,
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Fills in what an answer of our own says.
    pub(crate) fn set_content(&mut self, content: Bytes) {
        self.source = Source::Own(content);
    }

    /// Fails once everything before is on its way: hyper throws away what it still holds when a body fails.
    fn poll_broken(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Source::Broken { error, flush_mark } = &mut self.source else {
            return Poll::Ready(None);
        };
        ready!(self.record.client().poll_flushed(*flush_mark, cx));
        Poll::Ready(error.take().map(Err))
    }

    /// Gives the connection back if the exchange used all of it: the whole request and the whole answer.
    fn end(&mut self) {
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
        self.record.body_ended();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.source {
            Source::Upstream {
                incoming, lease, ..
            } => ready!(lease.poll_frame(incoming, cx)),
            Source::Own(content) => Some(Ok(Frame::data(std::mem::take(content)))),
            Source::Broken { .. } => return this.poll_broken(cx),
            Source::Ended => return Poll::Ready(None),
        };
        match polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.record.sent_body(data.len());
                }
                if this.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.record.broke(ErrorKind::Reset, "incomplete_body");
                this.source = Source::Broken {
                    error: Some(error),
                    flush_mark: this.record.client().flush_mark(),
                };
                this.poll_broken(cx)
            }
            None => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Upstream { incoming, .. } => incoming.is_end_stream(),
            Source::Broken { .. } => false,
            Source::Own(content) => content.is_empty(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Upstream { incoming, .. } => incoming.size_hint(),
            Source::Broken { .. } => SizeHint::default(),
            Source::Own(content) => SizeHint::with_exact(content.len() as u64),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Drop for ResponseBody {
    /// hyper asks a body that is empty from the start for no frame at all.
    fn drop(&mut self) {
        if self.is_end_stream() && !matches!(self.source, Source::Ended) {
            self.end();
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
