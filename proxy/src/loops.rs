//! Routes that lead back to themselves: each request would take all connections of the process.
//!
//! A change of the routes that would close a cycle is refused. For that, addresses are compared by what they reach, and
//! nothing is looked up; a name leads where it led when it was connected to last. So a name can still close a cycle, and a
//! core compares once more when it has opened a connection: then the address is known.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;
use smallvec::{SmallVec, smallvec};

use crate::{listener::ListenAddress, route::Route, upstream::Upstream};

/// Where an upstream may be, normalised.
pub(crate) type Targets = SmallVec<[Target; 2]>;

/// A socket that connections may go to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(Arc<Path>),
}

/// A route as a hop: whoever connects to `listen` comes to `route`.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) listen: ListenAddress,
    pub(crate) route: Arc<Route>,
}

impl Hop {
    /// Where it may lead, as far as that is known.
    fn targets(&self) -> Targets {
        let mut targets = known_targets(&self.route.upstream());
        targets.extend(self.route.reached().map(|it| Target::Tcp(normal(it))));
        targets
    }
}

/// The routes as hops, for the cores.
#[derive(Debug, Default)]
pub(crate) struct Hops(ArcSwap<Vec<Hop>>);

impl Hops {
    pub(crate) fn publish(&self, hops: Vec<Hop>) {
        self.0.store(Arc::new(hops));
    }

    /// Whether a connection of `route` to `address` leads back to it.
    pub(crate) fn lead_back(&self, route: &Arc<Route>, target: Target) -> bool {
        let target = match target {
            Target::Tcp(address) => Target::Tcp(normal(address)),
            unix @ Target::Unix(_) => unix,
        };
        let hops = self.0.load();
        let is_end = |hop: &Hop| Arc::ptr_eq(&hop.route, route);
        lead_to(&hops, smallvec![target], is_end)
    }
}

/// Whether `upstream`, hop by hop, leads to `listen`.
pub(crate) fn come_back(hops: &[Hop], upstream: &Upstream, listen: &ListenAddress) -> bool {
    let goes_there = |targets: &Targets| targets.iter().any(|target| reach(target, listen));
    let targets = known_targets(upstream);
    goes_there(&targets) || lead_to(hops, targets, |hop| goes_there(&hop.targets()))
}

/// Whether a hop that can be reached from `targets` is the end.
fn lead_to(hops: &[Hop], mut targets: Targets, is_end: impl Fn(&Hop) -> bool) -> bool {
    let mut seen = vec![false; hops.len()];
    while let Some(target) = targets.pop() {
        for (hop, seen) in hops.iter().zip(&mut seen) {
            if *seen || !reach(&target, &hop.listen) {
                continue;
            }
            if is_end(hop) {
                return true;
            }
            *seen = true;
            targets.extend(hop.targets());
        }
    }
    false
}

/// Where the servers of an upstream are without a look-up.
fn known_targets(upstream: &Upstream) -> Targets {
    upstream.servers().flat_map(known_targets_of).collect()
}

/// Where one is without a look-up: its address, or this machine's for `localhost` (RFC 6761 §6.3).
fn known_targets_of(upstream: &Upstream) -> Targets {
    if let Some(path) = upstream.unix() {
        return smallvec![Target::Unix(Arc::clone(path))];
    }
    if let Some(address) = upstream.address() {
        return smallvec![Target::Tcp(normal(address))];
    }
    let host = upstream.host().trim_end_matches('.').to_ascii_lowercase();
    if host != "localhost" && !host.ends_with(".localhost") {
        return SmallVec::new();
    }
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    loopback
        .map(|ip| Target::Tcp(SocketAddr::new(ip, upstream.port())))
        .into()
}

/// The address that a connection to `address` really goes to.
fn normal(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether a connection to `target` is one to a socket that listens on `listen`. Paths are compared as they are written.
fn reach(target: &Target, listen: &ListenAddress) -> bool {
    match (target, listen) {
        (Target::Tcp(target), ListenAddress::Tcp(listen)) => reaches(*target, *listen),
        (Target::Unix(target), ListenAddress::Unix(listen)) => **target == *listen.path(),
        (Target::Tcp(_), ListenAddress::Unix(_)) | (Target::Unix(_), ListenAddress::Tcp(_)) => {
            false
        }
    }
}

/// Whether a connection to `target`, which is normal, is one to a socket that listens on `listen`.
fn reaches(target: SocketAddr, listen: SocketAddr) -> bool {
    if target.port() != listen.port() {
        return false;
    }
    match listen.ip().to_canonical() {
        // One that listens on every IPv6 address here takes IPv4 as well.
        ip if ip.is_unspecified() => {
            (listen.is_ipv6() || target.is_ipv4()) && is_of_this_machine(target.ip())
        }
        ip => ip == target.ip(),
    }
}

/// Whether an address is one of this machine: only such a one can be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(upstream: &str, listen: &str) -> bool {
        let upstream = Upstream::parse(upstream).unwrap();
        come_back(&[], &upstream, &ListenAddress::parse(listen).unwrap())
    }

    #[test]
    fn a_socket_of_ipv4_alone_is_not_reached_by_ipv6() {
        let upstream = Upstream::parse("http://[::1]:80").unwrap();
        let bound: SocketAddr = "0.0.0.0:80".parse().unwrap();

        assert!(!come_back(&[], &upstream, &bound.into()));
    }

    #[test]
    fn every_way_to_write_an_address_of_this_machine_reaches_its_listener() {
        for (upstream, listen) in [
            ("http://127.0.0.1:80", "127.0.0.1:80"),
            ("http://localhost:80", "127.0.0.1:80"),
            ("http://LOCALHOST.:80", "127.0.0.1:80"),
            ("http://shop.localhost:80", "[::1]:80"),
            ("http://0.0.0.0:80", "127.0.0.1:80"),
            ("http://0.0.0.0:80", "0.0.0.0:80"),
            ("http://[::]:80", "[::1]:80"),
            ("http://[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("http://127.0.0.1:80", "[::ffff:127.0.0.1]:80"),
            ("http://127.0.0.1:80", "[::]:80"),
            ("http://127.0.0.9:80", "0.0.0.0:80"),
            ("tcp://localhost:80", "[::]:80"),
            ("unix:/run/a.sock", "unix:/run/a.sock:0600"),
            ("http://192.0.2.1:80,http://localhost:80", "127.0.0.1:80"),
        ] {
            assert!(leads(upstream, listen), "{upstream} to {listen}");
        }
    }

    #[test]
    fn another_address_or_port_does_not() {
        for (upstream, listen) in [
            ("http://127.0.0.1:81", "127.0.0.1:80"),
            ("unix:/run/a.sock", "unix:/run/b.sock"),
            ("http://127.0.0.2:80", "127.0.0.1:80"),
            // Kept for documentation (RFC 5737): no machine has it.
            ("http://192.0.2.1:80", "0.0.0.0:80"),
            ("http://shop.example:80", "0.0.0.0:80"),
            ("http://localhost.example:80", "0.0.0.0:80"),
        ] {
            assert!(!leads(upstream, listen), "{upstream} to {listen}");
        }
    }
}
