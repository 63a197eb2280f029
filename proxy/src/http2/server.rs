//! A client's connection that speaks HTTP/2: its streams, each served by a task of its own.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::{Method, Request};
use tokio::{
    sync::Notify,
    time::{Sleep, sleep},
};

use super::{
    CONNECTION_WINDOW, STREAM_WINDOW, STREAMS_MAX, UNSENT_MAX,
    body::{FromStream, Incoming},
    control::{Control, End},
    io::{HasTransport, Io, Turns},
    request,
    stream::{StreamClient, ToClient},
    tunnel,
};
use crate::{
    downstream::Downstream,
    exchange::{After, boxed, exchange, refuse_stream},
    http1::{BodyLength, HeadSearch, Input, Refusal, RequestHead, request_body},
    limits::{CLOSE_TIME_MAX, DRAIN},
    scope::Scope,
    transport::{ClientSocket, Doing, Transport},
};

/// Further streams are accepted only while fewer than this are served: those that a client has reset may not have ended yet.
const SERVED_MAX: usize = 2 * STREAMS_MAX as usize;

impl HasTransport for Rc<ClientSocket> {
    fn transport(&self) -> &Transport {
        ClientSocket::transport(self)
    }
}

/// What the task of a connection and those of its streams share.
#[derive(Debug)]
struct Shared {
    turns: Rc<Turns>,
    control: Rc<Control>,
    /// Streams that are served.
    served: Cell<usize>,
    /// The connection serves no further streams, or has ended.
    closes: Notify,
}

/// How a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is to be closed in good order.
    InOrder,
    /// By a fault: its socket is prepared for a reset.
    Reset,
}

/// Serves a connection whose first bytes, in `input`, are HTTP/2's, until either side ends it. After the client socket's
/// [`close_after_this`](ClientSocket::close_after_this) the streams in progress are its last.
pub(crate) async fn converse(scope: &Rc<Scope>, client: &Rc<ClientSocket>, input: Input) -> Ended {
    let header_list_size = u32::try_from(scope.head_limits.bytes).unwrap_or(u32::MAX);
    let turns = Rc::new(Turns::default());
    let shared = Rc::new(Shared {
        control: Rc::new(Control::new(&turns, header_list_size)),
        turns,
        served: Cell::new(0),
        closes: Notify::new(),
    });
    let io = Io::new(Rc::clone(client), input, &shared.turns).with_frames(&shared.control.frames);
    let upstream = scope.route.upstream();
    let announces_tunnels = upstream.announces_tunnels();
    let mut builder = Builder::new();
    if announces_tunnels {
        builder.enable_connect_protocol();
    } else {
        tunnel::ask(scope, &shared.turns);
    }
    let handshake = builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(header_list_size)
        .max_send_buffer_size(UNSENT_MAX)
        .handshake(io);
    let connection = match handshake.await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, peer = %client.peer(), "no HTTP/2 came about with a client");
            return Ended::InOrder;
        }
    };
    client.activity.set(Doing::Exchange, Instant::now());
    let mut serving = Serving {
        connection,
        client,
        shared: &shared,
        is_closing: false,
        idle_until: None,
        was_idle: false,
        is_reset: false,
        may_announce_tunnels: !announces_tunnels && tunnel::may_be_announced(&upstream),
    };
    drop(upstream);
    let mut number = 0;
    loop {
        let accepted = poll_fn(|cx| serving.poll_accept(scope, cx)).await;
        let Some((request, mut respond)) = accepted else {
            break;
        };
        if shared.control.refuses(respond.stream_id().as_u32()) {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        shared.served.set(shared.served.get() + 1);
        shared.control.windows.opens_stream();
        let serves = serve(
            Rc::clone(scope),
            Rc::clone(client),
            Rc::clone(&shared),
            request,
            respond,
            number,
        );
        scope.tasks.spawn_local(serves);
        number += 1;
    }
    match serving.is_reset {
        true => Ended::Reset,
        false => Ended::InOrder,
    }
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
struct Serving<'a> {
    connection: Connection<Io<Rc<ClientSocket>>, Bytes>,
    client: &'a ClientSocket,
    shared: &'a Shared,
    /// The client was told to open no further streams.
    is_closing: bool,
    /// When the connection ends, if nothing happens on it before.
    idle_until: Option<Pin<Box<Sleep>>>,
    was_idle: bool,
    /// A fault resets it.
    is_reset: bool,
    /// The client was not told that extended CONNECT passes, and may be.
    may_announce_tunnels: bool,
}

impl Serving<'_> {
    /// The next stream; `None` at the end of the connection.
    fn poll_accept(
        &mut self,
        scope: &Scope,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Request<RecvStream>, SendResponse<Bytes>)>> {
        self.shared.turns.begins(cx);
        if self.client.is_last() && !self.is_closing {
            self.is_closing = true;
            // A GOAWAY that was sent may not be followed by one with a higher stream.
            if !self.shared.control.is_going_away() {
                self.connection.graceful_shutdown();
            }
            self.shared.closes.notify_waiters();
        }
        if let Poll::Ready(end) = self.shared.control.poll(&mut self.connection, cx) {
            self.is_reset = end == End::Reset;
            return Poll::Ready(None);
        }
        let polled = match self.shared.served.get() < SERVED_MAX {
            true => self.connection.poll_accept(cx),
            false => self.connection.poll_closed(cx).map(|_| None),
        };
        match polled {
            Poll::Ready(Some(Ok(accepted))) => {
                self.was_idle = false;
                return Poll::Ready(Some(accepted));
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, peer = %self.client.peer(), "an HTTP/2 connection broke");
                return Poll::Ready(None);
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                let frames = Some(&*self.shared.control.frames);
                let turns = &self.shared.turns;
                let flushed = turns.poll_flush(self.client.transport(), frames, cx);
                if let Poll::Ready(Err(error)) = flushed {
                    tracing::debug!(%error, peer = %self.client.peer(), "an HTTP/2 connection broke");
                    return Poll::Ready(None);
                }
                turns.ends();
            }
        }
        // Behind what came, as it fails until the client has confirmed the SETTINGS before.
        if self.may_announce_tunnels
            && scope.route.upstream().announces_tunnels()
            && self.connection.enable_connect_protocol().is_ok()
        {
            self.may_announce_tunnels = false;
            cx.waker().wake_by_ref();
        }
        self.poll_idle(scope, cx)
    }

    /// Ends a connection that has had no streams for too long: first by telling the client, which then has a second.
    fn poll_idle<T>(&mut self, scope: &Scope, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let is_idle = self.shared.served.get() == 0;
        if !is_idle {
            self.was_idle = false;
            self.idle_until = None;
            return Poll::Pending;
        }
        let timeouts = scope.client_timeouts;
        if !self.was_idle {
            self.was_idle = true;
            self.is_closing |= self.shared.control.is_going_away();
            let limit = match self.is_closing {
                true => CLOSE_TIME_MAX,
                false => timeouts.idle,
            };
            self.idle_until = Some(Box::pin(sleep(limit)));
        }
        let Some(idle_until) = &mut self.idle_until else {
            return Poll::Pending;
        };
        if idle_until.as_mut().poll(cx).is_pending() || self.client.layered().is_held_up() {
            return Poll::Pending;
        }
        if self.is_closing {
            return Poll::Ready(None);
        }
        self.client.close_after_this();
        self.was_idle = false;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.shared.turns.are_over();
        self.shared.closes.notify_waiters();
    }
}

/// Counts a stream as served until it is dropped.
struct Served(Rc<Shared>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served.set(self.0.served.get() - 1);
        self.0.control.windows.closes_stream();
        self.0.turns.wake();
    }
}

/// Serves one stream.
async fn serve(
    scope: Rc<Scope>,
    client: Rc<ClientSocket>,
    shared: Rc<Shared>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    number: u64,
) {
    let now = Instant::now();
    let served = Served(shared);
    let (parts, content) = request.into_parts();
    let has_ended = content.is_end_stream();
    let mut head = RequestHead::spare();
    let read = read(&scope, &mut head, &parts, has_ended);
    let (length, refusal) = match read {
        Ok(length) => (length, None),
        Err(refusal) => (BodyLength::Empty, Some(refusal)),
    };
    let is_chunked = length == BodyLength::Chunked;
    let content = (!has_ended).then(|| Incoming::new(content, &served.0.control.windows));
    let from = FromStream::new(Vec::new(), content, is_chunked);
    let id = respond.stream_id().as_u32();
    let to_client = ToClient::new(from, parts.method == Method::HEAD, respond);
    drop(parts);
    let stream = StreamClient::new(&client, id, to_client, &served.0.turns, &served.0.control);
    match refusal {
        None => {
            let downstream = Downstream::Stream(Rc::clone(&stream));
            let mut input = Input::default();
            let mut exchange = boxed(|| {
                exchange(
                    &scope,
                    &downstream,
                    number,
                    now,
                    &mut head,
                    length,
                    &mut input,
                )
            });
            let mut closes = Box::pin(served.0.closes.notified());
            let after = poll_fn(|cx| {
                let polled = exchange.as_mut().poll(cx);
                // What had no credit goes out when it has.
                if polled.is_pending() {
                    drop(stream.stream().poll_flush(cx));
                    stream.poll_credit(cx);
                    if closes.as_mut().poll(cx).is_ready() {
                        closes.set(served.0.closes.notified());
                        let _pending: Poll<()> = closes.as_mut().poll(cx);
                        cx.waker().wake_by_ref();
                    }
                }
                polled
            });
            let after = after.await;
            drop((exchange, closes));
            head.recycle();
            if let After::Upgrade(upgrade) = after {
                tunnel::pass(&scope, &stream, &served.0.closes, *upgrade).await;
            }
        }
        Some(refusal) => refuse_stream(&scope, &stream, &head, &refusal).await,
    }
    finish(&stream).await;
}

/// Reads a request's head.
fn read(
    scope: &Scope,
    head: &mut RequestHead,
    parts: &http::request::Parts,
    has_ended: bool,
) -> Result<BodyLength, Refusal> {
    let text = request::to_http1(parts, has_ended)?;
    let mut search = HeadSearch::default();
    match head.parse_of_stream(&text, &mut search, &scope.head_limits)? {
        Some(used) if used == text.len() => request_body(head),
        Some(_) | None => Err(Refusal::FIRST_LINE),
    }
}

/// Ends a stream: in good order if its answer is whole, by a reset otherwise, and never so that a broken answer could be
/// taken for a whole one (RFC 9113 §8.1).
async fn finish(stream: &StreamClient) {
    stream.sent_or_left().await;
    if stream.stream().is_whole() {
        return;
    }
    // A reset throws away what was not sent before.
    stream.settled(DRAIN).await;
    stream.stream().send_reset(stream.stream().reset_reason());
}
