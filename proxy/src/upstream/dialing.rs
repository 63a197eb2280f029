//! Connecting: to the one address there is, or to several of which each may be down.

use std::{
    cell::Cell,
    fmt, io,
    rc::Rc,
    time::{Duration, Instant},
};

use brownout_fault::units::show_duration;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::sleep_until};

use super::{
    Turn, Upstream,
    names::{NamedAddress, Names},
};
use crate::{
    error::{Chain, UpstreamError},
    limits::NEXT_ADDRESS_AFTER,
    transport::unix,
};

/// A connection that was just opened, without TLS.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) tcp: TcpStream,
    /// To which of the upstream's servers.
    pub(crate) server: u8,
    /// Where that is, if it has a name.
    pub(crate) named: Option<Rc<NamedAddress>>,
}

/// How a server was reached.
#[derive(Debug)]
pub(crate) enum Reached<K> {
    /// Over a connection that there was.
    Kept(K),
    Opened(Dialed),
}

/// One of several servers of an upstream, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// As it is written in the upstream.
    pub url: String,
    /// It could not be connected to when that was tried last. Others get its requests.
    pub is_failing: bool,
    /// How often it could not be connected to since the route has this upstream.
    pub connect_failures: u64,
}

/// Why a server is tried last.
#[derive(Debug)]
pub(crate) enum ServerFailure<'a> {
    Error(&'a UpstreamError),
    /// It has not accepted for so long.
    Slow(Duration),
}

impl fmt::Display for ServerFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => {
                write!(f, "cannot be reached, others are tried: {}", Chain(error))
            }
            Self::Slow(limit) => {
                let limit = show_duration(*limit);
                write!(f, "has not accepted for {limit}, others are tried")
            }
        }
    }
}

impl Upstream {
    /// Its servers: most have one, which is itself.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.others.iter())
    }

    /// One of its servers.
    pub(crate) fn server(&self, index: u8) -> &Self {
        let other = usize::from(index).checked_sub(1);
        other
            .and_then(|other| self.others.get(other))
            .unwrap_or(self)
    }

    /// Whether there are several servers.
    pub(crate) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// The server that is to get the next request.
    pub(crate) fn next_server(&self) -> Turn {
        match self.has_others() {
            false => Turn::ONLY,
            true => self.balance.next(Instant::now()),
        }
    }

    /// Notes that a server takes requests, however that was found.
    pub(crate) fn accepts(&self, server: u8) {
        self.balance.accepted(server);
    }

    /// Its servers, if there are several, and what is known of them.
    pub(crate) fn server_states(&self) -> Vec<ServerStatus> {
        let known = self.servers().zip(self.balance.failures());
        let status = known.map(|(server, (is_failing, connect_failures))| ServerStatus {
            url: server.shown(),
            is_failing,
            connect_failures,
        });
        status.collect()
    }

    /// How long a server may take to accept before the next is tried as well: not all of the time that there is.
    fn next_after(&self) -> Duration {
        NEXT_ADDRESS_AFTER.min(self.options.connect_timeout / 2)
    }

    /// Reaches a server or, where it cannot be connected to, one of the others. Before another is connected to, `kept` is
    /// asked for a connection to it. Each server that refuses, or does not accept in time, is tried last from then on, and is told
    /// to `failed`.
    pub(crate) async fn reach<K>(
        &self,
        first: u8,
        names: &Names,
        kept: impl Fn(u8) -> Option<K>,
        failed: impl Fn(&Self, &ServerFailure<'_>),
    ) -> Result<Reached<K>, UpstreamError> {
        if !self.has_others() {
            return self.dial(0, names).await.map(Reached::Opened);
        }
        let (kept, failed) = (&kept, &failed);
        let next_after = self.next_after();
        let order = self.balance.order(first);
        // Those that were slow, by their turn: that they fail as well is not told again.
        let slow = Cell::new(0_u64);
        let tell = |index, failure: &ServerFailure<'_>| {
            self.balance.failed(index, Instant::now());
            failed(self.server(index), failure);
        };
        let attempts = order.iter().copied().enumerate().map(|(turn, index)| {
            let (slow, tell) = (&slow, &tell);
            async move {
                if turn > 0
                    && let Some(kept) = kept(index)
                {
                    return Ok(Reached::Kept(kept));
                }
                let dialed = self.server(index).dial(index, names).await;
                match &dialed {
                    Ok(_) => self.balance.accepted(index),
                    Err(error) if slow.get() & (1 << turn) == 0 => {
                        tell(index, &ServerFailure::Error(error));
                    }
                    Err(_) => {}
                }
                dialed.map(Reached::Opened)
            }
        });
        let is_slow = |turn: usize| {
            slow.set(slow.get() | (1 << turn));
            tell(order[turn], &ServerFailure::Slow(next_after));
        };
        first_of(attempts, next_after, is_slow).await
    }

    /// Connects to this server, which has this index among those of its upstream.
    pub(super) async fn dial(&self, server: u8, names: &Names) -> Result<Dialed, UpstreamError> {
        let connect = |source| UpstreamError::Connect { source };
        let without_name = |tcp| Dialed {
            tcp,
            server,
            named: None,
        };
        if let Some(path) = &self.unix {
            let opened = unix::connect(path).await;
            return opened.map(without_name).map_err(connect);
        }
        let dialed = match self.address {
            Some(address) => without_name(TcpStream::connect(address).await.map_err(connect)?),
            None => {
                let tcp = self.connect_by_name(names).await?;
                let address = tcp.peer_addr().map_err(connect)?;
                Dialed {
                    named: Some(names.opened(&self.host, self.port, address)),
                    ..without_name(tcp)
                }
            }
        };
        // Without it a 64 KiB answer may stall for 40 ms behind a delayed acknowledgement.
        dialed.tcp.set_nodelay(true).map_err(connect)?;
        Ok(dialed)
    }

    /// Tries the addresses that the name has.
    async fn connect_by_name(&self, names: &Names) -> Result<TcpStream, UpstreamError> {
        let found = names.look_up(&self.host, self.port).await;
        let addresses = found.map_err(|source| UpstreamError::Resolve { source })?;
        let connected = match &*addresses {
            [] => {
                let none = "the name has no address";
                Err(io::Error::new(io::ErrorKind::NotFound, none))
            }
            [only] => TcpStream::connect(only).await,
            several => {
                let attempts = several.iter().map(TcpStream::connect);
                first_of(attempts, NEXT_ADDRESS_AFTER, |_| {}).await
            }
        };
        connected.map_err(|source| {
            names.forget(&self.host);
            UpstreamError::Connect { source }
        })
    }
}

/// The first attempt that comes off. The next begins when one has failed or has taken `next_after`; others go on meanwhile. `is_slow`
/// is told of each that has taken so long when it was the last one begun, by its number.
///
/// There must be at least one. When none comes off, it is the last failure.
async fn first_of<T, E, F>(
    attempts: impl Iterator<Item = F>,
    next_after: Duration,
    is_slow: impl Fn(usize),
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = attempts.enumerate().peekable();
    let mut running = FuturesUnordered::new();
    let mut latest = None;
    loop {
        if let Some((number, attempt)) = waiting.next() {
            running.push(attempt);
            latest = Some((number, Instant::now() + next_after));
        }
        let (number, slow_at) = latest.unwrap_or((0, Instant::now()));
        tokio::select! {
            biased;
            Some(done) = running.next() => match done {
                Ok(done) => return Ok(done),
                Err(error) if waiting.peek().is_none() && running.is_empty() => return Err(error),
                Err(_) => {}
            },
            () = sleep_until(slow_at.into()), if latest.is_some() => {
                latest = None;
                is_slow(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        future::{pending, ready},
        pin::Pin,
    };

    use super::*;

    type Attempt = Pin<Box<dyn Future<Output = Result<u8, u8>>>>;

    #[tokio::test]
    async fn one_that_hangs_does_not_keep_the_others_from_being_tried() {
        let attempts: Vec<Attempt> = vec![
            Box::pin(pending()),
            Box::pin(ready(Err(1))),
            Box::pin(ready(Ok(2))),
        ];
        let began = Instant::now();
        let slow = RefCell::new(Vec::new());

        let first = first_of(attempts.into_iter(), NEXT_ADDRESS_AFTER, |number| {
            slow.borrow_mut().push(number);
        });

        assert_eq!(first.await, Ok(2));
        assert!(began.elapsed() >= NEXT_ADDRESS_AFTER);
        assert_eq!(slow.into_inner(), [0], "before it was left");
    }

    #[tokio::test]
    async fn when_none_comes_off_the_last_failure_is_told() {
        let attempts = [Err::<u8, u8>(1), Err(2)].map(ready);

        let first = first_of(attempts.into_iter(), NEXT_ADDRESS_AFTER, |_| {});
        assert_eq!(first.await, Err(2));
    }

    #[tokio::test]
    async fn the_last_one_is_slow_as_well_and_its_failure_is_told() {
        let fails_late = async {
            sleep_until((Instant::now() + 2 * NEXT_ADDRESS_AFTER).into()).await;
            Err::<u8, u8>(1)
        };
        let slow = RefCell::new(Vec::new());

        let first = first_of(std::iter::once(fails_late), NEXT_ADDRESS_AFTER, |number| {
            slow.borrow_mut().push(number);
        });

        assert_eq!(first.await, Err(1));
        assert_eq!(slow.into_inner(), [0]);
    }
}
