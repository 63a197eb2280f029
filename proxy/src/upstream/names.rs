//! Names of upstreams: looking them up, and noticing when they lead elsewhere.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::timeout};

use crate::limits::{ADDRESSES_MAX, CONNECT_TIMEOUT, NAME_FRESH, NAMES_LOOKED_UP_EVERY};

type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// How names of upstreams are looked up. The default asks the system: its files, its DNS.
#[derive(Clone)]
pub struct Resolver {
    look_up: Arc<LookUp>,
    every: Duration,
}

impl Resolver {
    /// Looks up with `look_up`, which may block: it runs on a thread of its own. While connections are kept, names are looked up
    /// again after each `every`.
    #[must_use]
    pub fn new(
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
        every: Duration,
    ) -> Self {
        Self {
            look_up: Arc::new(look_up),
            every,
        }
    }

    /// How often names are looked up again while connections are kept.
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    async fn look_up(&self, host: &Arc<str>, port: u16) -> io::Result<Vec<SocketAddr>> {
        let (look_up, host) = (Arc::clone(&self.look_up), Arc::clone(host));
        let found = spawn_blocking(move || look_up(&host, port)).await;
        let found = found.map_err(io::Error::other)??;
        Ok(by_turns(found))
    }
}

impl Default for Resolver {
    fn default() -> Self {
        let system = |host: &str, port| Ok((host, port).to_socket_addrs()?.collect());
        Self::new(system, NAMES_LOOKED_UP_EVERY)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// The names of the upstream of one route, as one core knows them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    resolver: Resolver,
    /// What was found a moment ago.
    found: RefCell<Vec<Found>>,
    /// Where connections lead that were opened by name.
    places: RefCell<Vec<Rc<NamedAddress>>>,
}

#[derive(Debug)]
struct Found {
    host: Arc<str>,
    port: u16,
    at: Instant,
    addresses: Rc<[SocketAddr]>,
}

/// An address that a name had when a connection was opened to it. The connections to it share it.
#[derive(Debug)]
pub(crate) struct NamedAddress {
    host: Arc<str>,
    port: u16,
    address: SocketAddr,
    is_gone: Cell<bool>,
}

impl NamedAddress {
    /// Whether the name has other addresses by now, and no longer this one.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.get()
    }
}

impl Names {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self {
            resolver,
            ..Self::default()
        }
    }

    /// The addresses of a name, both families by turns (RFC 8305 §4). What was found within [`NAME_FRESH`] is taken as it was.
    ///
    /// # Errors
    /// When the name cannot be resolved.
    pub(super) async fn look_up(&self, host: &Arc<str>, port: u16) -> io::Result<Rc<[SocketAddr]>> {
        let is_fresh = |it: &Found| it.at.elapsed() < NAME_FRESH;
        let known = (self.found.borrow().iter())
            .find(|it| it.port == port && it.host == *host && is_fresh(it))
            .map(|it| Rc::clone(&it.addresses));
        if let Some(known) = known {
            return Ok(known);
        }
        let addresses: Rc<[SocketAddr]> = self.resolver.look_up(host, port).await?.into();
        self.note(host, port, &addresses);
        Ok(addresses)
    }

    /// Keeps what was found for a moment.
    fn note(&self, host: &Arc<str>, port: u16, addresses: &Rc<[SocketAddr]>) {
        let mut found = self.found.borrow_mut();
        // So there are no more than the route has names.
        found.retain(|it| it.at.elapsed() < NAME_FRESH && !(it.port == port && it.host == *host));
        found.push(Found {
            host: Arc::clone(host),
            port,
            at: Instant::now(),
            addresses: Rc::clone(addresses),
        });
    }

    /// Looks the name up anew for the next connection: none of its addresses could be connected to.
    pub(super) fn forget(&self, host: &Arc<str>) {
        self.found.borrow_mut().retain(|it| it.host != *host);
    }

    /// Notes that a connection leads to this address of the name.
    pub(super) fn opened(
        &self,
        host: &Arc<str>,
        port: u16,
        address: SocketAddr,
    ) -> Rc<NamedAddress> {
        let mut places = self.places.borrow_mut();
        let known = places
            .iter()
            .find(|it| it.address == address && it.port == port && it.host == *host);
        if let Some(known) = known {
            return Rc::clone(known);
        }
        places.retain(|it| Rc::strong_count(it) > 1);
        let place = Rc::new(NamedAddress {
            host: Arc::clone(host),
            port,
            address,
            is_gone: Cell::new(false),
        });
        places.push(Rc::clone(&place));
        place
    }

    /// How often to [look again](Self::look_again).
    pub(crate) fn every(&self) -> Duration {
        self.resolver.every()
    }

    /// Whether connections lead to names.
    pub(crate) fn are_used(&self) -> bool {
        let mut places = self.places.borrow_mut();
        places.retain(|it| Rc::strong_count(it) > 1);
        !places.is_empty()
    }

    /// Looks up each name to which connections lead, and marks the addresses that it no longer has. A name that cannot be
    /// resolved at the moment keeps its addresses.
    pub(crate) async fn look_again(&self) {
        let mut names: Vec<(Arc<str>, u16)> = (self.places.borrow().iter())
            .map(|it| (Arc::clone(&it.host), it.port))
            .collect();
        names.sort();
        names.dedup();
        for (host, port) in names {
            let looked_up = timeout(CONNECT_TIMEOUT, self.resolver.look_up(&host, port)).await;
            let addresses: Rc<[SocketAddr]> = match looked_up {
                Ok(Ok(addresses)) if !addresses.is_empty() => addresses.into(),
                Ok(Ok(_) | Err(_)) | Err(_) => continue,
            };
            self.note(&host, port, &addresses);
            self.places.borrow_mut().retain(|it| {
                let is_other = it.host != host || it.port != port;
                let stays = is_other || addresses.contains(&it.address);
                it.is_gone.set(!stays);
                stays
            });
        }
    }
}

/// The addresses of a name, the family that the system puts first and the other by turns (RFC 8305 §4).
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        (addresses.into_iter()).partition(|it| it.is_ipv6() == first_is_ipv6);
    let longer = first.len().max(second.len());
    let pairs = (0..longer).flat_map(|at| [first.get(at), second.get(at)]);
    pairs.flatten().copied().take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|it| it.parse().unwrap()).collect()
    }

    /// A resolver whose answers the test changes; an empty answer is a failure.
    fn changing(first: &[&str]) -> (Names, Arc<Mutex<Vec<SocketAddr>>>) {
        let answer = Arc::new(Mutex::new(addresses(first)));
        let given = Arc::clone(&answer);
        let resolver = Resolver::new(
            move |_, _| match given.lock().unwrap().clone() {
                none if none.is_empty() => Err(io::ErrorKind::NotFound.into()),
                some => Ok(some),
            },
            Duration::from_secs(10),
        );
        (Names::new(resolver), answer)
    }

    #[test]
    fn families_come_by_turns_the_systems_first_one_first() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"]);

        let wanted = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(by_turns(given), wanted);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_again_once_nothing_could_be_connected_to() {
        let (names, answer) = changing(&["127.0.0.1:1"]);
        let host = Arc::from("shop");
        let old = names.look_up(&host, 1).await.unwrap();

        *answer.lock().unwrap() = addresses(&["127.0.0.2:1"]);
        let kept = names.look_up(&host, 1).await.unwrap();
        names.forget(&host);
        let new = names.look_up(&host, 1).await.unwrap();

        assert_eq!(kept, old);
        assert_eq!(*new, *addresses(&["127.0.0.2:1"]));
    }

    #[tokio::test]
    async fn an_address_that_the_name_has_no_longer_is_gone_and_one_that_cannot_be_asked_for_is_not()
     {
        let (names, answer) = changing(&["127.0.0.1:1", "127.0.0.2:1"]);
        let host: Arc<str> = Arc::from("shop");
        let [one, two] = ["127.0.0.1:1", "127.0.0.2:1"].map(|it| it.parse().unwrap());
        let [one, two] = [one, two].map(|address| names.opened(&host, 1, address));

        answer.lock().unwrap().clear();
        names.look_again().await;
        assert!(!one.is_gone());
        *answer.lock().unwrap() = addresses(&["127.0.0.2:1"]);
        names.look_again().await;

        assert!(one.is_gone());
        assert!(!two.is_gone());
        drop((one, two));
        assert!(!names.are_used());
    }
}
