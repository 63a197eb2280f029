//! Listening sockets: one for each core, bound by the control thread.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, ToSocketAddrs},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use brownout_fault::FaultReader;
use brownout_telemetry::Tracer;
use socket2::{Domain, SockFilter, Socket, Type};
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    crowd::Crowd,
    http1::{self, HeadLimits},
    journal::CoreJournal,
    limits::ClientTimeouts,
    loops::Hops,
    relay,
    route::Route,
    scope::Scope,
    sys,
    timer::Timer,
    tls::CoreTls,
    upstream::{Pool, Protocol},
};

/// Connections that wait for a core to accept them.
const BACKLOG: i32 = 4096;

/// Where a route listens: `HOST:PORT`, or `:PORT` for every address of the machine. Port 0 asks for a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

/// A text that is no [`ListenAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an address to listen on; write it like \"127.0.0.1:9100\", with port 0 for a free one"
)]
pub struct InvalidListenAddress;

impl ListenAddress {
    /// Reads an address. A host name is resolved, to its first address.
    ///
    /// # Errors
    /// When it is no address, or its name has none.
    pub fn parse(text: &str) -> Result<Self, InvalidListenAddress> {
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().map_err(|_| InvalidListenAddress)?;
            return Ok(Self(everywhere(port, has_ipv6())));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let mut resolved = text.to_socket_addrs().map_err(|_| InvalidListenAddress)?;
        resolved.next().map(Self).ok_or(InvalidListenAddress)
    }

    /// As a socket address.
    #[must_use]
    pub fn to_socket_addr(self) -> SocketAddr {
        self.0
    }

    /// Whether a socket bound to `bound` already listens where this asks for.
    ///
    /// `[::]:p` listens on IPv4 as well, so `0.0.0.0:p` asks for nothing new there. Port 0 always does.
    #[must_use]
    pub fn is_served_by(self, bound: SocketAddr) -> bool {
        let all = |ip: std::net::IpAddr| ip.is_unspecified();
        let wider = bound.ip() == Ipv6Addr::UNSPECIFIED && self.0.ip() == Ipv4Addr::UNSPECIFIED;
        let same_ip = self.0.ip() == bound.ip() || (all(self.0.ip()) && wider);
        same_ip && self.0.port() == bound.port()
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Every address of the machine: IPv6, which takes IPv4 as well, where there is IPv6.
fn everywhere(port: u16, has_ipv6: bool) -> SocketAddr {
    match has_ipv6 {
        true => (Ipv6Addr::UNSPECIFIED, port).into(),
        false => (Ipv4Addr::UNSPECIFIED, port).into(),
    }
}

/// Many containers have none.
fn has_ipv6() -> bool {
    let probe = Socket::new(Domain::IPV6, Type::STREAM, None);
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    probe.is_ok_and(|socket| socket.bind(&any.into()).is_ok())
}

/// The listening sockets of one route. Dropping it refuses new connections at once.
#[derive(Debug)]
pub(crate) struct Listening {
    address: SocketAddr,
    sockets: Vec<Socket>,
    /// Whether the sockets drop what comes.
    ignores: bool,
}

impl Listening {
    /// Binds `count` sockets to one address.
    ///
    /// The first is bound without `SO_REUSEPORT`, so an address in use is an error even where its owner allows
    /// sharing; the others then share with it. The kernel spreads connections over them by hash.
    pub(crate) fn bind(address: ListenAddress, count: usize) -> io::Result<Self> {
        let first = new_socket(address.0)?;
        first.bind(&address.0.into())?;
        first.set_reuse_port(true)?;
        first.listen(BACKLOG)?;
        let address = first
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a TCP socket has no socket address"))?;
        let mut sockets = vec![first];
        for _ in 1..count {
            let socket = new_socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            sockets.push(socket);
        }
        Ok(Self {
            address,
            sockets,
            ignores: false,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers nobody who connects, or everybody again. Whether that is a change.
    ///
    /// A filter on the sockets (`SO_ATTACH_FILTER`, socket(7)) drops what comes: a SYN, and the end of a handshake that has just
    /// begun. The sockets go on to listen, and connections that wait to be accepted are.
    pub(crate) fn ignore(&mut self, ignore: bool) -> bool {
        /// `BPF_RET | BPF_K` with 0: not a byte of the packet is let through.
        const DROP_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);
        if self.ignores == ignore {
            return false;
        }
        for socket in &self.sockets {
            let changed = match ignore {
                true => socket.attach_filter(&[DROP_ALL]),
                false => socket.detach_filter(),
            };
            if let Err(error) = changed {
                tracing::error!(%error, address = %self.address, ignore, "could not change a listening socket's filter");
                if ignore {
                    self.stop_ignoring();
                    return false;
                }
            }
        }
        self.ignores = ignore;
        true
    }

    /// Takes away the filters of those sockets that have one.
    fn stop_ignoring(&self) {
        for socket in &self.sockets {
            if let Err(error) = socket.detach_filter() {
                tracing::debug!(%error, address = %self.address, "had no filter");
            }
        }
    }

    /// Attempts to connect that were not answered.
    pub(crate) fn unanswered_syns(&self) -> u64 {
        let dropped = |socket: &Socket| u64::from(sys::dropped_packets(socket).unwrap_or(0));
        self.sockets.iter().map(dropped).sum()
    }

    /// One listener for each core. They are refused when `self` is dropped.
    pub(crate) fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        let duplicate = |socket: &Socket| Ok(TcpListener::from(socket.try_clone()?));
        self.sockets.iter().map(duplicate).collect()
    }
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Drop for Listening {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // The cores hold duplicates; this ends them all.
            if let Err(error) = socket.shutdown(Shutdown::Both) {
                tracing::warn!(%error, address = %self.address, "could not stop listening");
            }
        }
    }
}

/// What a core needs to serve a route.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) route: Arc<Route>,
    pub(crate) listener: TcpListener,
    /// Cancelled when the route is disabled, moved or deleted.
    pub(crate) closing: CancellationToken,
    /// Cancelled as well when new connections are refused.
    pub(crate) accepting: CancellationToken,
    pub(crate) faults: FaultReader,
    pub(crate) tracer: Tracer,
    pub(crate) client_timeouts: ClientTimeouts,
    /// The core's part of the journal, if there is one.
    pub(crate) journal: Option<Arc<CoreJournal>>,
    /// A permit for each connection of the process.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) hops: Arc<Hops>,
}

/// Accepts connections on one core until the listener is shut down.
pub(crate) async fn accept(serve_route: Serve, timer: Timer, tasks: TaskTracker, crowd: Rc<Crowd>) {
    const SWEEP: Duration = Duration::from_secs(10);
    /// Out of descriptors, most likely: let some close.
    const BACK_OFF: Duration = Duration::from_millis(100);
    let Serve {
        route,
        listener,
        closing,
        accepting,
        faults,
        tracer,
        client_timeouts,
        journal,
        connections,
        hops,
    } = serve_route;
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, route = route.name(), "could not listen");
            return;
        }
    };
    let protocol = route.upstream().protocol();
    let scope = Rc::new(Scope {
        route,
        faults,
        tracer,
        pool: Rc::new(Pool::default()),
        upstream_tls: CoreTls::default(),
        head_limits: HeadLimits::default(),
        client_timeouts,
        timer,
        journal,
        tasks: tasks.clone(),
        hops,
    });
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = accepting.cancelled() => return,
            accepted = listener.accept() => accepted,
            _ = sweep.tick() => {
                scope.pool.sweep();
                continue;
            }
        };
        match accepted {
            Ok((tcp, peer)) => {
                // One connection waits for a place here, the others in the kernel's queue. All end with the route.
                let permit = tokio::select! {
                    biased;
                    permit = Arc::clone(&connections).acquire_owned() => permit,
                    () = accepting.cancelled() => return,
                };
                let Ok(permit) = permit else {
                    return; // The gateway is gone.
                };
                let (scope, closing) = (Rc::clone(&scope), closing.clone());
                match protocol {
                    Protocol::Http => {
                        tasks.spawn_local(http1::serve(tcp, peer, permit, scope, closing));
                    }
                    Protocol::Tcp => {
                        tasks.spawn_local(relay::serve(tcp, peer, permit, scope, closing));
                    }
                }
                crowd.grew();
            }
            Err(error) => {
                tracing::warn!(%error, route = scope.route.name(), "could not accept");
                sleep(BACK_OFF).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        ListenAddress::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_compared_by_meaning() {
        let dual: SocketAddr = "[::]:80".parse().unwrap();
        let v4: SocketAddr = "0.0.0.0:80".parse().unwrap();

        assert!(address(":80").is_served_by(dual));
        assert!(address("0.0.0.0:80").is_served_by(dual));
        assert!(!address(":80").is_served_by(v4), "IPv6 would be new");
        assert!(
            !address("127.0.0.1:80").is_served_by(dual),
            "fewer is not the same"
        );
        assert!(!address(":81").is_served_by(dual));
    }

    #[test]
    fn a_port_alone_is_every_address_with_ipv6_and_without() {
        assert_eq!(everywhere(80, true).to_string(), "[::]:80");
        assert_eq!(everywhere(80, false).to_string(), "0.0.0.0:80");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "9100",
            "127.0.0.1",
            "127.0.0.1:99999",
            ":x",
            "no such host:80",
        ] {
            assert_eq!(
                ListenAddress::parse(text),
                Err(InvalidListenAddress),
                "{text}"
            );
        }
    }

    #[test]
    fn an_address_in_use_is_an_error_even_against_ourselves() {
        let first = Listening::bind(address("127.0.0.1:0"), 2).unwrap();

        let second = Listening::bind(first.address().into(), 2).unwrap_err();

        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn dropping_refuses_at_once_and_frees_the_address() {
        let listening = Listening::bind(address("127.0.0.1:0"), 2).unwrap();
        let held_by_cores = listening.listeners().unwrap();
        let address = listening.address();

        drop(listening);

        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(Listening::bind(address.into(), 2).is_ok());
        drop(held_by_cores);
    }
}
