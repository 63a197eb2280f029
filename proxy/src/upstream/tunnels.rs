//! Whether an upstream takes streams that carry another protocol: extended CONNECT (RFC 8441 §3).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// What all cores know of it. Two upstreams are the same whatever is known of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tunnels(Arc<Known>);

/// A bit of each server, of which there are 64 at most.
#[derive(Debug, Default)]
struct Known {
    /// The last connection to it announced them.
    announced: AtomicU64,
    /// The last connection to it did not.
    missing: AtomicU64,
    /// A connection is being opened to find out.
    is_asking: AtomicBool,
}

impl PartialEq for Tunnels {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Tunnels {}

impl Tunnels {
    /// Notes what the SETTINGS of a server say.
    pub(super) fn note(&self, server: u8, are_announced: bool) {
        let bit = 1_u64.checked_shl(server.into()).unwrap_or(0);
        let (set, cleared) = match are_announced {
            true => (&self.0.announced, &self.0.missing),
            false => (&self.0.missing, &self.0.announced),
        };
        set.fetch_or(bit, Ordering::Relaxed);
        cleared.fetch_and(!bit, Ordering::Relaxed);
    }

    /// Whether a server has announced them, and each other of which it is known has as well.
    pub(super) fn are_announced(&self) -> bool {
        self.0.announced.load(Ordering::Relaxed) != 0 && self.0.missing.load(Ordering::Relaxed) == 0
    }

    /// Whether the caller is to find out: nothing is known, and nobody else does so. [`has_asked`](Self::has_asked) ends that.
    pub(super) fn asks(&self) -> bool {
        let known =
            self.0.announced.load(Ordering::Relaxed) | self.0.missing.load(Ordering::Relaxed);
        known == 0 && !self.0.is_asking.swap(true, Ordering::Relaxed)
    }

    pub(super) fn has_asked(&self) {
        self.0.is_asking.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_announced_while_no_server_is_known_to_lack_them() {
        let tunnels = Tunnels::default();
        assert!(!tunnels.are_announced());

        tunnels.note(0, true);
        assert!(tunnels.are_announced());
        tunnels.note(63, false);
        assert!(!tunnels.are_announced());
        tunnels.note(63, true);
        assert!(tunnels.are_announced());
    }

    #[test]
    fn one_asks_at_a_time_and_nobody_once_it_is_known() {
        let tunnels = Tunnels::default();
        assert!(tunnels.asks());
        assert!(!tunnels.asks());

        tunnels.has_asked();
        assert!(tunnels.asks(), "it was not found out");
        tunnels.has_asked();
        tunnels.note(0, false);
        assert!(!tunnels.asks());
    }
}
