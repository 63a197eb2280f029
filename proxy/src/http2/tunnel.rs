//! A stream that carries another protocol behind a CONNECT with `:protocol` (RFC 8441): a WebSocket, most often.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use h2::Reason;
use tokio::{sync::Notify, time::timeout};

use super::{
    io::Turns,
    stream::{Stream, StreamClient},
};
use crate::{
    access_log::ConnectionEnd,
    exchange::Upgrade,
    http1::{UpstreamConnection, Wanted},
    limits::{CLOSE_TIME_MAX, DRAIN},
    scope::Scope,
    upstream::{HttpVersion, Turn, Upstream},
};

/// Whether an upstream may take such streams: whether HTTP/2 may be spoken with it.
pub(super) fn may_be_announced(upstream: &Upstream) -> bool {
    upstream.options().http != HttpVersion::Http1
}

/// Opens a connection to the route's upstream and learns from its SETTINGS whether it takes such streams, unless that is known or
/// another task is asking. The next request uses the connection. Wakes the client's connection when the answer is there.
pub(super) fn ask(scope: &Rc<Scope>, turns: &Rc<Turns>) {
    let upstream = scope.route.upstream();
    if !may_be_announced(&upstream) || !upstream.asks_for_tunnels() {
        return;
    }
    let (scope, turns) = (Rc::clone(scope), Rc::clone(turns));
    let asking = Asking(upstream);
    // A drain does not wait for this task, which ends after the route's connect time-out at the latest.
    tokio::task::spawn_local(async move {
        let upstream = &asking.0;
        let wanted = Wanted {
            turn: Turn::ONLY,
            is_new: false,
            client: None,
        };
        let limit = upstream.options().connect_timeout;
        let asked = timeout(limit, async {
            let opened = UpstreamConnection::open(&scope, upstream, wanted).await?;
            match opened.transport.as_stream() {
                Some(stream) => drop(stream.takes_tunnels().await),
                None => scope.pool.give_back(opened, Instant::now()),
            }
            Ok::<_, crate::error::UpstreamError>(())
        });
        if !matches!(asked.await, Ok(Ok(()))) {
            tracing::debug!(%upstream, "it is not known whether an upstream takes extended CONNECT");
        }
        turns.wake();
    });
}

/// Another task may ask once this is dropped.
struct Asking(Arc<Upstream>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.has_asked();
    }
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TunnelEnd {
    /// Both sides have ended their direction.
    Complete,
    /// The client has reset the stream with this code; without one its connection ended.
    ByClient(Option<Reason>),
    ByUpstream(Option<Reason>),
    /// The route closes.
    Closing,
}

impl TunnelEnd {
    /// Its word in the access log, as that of a connection that was upgraded.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Complete => None,
            Self::ByClient(_) | Self::ByUpstream(_) => Some("reset"),
            Self::Closing => Some("route_closing"),
        }
    }
}

/// Answers the client with the upstream's 2xx and passes on what comes behind it, both ways, until both sides have ended theirs,
/// one of them resets its stream, or the client's connection serves no further streams: then both directions end at once.
pub(super) async fn pass(scope: &Scope, client: &StreamClient, closes: &Notify, upgrade: Upgrade) {
    let Upgrade {
        upstream,
        place: _place,
        to_client,
        to_upstream: _nothing,
        line,
    } = upgrade;
    let Some(upstream) = upstream.as_stream() else {
        return;
    };
    let Ok(first) = client.stream().open_tunnel(&to_client) else {
        return;
    };
    let to_client = client.as_stream();
    let mut up = Direction::new(&to_client, upstream, Bytes::new());
    let mut down = Direction::new(upstream, &to_client, first);
    let (mut bytes_in, mut bytes_out) = (0, 0);
    let mut closing = pin!(closes.notified());
    let end = poll_fn(|cx| {
        client.poll_credit(cx);
        // What came before a reset is passed on first, as far as there is credit for it.
        let downwards = down.poll(cx);
        let upwards = up.poll(cx);
        bytes_in += count(&mut up, |bytes| {
            scope.route.bytes_in.add(bytes);
            client.connection().bytes().bytes_in.add(bytes);
        });
        bytes_out += count(&mut down, |bytes| {
            scope.route.bytes_out.add(bytes);
            client.connection().bytes().bytes_out.add(bytes);
        });
        if let Poll::Ready(reason) = downwards {
            return Poll::Ready(TunnelEnd::ByUpstream(reason));
        }
        if let Poll::Ready(reason) = upwards {
            return Poll::Ready(TunnelEnd::ByClient(reason));
        }
        if up.has_ended && down.has_ended {
            return Poll::Ready(TunnelEnd::Complete);
        }
        if closing.as_mut().poll(cx).is_ready() {
            closing.set(closes.notified());
            let _pending: Poll<()> = closing.as_mut().poll(cx);
        }
        match client.connection().is_last() {
            true => Poll::Ready(TunnelEnd::Closing),
            false => Poll::Pending,
        }
    })
    .await;
    match end {
        TunnelEnd::Complete => {}
        // RFC 9113 §7: the connection behind a CONNECT was reset or closed abnormally.
        TunnelEnd::ByUpstream(reason) => {
            client.reset_at_end(reason.unwrap_or(Reason::CONNECT_ERROR));
        }
        // RFC 8441 §5: what would have been a RST.
        TunnelEnd::ByClient(reason) => reset(upstream, reason.unwrap_or(Reason::CANCEL)).await,
        TunnelEnd::Closing => end_both(&mut up, &mut down).await,
    }
    if let Some(line) = line {
        line.log(&ConnectionEnd {
            route: scope.route.name(),
            peer: client.connection().peer(),
            bytes_in,
            bytes_out,
            ending: end.word(),
        });
    }
}

fn count(direction: &mut Direction<'_>, add: impl FnOnce(u64)) -> u64 {
    let bytes = std::mem::take(&mut direction.passed);
    if bytes > 0 {
        add(bytes);
    }
    bytes
}

/// Resets the upstream's stream behind what was sent on it.
async fn reset(upstream: &Stream, reason: Reason) {
    if let Stream::ToUpstream(stream) = upstream
        && timeout(DRAIN, stream.written()).await.is_err()
    {
        tracing::debug!("an upstream did not take all that was sent on a stream in time");
    }
    upstream.with_ends(|_, to| to.stream().send_reset(reason));
}

/// Ends both directions, and lets both sides end theirs for a moment. What they still send is for nobody.
async fn end_both(up: &mut Direction<'_>, down: &mut Direction<'_>) {
    if up.end().is_err() || down.end().is_err() {
        return;
    }
    let both_end = poll_fn(|cx| {
        let (up, down) = (up.poll_forget(cx), down.poll_forget(cx));
        match up.is_ready() && down.is_ready() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    if timeout(CLOSE_TIME_MAX, both_end).await.is_err() {
        tracing::debug!("a side did not end its direction of a stream in time");
    }
}

/// What comes from one side, on its way to the other.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
struct Direction<'a> {
    from: &'a Stream,
    to: &'a Stream,
    /// Read, and not passed on for want of credit.
    piece: Bytes,
    /// Nothing follows the piece: its end goes with it.
    is_last: bool,
    /// Its sender got credit for these: it is the piece that came with the head.
    is_credited: bool,
    /// Passed on since that was counted.
    passed: u64,
    /// Its end was passed on.
    has_ended: bool,
    /// The receiver has reset its stream: what it says in its own direction comes first.
    is_dead: bool,
}

impl<'a> Direction<'a> {
    fn new(from: &'a Stream, to: &'a Stream, first: Bytes) -> Self {
        Self {
            from,
            to,
            is_credited: !first.is_empty(),
            piece: first,
            is_last: false,
            passed: 0,
            has_ended: false,
            is_dead: false,
        }
    }

    /// Ready when the sender has reset its stream: with its code, if it gave one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        while !self.has_ended && !self.is_dead {
            if !self.piece.is_empty() {
                let (piece, is_last) = (&mut self.piece, self.is_last);
                match self.to.with_ends(|_, to| to.poll_send(cx, piece, is_last)) {
                    Some(Poll::Ready(Ok(sent))) => self.passed_on(sent),
                    Some(Poll::Pending) => break,
                    Some(Poll::Ready(Err(_))) | None => self.is_dead = true,
                }
                continue;
            }
            let next = self.from.with_ends(|from, _| {
                let piece = from.poll_piece(cx);
                self.is_last = from.ends_here();
                piece
            });
            match ready!(next.unwrap_or(Poll::Ready(Ok(None)))) {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => self.is_dead = self.end().is_err(),
                Err(error) if error.is_reset() && error.is_remote() => {
                    return Poll::Ready(error.reason());
                }
                Err(error) => {
                    self.refuse(&error);
                    return Poll::Ready(None);
                }
            }
        }
        // Nothing is read, so a reset has to be looked for.
        match self.from.with_ends(|_, from| from.stream().poll_reset(cx)) {
            Some(Poll::Ready(Ok(reason))) => Poll::Ready(Some(reason)),
            Some(Poll::Ready(Err(_))) => Poll::Ready(None),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }

    /// Resets the sender's stream if what came on it is malformed.
    fn refuse(&self, error: &h2::Error) {
        if error.reason() == Some(Reason::PROTOCOL_ERROR) && !error.is_go_away() {
            (self.from).with_ends(|_, from| from.stream().send_reset(Reason::PROTOCOL_ERROR));
        }
    }

    fn passed_on(&mut self, bytes: usize) {
        self.passed += bytes as u64;
        if !self.is_credited {
            self.from.with_ends(|from, _| from.passed_on(bytes));
        }
        self.is_credited &= !self.piece.is_empty();
        self.has_ended = self.is_last && self.piece.is_empty();
    }

    /// Tells the receiver that nothing more comes.
    fn end(&mut self) -> io::Result<()> {
        self.has_ended = true;
        self.piece = Bytes::new();
        let ended = self.to.with_ends(|_, to| to.end());
        ended.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Ready when the sender has ended or broken off.
    fn poll_forget(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = self.from.with_ends(|from, _| {
                let piece = ready!(from.poll_piece(cx));
                if let Ok(Some(piece)) = &piece {
                    from.passed_on(piece.len());
                }
                Poll::Ready(matches!(piece, Ok(Some(_))))
            });
            if !ready!(next.unwrap_or(Poll::Ready(false))) {
                return Poll::Ready(());
            }
        }
    }
}
