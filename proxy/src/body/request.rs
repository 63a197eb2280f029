//! What goes to an upstream.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::UploadPace;
use crate::{client_io::ClientSocket, limits::CONTINUE_TIMEOUT, route::Total};

/// What goes to an upstream: a client's body as it comes, or nothing.
#[derive(Debug)]
pub(crate) struct RequestBody(Content);

#[derive(Debug)]
enum Content {
    Absent,
    /// Known whole, to be sent more than once.
    Whole(Bytes),
    Streaming(Upload),
}

#[derive(Debug)]
struct Upload {
    incoming: Incoming,
    bytes: Total,
    progress: UploadProgress,
    pace: Option<Box<UploadPace>>,
    client: Arc<ClientSocket>,
    /// The upstream's leave to send, where the client asked for it.
    leave: Option<Leave>,
}

/// Tells how far a request has been read.
#[derive(Debug, Clone, Default)]
pub(crate) struct UploadProgress(Option<Rc<Cell<Reading>>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Going,
    Done,
    /// It ended too early, or was not framed as it said.
    Broken,
}

impl UploadProgress {
    /// Whether nothing of the request is still to come.
    pub(crate) fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(|at| at.get() == Reading::Done)
    }

    /// Whether the client broke it off, or sent what is no body.
    pub(crate) fn is_broken(&self) -> bool {
        (self.0.as_ref()).is_some_and(|at| at.get() == Reading::Broken)
    }

    fn is_at(&self, reading: Reading) {
        // hyper asks once more after an error, and is then told that this was all.
        if let Some(at) = &self.0
            && !self.is_broken()
        {
            at.set(reading);
        }
    }
}

impl RequestBody {
    pub(crate) fn absent() -> Self {
        Self(Content::Absent)
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.0, Content::Absent)
    }

    pub(crate) fn whole(content: Bytes) -> Self {
        if content.is_empty() {
            return Self::absent();
        }
        Self(Content::Whole(content))
    }

    /// Passes `incoming` on, counting its bytes. With a `leave` nothing is asked of the client before it is
    /// given. With a `pace` its bytes go no faster than that.
    pub(crate) fn streaming(
        incoming: Incoming,
        bytes: &Total,
        client: &Arc<ClientSocket>,
        leave: Option<Leave>,
        pace: Option<Box<UploadPace>>,
    ) -> (Self, UploadProgress) {
        if incoming.is_end_stream() {
            return (Self::absent(), UploadProgress::default());
        }
        let progress = UploadProgress(Some(Rc::default()));
        let upload = Upload {
            incoming,
            bytes: bytes.clone(),
            progress: progress.clone(),
            pace,
            client: Arc::clone(client),
            leave,
        };
        (Self(Content::Streaming(upload)), progress)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let upload = match &mut self.0 {
            Content::Absent => return Poll::Ready(None),
            Content::Whole(content) => {
                let content = std::mem::take(content);
                self.0 = Content::Absent;
                return Poll::Ready(Some(Ok(Frame::data(content))));
            }
            Content::Streaming(upload) => upload,
        };
        if let Some(leave) = &mut upload.leave {
            ready!(leave.poll(cx));
            upload.leave = None;
        }
        let frame = match &mut upload.pace {
            None => ready!(Pin::new(&mut upload.incoming).poll_frame(cx)),
            Some(pace) => ready!(pace.poll_frame(&mut upload.incoming, cx)),
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            upload.bytes.add(data.len() as u64);
        }
        if let Some(Err(_)) = &frame {
            upload.progress.is_at(Reading::Broken);
        } else if frame.is_none() || upload.is_end_stream() {
            upload.progress.is_at(Reading::Done);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Absent => true,
            Content::Whole(_) => false,
            Content::Streaming(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Absent => SizeHint::with_exact(0),
            Content::Whole(content) => SizeHint::with_exact(content.len() as u64),
            Content::Streaming(upload) => match &upload.pace {
                None => upload.incoming.size_hint(),
                Some(pace) => pace.size_hint(&upload.incoming),
            },
        }
    }
}

impl Upload {
    fn is_end_stream(&self) -> bool {
        let is_holding = self.pace.as_ref().is_some_and(|pace| pace.is_holding());
        !is_holding && self.incoming.is_end_stream()
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
    pub(crate) fn new() -> (Self, Arc<LeaveGiven>) {
        let given = Arc::new(LeaveGiven::default());
        let leave = Self {
            given: Arc::clone(&given),
            patience: Box::pin(sleep(CONTINUE_TIMEOUT)),
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
