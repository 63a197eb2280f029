//! Which server of an upstream gets the next request, and which of them are tried last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::limits::SERVER_TRIED_LAST_FOR;

/// What all cores know of the servers of an upstream. Two upstreams are the same whatever is known of them.
#[derive(Debug, Clone)]
pub(super) struct Balance(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// Times are milliseconds from here on.
    began: Instant,
    turn: AtomicUsize,
    /// Of each server; none of an upstream with one server, as there is no other to try.
    servers: Box<[Server]>,
}

#[derive(Debug, Default)]
struct Server {
    /// Until when it is tried last: 0 while it can be connected to.
    failing_until: AtomicU64,
    failures: AtomicU64,
}

impl Server {
    fn is_failing(&self) -> bool {
        self.failing_until.load(Ordering::Relaxed) != 0
    }
}

/// The server that is to get a request first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) server: u8,
    /// It could not be connected to before, and this request finds out whether it can be now.
    pub(crate) is_probe: bool,
}

impl Turn {
    /// Of an upstream with one server.
    pub(crate) const ONLY: Self = Self {
        server: 0,
        is_probe: false,
    };
}

impl Default for Balance {
    fn default() -> Self {
        Self::of(0)
    }
}

impl PartialEq for Balance {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Balance {}

impl Balance {
    pub(super) fn of(servers: usize) -> Self {
        Self(Arc::new(Known {
            began: Instant::now(),
            turn: AtomicUsize::new(0),
            servers: (0..servers).map(|_| Server::default()).collect(),
        }))
    }

    /// The server whose turn it is among those that can be connected to, or among all if none can.
    ///
    /// A server that was tried last for long enough gets one request; the next one only when as much time has passed again.
    pub(super) fn next(&self, now: Instant) -> Turn {
        let Known { turn, servers, .. } = &*self.0;
        let due = self.millis(now);
        let again_at = due.saturating_add(Self::tried_last_for());
        for (server, known) in (0_u8..).zip(servers) {
            let until = known.failing_until.load(Ordering::Relaxed);
            let is_due = until != 0 && until <= due;
            // Of those who come at once, one exchanges it.
            let exchanged = || {
                (known.failing_until)
                    .compare_exchange(until, again_at, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            };
            if is_due && exchanged() {
                return Turn {
                    server,
                    is_probe: true,
                };
            }
        }
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let is_well = |(_, known): &(u8, &Server)| !known.is_failing();
        let well = (0_u8..).zip(servers).filter(is_well);
        let server = match well.clone().count() {
            0 => None,
            count => well.map(|(server, _)| server).nth(turn % count),
        };
        let among_all = || u8::try_from(turn % servers.len().max(1)).unwrap_or(0);
        Turn {
            server: server.unwrap_or_else(among_all),
            is_probe: false,
        }
    }

    /// All servers in the order in which a request tries them: `first`, those behind it, and last those that cannot be
    /// connected to.
    pub(super) fn order(&self, first: u8) -> Vec<u8> {
        let servers = &self.0.servers;
        let count = servers.len();
        let behind = (1..count).map(|turn| (usize::from(first) + turn) % count);
        let (failing, well): (Vec<usize>, Vec<usize>) =
            behind.partition(|server| servers[*server].is_failing());
        let others = well.into_iter().chain(failing);
        let others = others.filter_map(|server| u8::try_from(server).ok());
        std::iter::once(first).chain(others).collect()
    }

    /// Notes that a server could not be connected to: it is tried last for a while.
    pub(super) fn failed(&self, server: u8, now: Instant) {
        if let Some(known) = self.0.servers.get(usize::from(server)) {
            let until = self.millis(now).saturating_add(Self::tried_last_for());
            known.failing_until.store(until, Ordering::Relaxed);
            known.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a server has accepted.
    pub(super) fn accepted(&self, server: u8) {
        if let Some(known) = self.0.servers.get(usize::from(server))
            && known.is_failing()
        {
            known.failing_until.store(0, Ordering::Relaxed);
        }
    }

    /// Of each server: whether it is tried last, and how often it could not be connected to.
    pub(super) fn failures(&self) -> impl Iterator<Item = (bool, u64)> {
        let servers = self.0.servers.iter();
        servers.map(|known| (known.is_failing(), known.failures.load(Ordering::Relaxed)))
    }

    /// Never 0.
    fn millis(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.0.began).as_millis();
        u64::try_from(millis).map_or(u64::MAX, |millis| millis.saturating_add(1))
    }

    fn tried_last_for() -> u64 {
        u64::try_from(SERVER_TRIED_LAST_FOR.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn turns(balance: &Balance, count: usize, now: Instant) -> Vec<u8> {
        (0..count).map(|_| balance.next(now).server).collect()
    }

    #[test]
    fn a_server_that_fails_leaves_its_turns_to_all_others_alike() {
        let (balance, now) = (Balance::of(3), Instant::now());
        assert_eq!(turns(&balance, 3, now), [0, 1, 2]);

        balance.failed(1, now);

        assert_eq!(turns(&balance, 4, now), [2, 0, 2, 0]);
        assert_eq!(balance.order(2), [2, 0, 1]);
        assert_eq!(balance.order(0), [0, 2, 1]);
    }

    #[test]
    fn after_its_time_one_request_finds_out_whether_it_accepts_again() {
        let (balance, now) = (Balance::of(2), Instant::now());
        balance.failed(0, now);
        let before = now + SERVER_TRIED_LAST_FOR - Duration::from_millis(1);
        assert_eq!(turns(&balance, 3, before), [1, 1, 1]);

        let due = now + SERVER_TRIED_LAST_FOR;
        let probe = balance.next(due);

        assert_eq!((probe.server, probe.is_probe), (0, true));
        assert_eq!(turns(&balance, 3, due), [1, 1, 1], "one at a time");
        balance.accepted(0);
        let mut after = turns(&balance, 2, due);
        after.sort_unstable();
        assert_eq!(after, [0, 1]);
    }

    #[test]
    fn a_request_that_did_not_come_to_a_probe_is_followed_by_another() {
        let (balance, now) = (Balance::of(2), Instant::now());
        balance.failed(0, now);
        let due = now + SERVER_TRIED_LAST_FOR;
        assert!(balance.next(due).is_probe);

        assert!(!balance.next(due + SERVER_TRIED_LAST_FOR / 2).is_probe);
        assert!(balance.next(due + SERVER_TRIED_LAST_FOR).is_probe);
    }

    #[test]
    fn when_all_fail_they_are_tried_by_turns() {
        let (balance, now) = (Balance::of(2), Instant::now());
        balance.failed(0, now);
        balance.failed(1, now);

        assert_eq!(turns(&balance, 4, now), [0, 1, 0, 1]);
        assert_eq!(balance.order(1), [1, 0]);
        assert_eq!(balance.failures().collect::<Vec<_>>(), [(true, 1); 2]);
    }
}
