//! Connecting: to the one address there is, or to several of which each may be down.

use std::{
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::sleep};

use super::{
    Upstream,
    names::{NamedAddress, Names},
};
use crate::{error::UpstreamError, limits::NEXT_ADDRESS_AFTER, transport::unix};

/// Whose turn it is among the servers of an upstream. Two upstreams are the same whosever turn it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<AtomicUsize>);

impl PartialEq for Turn {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Turn {}

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
    pub(crate) fn next_server(&self) -> u8 {
        match self.has_others() {
            false => 0,
            true => self.behind(0, self.turn.0.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The server that comes so many turns behind another.
    fn behind(&self, server: u8, turns: usize) -> u8 {
        let index = turns.wrapping_add(server.into()) % (self.others.len() + 1);
        u8::try_from(index).expect("there are few servers")
    }

    /// Reaches a server or, where it cannot be connected to, one of the others. Before another is connected to, `kept` is
    /// asked for a connection to it. Each failure is told to `failed`.
    pub(crate) async fn reach<K>(
        &self,
        first: u8,
        names: &Names,
        kept: impl Fn(u8) -> Option<K>,
        failed: impl Fn(&Self, &UpstreamError),
    ) -> Result<Reached<K>, UpstreamError> {
        if !self.has_others() {
            return self.dial(0, names).await.map(Reached::Opened);
        }
        let (kept, failed) = (&kept, &failed);
        let attempts = (0..=self.others.len()).map(|turn| async move {
            let index = self.behind(first, turn);
            if turn > 0
                && let Some(kept) = kept(index)
            {
                return Ok(Reached::Kept(kept));
            }
            let server = self.server(index);
            let dialed = server.dial(index, names).await;
            dialed
                .inspect_err(|error| failed(server, error))
                .map(Reached::Opened)
        });
        first_of(attempts).await
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
            several => first_of(several.iter().map(TcpStream::connect)).await,
        };
        connected.map_err(|source| {
            names.forget(&self.host);
            UpstreamError::Connect { source }
        })
    }
}

/// The first attempt that comes off. The next begins when one has failed or has taken [`NEXT_ADDRESS_AFTER`]; others go on
/// meanwhile.
///
/// There must be at least one. When none comes off, it is the last failure.
async fn first_of<T, E, F>(attempts: impl Iterator<Item = F>) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = attempts.peekable();
    let mut running = FuturesUnordered::new();
    loop {
        running.extend(waiting.next());
        let has_more = waiting.peek().is_some();
        tokio::select! {
            biased;
            Some(done) = running.next() => match done {
                Ok(done) => return Ok(done),
                Err(error) if !has_more && running.is_empty() => return Err(error),
                Err(_) => {}
            },
            () = sleep(NEXT_ADDRESS_AFTER), if has_more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
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
        let began = std::time::Instant::now();

        assert_eq!(first_of(attempts.into_iter()).await, Ok(2));

        assert!(began.elapsed() >= NEXT_ADDRESS_AFTER);
    }

    #[tokio::test]
    async fn when_none_comes_off_the_last_failure_is_told() {
        let attempts = [Err::<u8, u8>(1), Err(2)].map(ready);

        assert_eq!(first_of(attempts.into_iter()).await, Err(2));
    }
}
