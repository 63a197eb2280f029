//! A stream as the transport of one HTTP/1.1 exchange.

mod to_client;
mod to_upstream;

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use brownout_fault::{ErrorCode, Fired, Http2Fault, ResetScope};
use h2::Reason;
use tokio::time::timeout;

pub(super) use self::{to_client::ToClient, to_upstream::ToUpstream};
use super::{
    body::{FromStream, ToStream},
    control::{Control, until},
    io::Turns,
};
use crate::{
    journal::{OnConnection, OpenStream},
    sys::ClientEnd,
    timer::Timer,
    transport::{ClientSocket, Transport},
};

/// The bytes of one exchange on a stream, as HTTP/1.1.
#[derive(Debug, Clone)]
pub(crate) enum Stream {
    /// The request is read from it, and the answer written to it.
    ToClient(Rc<ToClient>),
    /// The request is written to it, and the answer read from it.
    ToUpstream(Rc<ToUpstream>),
}

impl Stream {
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::ToClient(stream) => stream.poll_readable(cx),
            Self::ToUpstream(stream) => stream.poll_readable(cx),
        }
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::ToClient(stream) => stream.poll_read(cx, buf),
            Self::ToUpstream(stream) => stream.poll_read(cx, buf),
        }
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::ToClient(stream) => stream.poll_write(cx, bytes),
            Self::ToUpstream(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// Whether an upstream did nothing with the request: it may be sent again, whatever it is.
    pub(crate) fn was_refused(&self) -> bool {
        match self {
            Self::ToClient(_) => false,
            Self::ToUpstream(stream) => stream.was_refused(),
        }
    }

    /// Whether an upstream takes another protocol on this stream (RFC 8441 §3), once it has said so or not.
    pub(crate) async fn takes_tunnels(&self) -> bool {
        match self {
            Self::ToClient(_) => false,
            Self::ToUpstream(stream) => stream.takes_tunnels().await,
        }
    }

    /// Both directions of what it carries behind its heads; `None` where it carries nothing.
    pub(super) fn with_ends<R>(
        &self,
        then: impl FnOnce(&mut FromStream, &mut ToStream) -> R,
    ) -> Option<R> {
        match self {
            Self::ToClient(stream) => stream.with_ends(then),
            Self::ToUpstream(stream) => stream.with_ends(then),
        }
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::ToClient(stream) => stream.poll_flush(cx),
            Self::ToUpstream(stream) => stream.poll_flush(cx),
        }
    }
}

/// An exchange's side towards a client that sent its request on a stream.
#[derive(Debug)]
pub(crate) struct StreamClient {
    connection: Rc<ClientSocket>,
    stream: Rc<ToClient>,
    transport: Transport,
    turns: Rc<Turns>,
    control: Rc<Control>,
    /// Its number on the connection.
    id: u32,
    /// While it lasts the client gets no credit for its content.
    withheld_until: RefCell<Option<CreditWait>>,
    /// Its record in the journal, if there is one.
    evidence: Option<OpenStream>,
    is_last: Cell<bool>,
}

/// A wait, which can be shown.
struct CreditWait(Pin<Box<dyn Future<Output = ()>>>);

impl fmt::Debug for CreditWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CreditWait")
    }
}

impl StreamClient {
    pub(super) fn new(
        connection: &Rc<ClientSocket>,
        id: u32,
        stream: ToClient,
        turns: &Rc<Turns>,
        control: &Rc<Control>,
    ) -> Rc<Self> {
        let stream = Rc::new(stream);
        Rc::new(Self {
            connection: Rc::clone(connection),
            transport: Transport::Stream(Stream::ToClient(Rc::clone(&stream))),
            stream,
            turns: Rc::clone(turns),
            control: Rc::clone(control),
            id,
            withheld_until: RefCell::default(),
            evidence: connection.begin_stream(),
            is_last: Cell::new(false),
        })
    }

    pub(super) fn stream(&self) -> &ToClient {
        &self.stream
    }

    /// As what the exchange reads from and writes to.
    pub(super) fn as_stream(&self) -> Stream {
        Stream::ToClient(Rc::clone(&self.stream))
    }

    pub(crate) fn connection(&self) -> &ClientSocket {
        &self.connection
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn as_evidence(&self, seq: u64) -> Option<OnConnection> {
        let evidence = self.evidence.as_ref()?;
        Some(evidence.of_request(seq, self.connection.peer()))
    }

    /// A client that leaves resets the stream, or the connection under it.
    pub(crate) fn client_end(&self) -> ClientEnd {
        let mut cx = Context::from_waker(Waker::noop());
        match self.stream.poll_left(&mut cx) {
            Poll::Ready(()) => ClientEnd::Rst,
            Poll::Pending => ClientEnd::None,
        }
    }

    /// Waits until the client has reset the stream, or its connection broke.
    pub(crate) async fn left(&self) {
        poll_fn(|cx| self.stream.poll_left(cx)).await;
    }

    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.stream.poll_write(cx, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Waits until everything that was written is with the connection's transport, for at most `limit`.
    pub(crate) async fn settled(&self, limit: Duration) {
        let written = async {
            if poll_fn(|cx| self.stream.poll_flush(cx)).await.is_ok() {
                self.turns.written().await;
            }
        };
        if timeout(limit, written).await.is_err() {
            tracing::debug!("a client did not take all that was sent on a stream in time");
        }
    }

    /// Waits until everything that was written is with the connection, or the client has left.
    pub(super) async fn sent_or_left(&self) {
        poll_fn(|cx| match self.stream.poll_flush(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.stream.poll_left(cx),
        })
        .await;
    }

    /// The request is malformed.
    pub(crate) fn refuse(&self) {
        self.stream.send_reset(Reason::PROTOCOL_ERROR);
    }

    /// Makes the end of the stream a reset with this code.
    pub(super) fn reset_at_end(&self, reason: Reason) {
        self.stream.reset_at_end(reason);
    }

    /// Makes the end of the stream, or of its connection, a reset.
    pub(crate) fn reset(&self, scope: ResetScope) {
        match scope {
            ResetScope::Stream(ErrorCode(code)) => self.stream.reset_at_end(code.into()),
            ResetScope::Connection => {
                self.stream.reset_at_end(Reason::INTERNAL_ERROR);
                self.connection.reset();
                self.control.reset();
            }
        }
    }

    /// Carries out what the fault `by` does to the stream or its connection. `false` if that changes nothing.
    pub(crate) fn carry_out(&self, fault: Http2Fault, by: &Fired, timer: &Timer) -> bool {
        match fault {
            Http2Fault::GoAway(goaway) => self.control.go_away(goaway, self.id, timer),
            Http2Fault::Settings(settings) => self.control.change_settings(settings, by, timer),
            Http2Fault::IgnorePings(hold) => self.control.ignore_pings(hold, by, timer),
            Http2Fault::WithholdCredit(hold) => {
                let mut withheld_until = self.withheld_until.borrow_mut();
                if withheld_until.is_some() {
                    return false;
                }
                *withheld_until = Some(CreditWait(until(by, hold, timer)));
                self.stream.withhold_credit(true);
                true
            }
        }
    }

    /// Gives the client credit once nothing withholds it any more.
    pub(super) fn poll_credit(&self, cx: &mut Context<'_>) {
        let mut withheld_until = self.withheld_until.borrow_mut();
        if let Some(CreditWait(wait)) = &mut *withheld_until
            && wait.as_mut().poll(cx).is_ready()
        {
            *withheld_until = None;
            self.stream.withhold_credit(false);
        }
    }

    /// Whether the client was told that its stream is not served.
    pub(crate) fn is_refused(&self) -> bool {
        self.control.refuses(self.id)
    }

    /// Breaks the connection with a frame that it may not have.
    pub(crate) fn send_bad_frame(&self) {
        self.control.send_bad_frame();
    }

    pub(crate) fn close_after_this(&self) {
        self.is_last.set(true);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last.get() || self.connection.is_last()
    }
}

impl Drop for StreamClient {
    fn drop(&mut self) {
        if let Some(evidence) = &self.evidence {
            self.connection.end_stream(evidence);
        }
    }
}
