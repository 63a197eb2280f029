//! Where requests go: an address, and each core's own connections to it.

use std::{
    cell::RefCell,
    fmt,
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::{
        TrySendError,
        http1::{Builder, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    task::coop::unconstrained,
    time::timeout,
};

use crate::{body::RequestBody, error::UpstreamError, headers::lists};

/// How long an upstream may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How many unused connections a core keeps for a route.
const IDLE_CONNECTIONS_MAX: usize = 256;

/// The address behind a route: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    host: String,
    port: u16,
    /// `Some` when the host is an address, so that nothing needs to be resolved.
    address: Option<SocketAddr>,
    host_field: HeaderValue,
}

/// Why a text is no upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpstream {
    /// Not of the form `http://HOST:PORT`.
    #[error("is not an upstream; write it like \"http://127.0.0.1:9000\"")]
    Malformed,
    /// TLS to upstreams is still to come.
    #[error("https upstreams are not supported yet; write \"http://HOST:PORT\"")]
    Tls,
    /// Something follows the host and port.
    #[error(
        "has a path or query; a route forwards paths as they are, so write \"http://HOST:PORT\""
    )]
    Path,
    /// A user name or password.
    #[error("has a user name; credentials belong into the requests")]
    Credentials,
}

impl Upstream {
    /// Reads `http://HOST:PORT`. The port is 80 when it is left out; the host may be a name, which is
    /// resolved for each new connection.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, InvalidUpstream> {
        if text.starts_with("https://") {
            return Err(InvalidUpstream::Tls);
        }
        let rest = text
            .strip_prefix("http://")
            .ok_or(InvalidUpstream::Malformed)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(InvalidUpstream::Path);
        }
        if authority.contains('@') {
            return Err(InvalidUpstream::Credentials);
        }
        let parsed: http::uri::Authority =
            authority.parse().map_err(|_| InvalidUpstream::Malformed)?;
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
        let has_port = parsed.as_str().len() > parsed.host().len();
        let port = match parsed.port_u16() {
            Some(0) => return Err(InvalidUpstream::Malformed),
            Some(port) => port,
            None if has_port => return Err(InvalidUpstream::Malformed),
            None => 80,
        };
        if host.is_empty() {
            return Err(InvalidUpstream::Malformed);
        }
        let address = host.parse::<IpAddr>().ok();
        Ok(Self {
            host: host.to_owned(),
            port,
            address: address.map(|ip| SocketAddr::new(ip, port)),
            host_field: HeaderValue::from_str(parsed.as_str())
                .map_err(|_| InvalidUpstream::Malformed)?,
        })
    }

    /// What goes into `Host` when a client sent none.
    pub(crate) fn host_field(&self) -> &HeaderValue {
        &self.host_field
    }

    /// `HOST:PORT`, for people and spans.
    pub(crate) fn authority(&self) -> &str {
        self.host_field.to_str().unwrap_or(&self.host)
    }

    async fn connect(&self) -> Result<TcpStream, UpstreamError> {
        let connect = async {
            let tcp = match self.address {
                Some(address) => TcpStream::connect(address).await,
                None => self.connect_by_name().await?,
            };
            let tcp = tcp.map_err(|source| UpstreamError::Connect { source })?;
            // Without it a 64 KiB answer may stall for 40 ms behind a delayed acknowledgement.
            tcp.set_nodelay(true)
                .map_err(|source| UpstreamError::Connect { source })?;
            Ok(tcp)
        };
        timeout(CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or(Err(UpstreamError::ConnectTimeout))
    }

    /// Tries each address that the name has, in turn.
    async fn connect_by_name(&self) -> Result<io::Result<TcpStream>, UpstreamError> {
        let resolve = |source| UpstreamError::Resolve { source };
        let addresses = lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(resolve)?;
        let mut last = Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
        for address in addresses {
            last = TcpStream::connect(address).await;
            if last.is_ok() {
                break;
            }
        }
        Ok(last)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

/// One core's unused connections for one route. No other core touches them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    lease: Lease,
    since: Instant,
}

/// An answer's head, and the connection it came on.
pub(crate) struct Sent {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
    /// Whether a stale connection was found on the way and the request was sent again.
    pub(crate) resent: bool,
}

impl Pool {
    /// Sends `request` on an unused connection, or on a new one.
    ///
    /// An unused connection may have been closed by the upstream just now. The request is then sent once more
    /// on a new one if nothing of it was sent, or if it can be repeated: its method is idempotent, it has no
    /// body, and no byte came back (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        upstream: &Arc<Upstream>,
    ) -> Result<Sent, UpstreamError> {
        let mut resent = false;
        if let Some(mut lease) = self.take(upstream) {
            let spare = repeatable(&request);
            let before = lease.received.load(Ordering::Relaxed);
            match lease.send(request).await {
                Ok(response) => {
                    return Ok(Sent {
                        response,
                        lease,
                        resent,
                    });
                }
                Err(mut failed) => {
                    let silent = lease.received.load(Ordering::Relaxed) == before;
                    request = match (failed.take_message(), spare) {
                        (Some(unsent), _) => unsent,
                        (None, Some(spare)) if silent => spare,
                        (None, _) => return Err(UpstreamError::from_hyper(failed.into_error())),
                    };
                    resent = true;
                }
            }
        }
        let mut lease = Lease::open(upstream).await?;
        let response = lease.send(request).await;
        Ok(Sent {
            response: response.map_err(|failed| UpstreamError::from_hyper(failed.into_error()))?,
            lease,
            resent,
        })
    }

    /// Keeps a connection whose exchange is over, unless there are plenty.
    pub(crate) fn give_back(&self, lease: Lease) {
        let mut idle = self.idle.borrow_mut();
        if lease.can_be_used_again && idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(Idle {
                lease,
                since: Instant::now(),
            });
        }
    }

    /// Closes the connections that were not used for a while, or whose upstream has closed them.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| idle.lease.is_idle() && idle.since.elapsed() < IDLE_MAX);
    }

    /// The most recently used connection to `upstream` that is still open.
    fn take(&self, upstream: &Arc<Upstream>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut lease, .. }) = idle.pop() {
            // The route may have got another upstream since.
            if Arc::ptr_eq(&lease.upstream, upstream) && lease.is_idle() {
                return Some(lease);
            }
        }
        None
    }
}

/// A connection to an upstream, lent to one exchange at a time. Dropping it closes it, unless it goes
/// [back](Pool::give_back).
///
/// It has no task of its own: it moves on when the exchange that has it is polled, which saves two switches of
/// tasks for each message. Nothing else that the exchange waits for of it, be it the answer's head or a part of the
/// body, can come about otherwise, so those waits need no waker.
pub(crate) struct Lease {
    sender: SendRequest<RequestBody>,
    /// `None` once it is over.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
    /// Bytes that ever came from the upstream on this connection.
    received: Arc<AtomicU64>,
    upstream: Arc<Upstream>,
    can_be_used_again: bool,
}

impl Lease {
    async fn open(upstream: &Arc<Upstream>) -> Result<Self, UpstreamError> {
        let received = Arc::new(AtomicU64::new(0));
        let io = UpstreamIo {
            tcp: upstream.connect().await?,
            received: Arc::clone(&received),
        };
        let (sender, connection) = Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(UpstreamError::from_hyper)?;
        Ok(Self {
            sender,
            connection: Some(Box::pin(connection.with_upgrades())),
            received,
            upstream: Arc::clone(upstream),
            can_be_used_again: true,
        })
    }

    /// Sends a request and waits for the answer's head.
    async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        // Unconstrained: giving way to other tasks would ask the waker that this does not have.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let connection = &mut self.connection;
        let response = poll_fn(|cx| {
            advance(connection, cx);
            answer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        })
        .await?;
        self.can_be_used_again = keeps_alive(&response);
        Ok(response)
    }

    /// The next frame of the answer's body.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let nobody = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(nobody) {
            return Poll::Ready(frame);
        }
        advance(&mut self.connection, cx);
        Pin::new(body).poll_frame(nobody)
    }

    /// Lets the connection end by itself, as one does that has switched protocols.
    pub(crate) async fn finish(mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.await
        {
            tracing::debug!(%error, "an upstream connection ended");
        }
    }

    /// Whether it waits for a request. Looks whether the upstream has closed it.
    fn is_idle(&mut self) -> bool {
        advance(
            &mut self.connection,
            &mut Context::from_waker(Waker::noop()),
        );
        self.connection.is_some() && self.sender.is_ready()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

/// Lets a connection do what it can.
fn advance(
    connection: &mut Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
    cx: &mut Context<'_>,
) {
    if let Some(running) = connection
        && let Poll::Ready(ended) = running.as_mut().poll(cx)
    {
        if let Err(error) = ended {
            tracing::debug!(%error, "an upstream connection ended");
        }
        *connection = None;
    }
}

/// Whether the connection of an answer outlives it (RFC 9112 §9.3).
fn keeps_alive<B>(response: &Response<B>) -> bool {
    match response.version() {
        Version::HTTP_11 => !lists(response.headers(), &CONNECTION, "close"),
        _ => lists(response.headers(), &CONNECTION, "keep-alive"),
    }
}

/// A copy of the request's head, if sending it twice does no harm. It lacks what hyper keeps of the case of
/// names, which would cost each request more than the rare second sending is worth.
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !request.body().is_absent() || !request.method().is_idempotent() {
        return None;
    }
    let mut copy = Request::new(RequestBody::absent());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// The upstream's socket, counting what comes back.
///
/// An upstream may answer early and close while the request's body is still being sent (413, say). hyper gives up
/// at the first failed write and so would lose that answer; here a failed write is forgotten, and what is read
/// next tells: the answer, or how the connection broke.
struct UpstreamIo {
    tcp: TcpStream,
    received: Arc<AtomicU64>,
}

/// Takes bytes that can no longer be sent as if they were.
fn forget_broken(
    written: Poll<io::Result<usize>>,
    bytes: impl FnOnce() -> usize,
) -> Poll<io::Result<usize>> {
    match written {
        Poll::Ready(Err(error))
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) =>
        {
            Poll::Ready(Ok(bytes()))
        }
        other => other,
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.received.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        forget_broken(written, || buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match bufs {
            // send(2) is cheaper than writev(2).
            [one] => Pin::new(&mut self.tcp).poll_write(cx, one),
            several => Pin::new(&mut self.tcp).poll_write_vectored(cx, several),
        };
        forget_broken(written, || bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A pool shared by the connections of one route on one core.
pub(crate) type SharedPool = Rc<Pool>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_host_and_a_port() {
        let cases = [
            (
                "http://127.0.0.1:9000",
                "127.0.0.1:9000",
                Some("127.0.0.1:9000"),
            ),
            ("http://[::1]:9000", "[::1]:9000", Some("[::1]:9000")),
            ("http://shop.internal/", "shop.internal", None),
            ("http://10.0.0.1", "10.0.0.1", Some("10.0.0.1:80")),
        ];
        for (text, authority, address) in cases {
            let upstream = Upstream::parse(text).unwrap();
            assert_eq!(upstream.authority(), authority);
            assert_eq!(upstream.address.map(|a| a.to_string()).as_deref(), address);
        }
    }

    #[test]
    fn what_is_no_upstream_says_why() {
        let cases = [
            ("127.0.0.1:9000", InvalidUpstream::Malformed),
            ("https://shop.example", InvalidUpstream::Tls),
            ("http://shop.example/v1", InvalidUpstream::Path),
            ("http://shop.example?x", InvalidUpstream::Path),
            (
                "http://me:secret@shop.example",
                InvalidUpstream::Credentials,
            ),
            ("http://", InvalidUpstream::Malformed),
            ("http://:80", InvalidUpstream::Malformed),
            ("http://shop:0", InvalidUpstream::Malformed),
            ("http://shop:99999", InvalidUpstream::Malformed),
            ("http://sh op:80", InvalidUpstream::Malformed),
            ("", InvalidUpstream::Malformed),
        ];
        for (text, error) in cases {
            assert_eq!(Upstream::parse(text), Err(error), "{text}");
        }
    }
}
