//! Connections to upstreams that speak HTTP/2: each core shares its own among the requests of a route.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use bytes::Bytes;
use h2::{
    SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::Request;
use tokio::sync::Notify;

use super::{
    CONNECTION_WINDOW, STREAM_WINDOW, STREAMS_MAX, UNSENT_MAX,
    body::to_io,
    io::{HasTransport, Io, Turns},
    stream::{Stream, ToUpstream},
    window::Windows,
};
use crate::{
    error::UpstreamError,
    http1::Input,
    limits::{POOL_CONNECTIONS_MAX, POOL_IDLE_MAX},
    transport::Transport,
    upstream::{NamedAddress, Upstream},
};

/// Before an upstream's SETTINGS have come it may be sent so many streams (RFC 9113 §6.5.2).
const STREAMS_AT_FIRST: usize = 100;

/// What `h2` takes for the limit of streams until SETTINGS have come: no SETTINGS can say that, nor leave it so.
const SETTINGS_AWAITED: usize = usize::MAX - 1;

/// One core's connections with HTTP/2 to the upstream of one route.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: RefCell<Vec<Rc<Connection>>>,
    /// One is being opened: those who need one wait for it.
    is_opening: Rc<Cell<bool>>,
    /// A connection was opened or not, or has a place for a stream.
    changed: Rc<Notify>,
    /// The upstream has agreed on HTTP/1.1 when it could have had HTTP/2.
    speaks_http1: RefCell<Option<Arc<Upstream>>>,
}

/// A connection with its streams.
#[derive(Debug)]
pub(crate) struct Connection {
    upstream: Arc<Upstream>,
    /// Which of the upstream's servers it leads to.
    server: u8,
    /// Where that is, if it has a name.
    named: Option<Rc<NamedAddress>>,
    requests: SendRequest<Bytes>,
    streams: Cell<usize>,
    windows: Rc<Windows>,
    idle_since: Cell<Instant>,
    has_ended: Cell<bool>,
    /// Whether it takes extended CONNECT, as was noted.
    takes_tunnels: Cell<Option<bool>>,
    changed: Rc<Notify>,
}

/// What is done to get a stream.
pub(crate) enum Next {
    /// There is a place, on a connection to this server.
    Stream(Transport, u8),
    /// The caller opens a connection, and [adopts](Connections::adopt) it where it speaks HTTP/2.
    Open(Opening),
}

/// Lets others wait until it is dropped.
pub(crate) struct Opening {
    is_opening: Rc<Cell<bool>>,
    changed: Rc<Notify>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.is_opening.set(false);
        self.changed.notify_waiters();
    }
}

impl Connections {
    /// Whether the upstream has agreed on HTTP/1.1 before.
    pub(crate) fn speaks_http1(&self, upstream: &Arc<Upstream>) -> bool {
        let known = self.speaks_http1.borrow();
        (known.as_ref()).is_some_and(|known| Arc::ptr_eq(known, upstream))
    }

    /// Notes whether the upstream has agreed on HTTP/1.1.
    pub(crate) fn learn(&self, upstream: &Arc<Upstream>, speaks_http1: bool) {
        *self.speaks_http1.borrow_mut() = speaks_http1.then(|| Arc::clone(upstream));
    }

    /// Waits for a place on a connection to this server, or for the turn to open one. Where there may be no more connections,
    /// one to another server does as well.
    pub(crate) async fn next(&self, upstream: &Arc<Upstream>, server: u8) -> Next {
        let max = upstream.options().pool.max_connections;
        let max = max.unwrap_or(POOL_CONNECTIONS_MAX);
        loop {
            let changed = self.changed.notified();
            if let Some((stream, server)) = self.take(upstream, Some(server)) {
                return Next::Stream(stream, server);
            }
            let open = self
                .open
                .borrow()
                .iter()
                .filter(|it| it.is_to(upstream, None))
                .count();
            if open >= max
                && upstream.has_others()
                && let Some((stream, server)) = self.take(upstream, None)
            {
                return Next::Stream(stream, server);
            }
            if !self.is_opening.get() && open < max {
                self.is_opening.set(true);
                return Next::Open(Opening {
                    is_opening: Rc::clone(&self.is_opening),
                    changed: Rc::clone(&self.changed),
                });
            }
            changed.await;
        }
    }

    /// A stream on a connection that has a place for it, to this server if one is said, and to which server that is.
    pub(crate) fn take(
        &self,
        upstream: &Arc<Upstream>,
        server: Option<u8>,
    ) -> Option<(Transport, u8)> {
        let mut open = self.open.borrow_mut();
        open.retain(|it| !it.has_ended.get() && it.is_fresh());
        let connection = open
            .iter()
            .find(|it| it.is_to(upstream, server) && it.has_place())?;
        let stream = Stream::ToUpstream(Rc::new(ToUpstream::new(connection)));
        Some((Transport::Stream(stream), connection.server))
    }

    /// Begins HTTP/2 on a connection that was just opened. A task of its own moves it until it ends.
    ///
    /// # Errors
    /// When that does not come about.
    pub(crate) async fn adopt(
        &self,
        upstream: &Arc<Upstream>,
        server: u8,
        named: Option<Rc<NamedAddress>>,
        transport: Transport,
    ) -> Result<Transport, UpstreamError> {
        let turns = Rc::new(Turns::default());
        let transport = Rc::new(transport);
        let io = Io::new(Owned(Rc::clone(&transport)), Input::default(), &turns);
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(SETTINGS_AWAITED)
            .max_send_buffer_size(UNSENT_MAX)
            .enable_push(false)
            .handshake(io);
        let (requests, moves) = handshake.await.map_err(|error| UpstreamError::Broken {
            source: to_io(error),
        })?;
        let connection = Rc::new(Connection {
            upstream: Arc::clone(upstream),
            server,
            named,
            requests,
            streams: Cell::new(0),
            windows: Windows::new(&turns),
            idle_since: Cell::new(Instant::now()),
            has_ended: Cell::new(false),
            takes_tunnels: Cell::new(None),
            changed: Rc::clone(&self.changed),
        });
        let stream = ToUpstream::new(&connection);
        let known = Rc::downgrade(&connection);
        let windows = Rc::clone(&connection.windows);
        self.open.borrow_mut().push(connection);
        // Not one of those that a drain waits for: exchanges on it are.
        tokio::task::spawn_local(async move {
            let mut moves = pin!(moves);
            let ended = poll_fn(|cx| {
                turns.begins(cx);
                if let Some(window) = windows.news()
                    && moves.set_initial_window_size(window).is_ok()
                {
                    windows.tell(window);
                }
                let polled = moves.as_mut().poll(cx);
                if polled.is_ready() {
                    return polled.map_err(to_io);
                }
                if let Poll::Ready(Err(error)) = turns.poll_flush(&transport, None, cx) {
                    return Poll::Ready(Err(error));
                }
                turns.ends();
                if let Some(connection) = known.upgrade() {
                    connection.learn();
                }
                Poll::Pending
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream broke");
            }
            if let Some(connection) = known.upgrade() {
                connection.has_ended.set(true);
                connection.changed.notify_waiters();
            }
        });
        Ok(Transport::Stream(Stream::ToUpstream(Rc::new(stream))))
    }

    /// Closes connections that were not used for a while.
    pub(crate) fn sweep(&self) {
        self.open.borrow_mut().retain(|it| {
            let timeout = it.upstream.options().pool.idle_timeout;
            let is_wanted = !it.leads_elsewhere() && it.idle_since.get().elapsed() < timeout;
            !it.has_ended.get() && (it.streams.get() > 0 || is_wanted)
        });
    }
}

impl Connection {
    /// Whether it leads to this server of the upstream, or to any.
    fn is_to(&self, upstream: &Arc<Upstream>, server: Option<u8>) -> bool {
        Arc::ptr_eq(&self.upstream, upstream)
            && server.is_none_or(|server| server == self.server)
            && !self.has_ended.get()
            && !self.leads_elsewhere()
    }

    /// Whether the name of its server no longer has the address that it leads to.
    fn leads_elsewhere(&self) -> bool {
        self.named.as_ref().is_some_and(|named| named.is_gone())
    }

    /// Whether it was used lately enough to be used again. The usual time is left to the sweep.
    fn is_fresh(&self) -> bool {
        let timeout = self.upstream.options().pool.idle_timeout;
        let is_left_to_sweep = timeout >= POOL_IDLE_MAX;
        is_left_to_sweep || self.streams.get() > 0 || self.idle_since.get().elapsed() < timeout
    }

    /// Whether the upstream takes another stream.
    fn has_place(&self) -> bool {
        let theirs = match self.requests.current_max_send_streams() {
            SETTINGS_AWAITED => STREAMS_AT_FIRST,
            theirs => theirs,
        };
        self.streams.get() < theirs.clamp(1, STREAMS_MAX as usize)
    }

    /// Looks at what the upstream has said in SETTINGS, which it may do late. What was announced stays so (RFC 8441 §3).
    fn learn(&self) {
        let known = self.takes_tunnels.get();
        if known == Some(true) || self.requests.current_max_send_streams() == SETTINGS_AWAITED {
            return;
        }
        let takes_tunnels = self.requests.is_extended_connect_protocol_enabled();
        if known != Some(takes_tunnels) {
            self.takes_tunnels.set(Some(takes_tunnels));
            self.upstream.notes_tunnels(self.server, takes_tunnels);
            self.changed.notify_waiters();
        }
    }

    /// Whether the upstream takes extended CONNECT, once its SETTINGS have come. A connection that has ended shows when it is used.
    pub(super) async fn takes_tunnels(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            self.learn();
            if let Some(known) = self.takes_tunnels.get() {
                return known;
            }
            if self.has_ended.get() {
                return true;
            }
            changed.await;
        }
    }

    /// Waits until what streams have given it is with its transport.
    pub(super) async fn written(&self) {
        self.windows.turns().written().await;
    }

    pub(super) fn windows(&self) -> &Rc<Windows> {
        &self.windows
    }

    pub(super) fn scheme(&self) -> &'static str {
        match self.upstream.tls() {
            None => "http",
            Some(_) => "https",
        }
    }

    pub(super) fn send(
        &self,
        request: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A clone, as each waits for its own stream to be opened.
        let mut requests = self.requests.clone();
        requests.send_request(request, is_whole).inspect_err(|_| {
            // It takes no more: of a GOAWAY, or it broke.
            self.has_ended.set(true);
        })
    }

    pub(super) fn opens_stream(&self) {
        self.streams.set(self.streams.get() + 1);
        self.windows.opens_stream();
    }

    pub(super) fn closes_stream(&self) {
        self.streams.set(self.streams.get() - 1);
        self.windows.closes_stream();
        self.idle_since.set(Instant::now());
        self.changed.notify_waiters();
    }
}

/// A transport of this connection alone: `h2` writes frames to it, and its task writes them out.
struct Owned(Rc<Transport>);

impl HasTransport for Owned {
    fn transport(&self) -> &Transport {
        &self.0
    }
}
