//! A connection to an upstream, used by one exchange at a time.

use std::{cell::Cell, io, rc::Rc, sync::Arc};

use tokio::{net::TcpStream, time::timeout};

use super::{
    BadAnswer, Input, ResponseHead,
    head::{HeadLimits, HeadSearch},
};
use crate::{
    clock::{Clock, Part},
    error::UpstreamError,
    http2::Next,
    proxy_protocol::{Endpoints, header, send},
    scope::Scope,
    tls::{HTTP2, TlsFailure},
    transport::{TlsTransport, Transport},
    upstream::{Dialed, HttpVersion, NamedAddress, Place, Reached, ServerFailure, Turn, Upstream},
};

/// A connection to an upstream. Dropping it closes it.
///
/// Nobody watches it while it is idle: whether the upstream has closed it is looked at when it is taken.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    pub(crate) transport: Transport,
    pub(crate) input: Input,
    pub(crate) upstream: Arc<Upstream>,
    /// Which of the upstream's servers it leads to.
    pub(crate) server: u8,
    /// Where that is, if it has a name and this is no stream.
    named: Option<Rc<NamedAddress>>,
    /// Of an upstream with a limit, while it is used.
    pub(crate) place: Option<Place>,
    /// Whether it comes from the pool.
    pub(crate) was_used: bool,
}

/// Which connection is to be opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The server whose turn it is.
    pub(crate) turn: Turn,
    /// Not a kept one.
    pub(crate) is_new: bool,
    /// For whom, if he has addresses.
    pub(crate) client: Option<Endpoints>,
}

/// What an attempt to get a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Place,
    Connecting,
    Handshake,
}

/// Why no head of an answer came.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub(crate) error: UpstreamError,
    /// The upstream closed an idle connection, without having read all of the request: nothing of it was acted on.
    pub(crate) was_unread: bool,
}

impl NoAnswer {
    /// There was one, but it cannot be passed on.
    pub(crate) fn of(bad: BadAnswer) -> Self {
        Self {
            error: UpstreamError::Protocol { bad },
            was_unread: false,
        }
    }
}

impl UpstreamConnection {
    /// Opens one to a server of the upstream, or to another where that cannot be connected to: connects, and begins TLS where
    /// it is spoken. Of an upstream with a limit it waits for a place first, and may get a kept one then, unless it has to be
    /// a new one. Boxed, as exchanges and the pool hand it to each other.
    ///
    /// # Errors
    /// When that failed or took too long, or the connection leads back to the route.
    pub(crate) async fn open(
        scope: &Scope,
        upstream: &Arc<Upstream>,
        wanted: Wanted,
    ) -> Result<Box<Self>, UpstreamError> {
        let Wanted {
            turn: Turn { server, is_probe },
            is_new,
            client,
        } = wanted;
        let limit = upstream.options().connect_timeout;
        let opening = Cell::new(Opening::Place);
        let opened = timeout(limit, async {
            let mut turn = None;
            if upstream.options().http != HttpVersion::Http1
                && !scope.pool.http2.speaks_http1(upstream)
            {
                match scope.pool.http2.next(upstream, server).await {
                    Next::Stream(transport, server) => {
                        upstream.accepts(server);
                        return Ok(Self::over(transport, upstream, server, !is_new));
                    }
                    Next::Open(opening) => turn = Some(opening),
                }
            }
            let place = match turn {
                None => scope.pool.place(upstream).await,
                Some(_) => None, // Of HTTP/2 connections there are few.
            };
            if place.is_some() {
                if !is_new
                    && !is_probe
                    && let Some(mut kept) = scope.pool.take(upstream, server)
                {
                    kept.place = place;
                    return Ok(kept);
                }
                scope.pool.make_room(upstream);
            }
            opening.set(Opening::Connecting);
            let speaks_http2 = turn.is_some();
            let kept = |server| match speaks_http2 {
                true => (scope.pool.http2.take(upstream, Some(server)))
                    .map(|(stream, server)| Self::over(stream, upstream, server, !is_new)),
                false if is_new => None,
                false => scope.pool.take(upstream, server),
            };
            let failed = |server: &Upstream, failure: &ServerFailure<'_>| {
                scope.route.server_failed(server, failure);
            };
            let reached = upstream.reach(server, &scope.pool.names, kept, failed);
            let Dialed { tcp, server, named } = match reached.await? {
                Reached::Opened(dialed) => dialed,
                Reached::Kept(mut kept) => {
                    kept.place = place;
                    return Ok(kept);
                }
            };
            opening.set(Opening::Handshake);
            scope.check_leads_on(upstream.server(server), &tcp)?;
            if let Some(version) = upstream.options().send_proxy {
                send(&tcp, &header(version, client)).await?;
            }
            let transport = match upstream.server(server).tls() {
                None => Transport::Plain(tcp),
                Some(tls) => handshake(tcp, scope.upstream_tls.begin(tls)).await?,
            };
            if begins_http2(&transport, upstream)? {
                scope.pool.http2.learn(upstream, false);
                let stream = (scope.pool.http2)
                    .adopt(upstream, server, named, transport)
                    .await?;
                drop(turn);
                return Ok(Self::over(stream, upstream, server, !is_new));
            }
            if turn.is_some() {
                scope.pool.http2.learn(upstream, true);
                upstream.notes_tunnels(server, false);
            }
            let mut opened = Self::over(transport, upstream, server, false);
            (opened.named, opened.place) = (named, place);
            Ok(opened)
        });
        opened.await.unwrap_or_else(|_| {
            Err(
                match (opening.get(), upstream.options().pool.max_connections) {
                    (Opening::Place, Some(max)) => UpstreamError::PoolFull { max, limit },
                    (Opening::Place, None) | (Opening::Connecting, _) => {
                        UpstreamError::ConnectTimeout { limit }
                    }
                    (Opening::Handshake, _) => UpstreamError::HandshakeTimeout { limit },
                },
            )
        })
    }

    fn over(
        transport: Transport,
        upstream: &Arc<Upstream>,
        server: u8,
        was_used: bool,
    ) -> Box<Self> {
        Box::new(Self {
            transport,
            input: Input::default(),
            upstream: Arc::clone(upstream),
            server,
            named: None,
            place: None,
            was_used,
        })
    }

    /// Whether it waits for a request and may get one: the upstream has neither closed it nor sent anything. Asks the kernel only if
    /// something happened on it.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.input.is_empty() && !self.leads_elsewhere() && self.transport.is_idle()
    }

    /// Whether the name of its server no longer has the address that it leads to.
    pub(crate) fn leads_elsewhere(&self) -> bool {
        self.named.as_ref().is_some_and(|named| named.is_gone())
    }
}

/// Whether HTTP/2 is spoken on a connection that was just opened.
fn begins_http2(transport: &Transport, upstream: &Upstream) -> Result<bool, UpstreamError> {
    let agreed = transport.tls().and_then(TlsTransport::agreed);
    let is_agreed = agreed.as_deref() == Some(HTTP2.as_bytes());
    let asks = (upstream.tls()).is_some_and(|tls| tls.options().alpn.is_none());
    match upstream.options().http {
        HttpVersion::Http1 => Ok(false),
        HttpVersion::Auto => Ok(is_agreed),
        HttpVersion::Http2 if asks && !is_agreed => Err(UpstreamError::NoHttp2),
        HttpVersion::Http2 => Ok(true),
    }
}

/// Begins TLS on a connection that was just opened.
pub(crate) async fn handshake(
    tcp: TcpStream,
    connection: Result<rustls::ClientConnection, rustls::Error>,
) -> Result<Transport, UpstreamError> {
    let connection = connection.map_err(|error| UpstreamError::Tls {
        failure: TlsFailure::of(&error),
    })?;
    let tls = TlsTransport::new(Transport::Plain(tcp), connection.into());
    match tls.handshake().await {
        Ok(()) => Ok(Transport::Tls(Box::new(tls))),
        Err(source) => Err(UpstreamError::of_handshake(&source)),
    }
}

/// Reads the head of an answer, a 1xx included.
///
/// # Errors
/// When the upstream ends the connection before, or sends what is no head.
pub(crate) async fn read_head(
    transport: &Transport,
    input: &mut Input,
    head: &mut ResponseHead,
    clock: &Clock,
    limits: &HeadLimits,
) -> Result<(), NoAnswer> {
    let mut search = HeadSearch::default();
    let mut is_silent = true;
    loop {
        if !input.is_empty() {
            is_silent = false;
            match head.parse(input.bytes(), &mut search, limits) {
                Ok(Some(used)) => {
                    input.consume(used);
                    return Ok(());
                }
                Ok(None) => {}
                Err(bad) => {
                    return Err(NoAnswer::of(bad));
                }
            }
        }
        let read = clock
            .during(Part::Upstream, |cx| input.poll_fill(transport, cx))
            .await;
        let source = match read {
            // An orderly close. Bytes that the upstream had not read would have made it a reset, unless they came later.
            // In TLS it may come without a close_notify: nothing can be cut off that had not begun.
            read if is_fin(&read) => {
                let was_unread = is_silent && transport.has_unacknowledged();
                let source = io::ErrorKind::UnexpectedEof.into();
                let error = UpstreamError::Broken { source };
                return Err(NoAnswer { error, was_unread });
            }
            Ok(_) => continue,
            Err(source) => source,
        };
        return Err(NoAnswer {
            error: UpstreamError::of_broken(source),
            was_unread: false,
        });
    }
}

fn is_fin(read: &io::Result<usize>) -> bool {
    match read {
        Ok(read) => *read == 0,
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}
