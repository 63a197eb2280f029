//! What a fault that names several routes did on each of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

/// So many routes are counted apart; a fault that meets more counts those in its sums alone.
const ROUTES_MAX: usize = 1_000;

/// What a fault did on one of its routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteCounters {
    /// Requests that fitted its `match` while it was in force.
    pub matched: u64,
    /// Requests it acted on.
    pub injected: u64,
}

/// The counters of one route.
#[derive(Debug, Default)]
pub(crate) struct OnRoute {
    matched: AtomicU64,
    injected: AtomicU64,
}

impl OnRoute {
    pub(crate) fn count_match(&self) {
        self.matched.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_injection(&self) {
        self.injected.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn give_back_injection(&self) {
        self.injected.fetch_sub(1, Ordering::AcqRel);
    }

    fn counters(&self) -> RouteCounters {
        RouteCounters {
            matched: self.matched.load(Ordering::Acquire),
            injected: self.injected.load(Ordering::Acquire),
        }
    }
}

/// The counters of each route that the fault has met. Reading takes no lock.
#[derive(Debug, Default)]
pub(crate) struct ByRoute(ArcSwap<BTreeMap<Box<str>, Arc<OnRoute>>>);

impl ByRoute {
    /// Those of `route`, made when it is met first; `None` beyond so many routes.
    pub(crate) fn on(&self, route: &str) -> Option<Arc<OnRoute>> {
        if let Some(known) = self.0.load().get(route) {
            return Some(Arc::clone(known));
        }
        self.0.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            if known.len() < ROUTES_MAX {
                known.entry(route.into()).or_default();
            }
            known
        });
        self.0.load().get(route).map(Arc::clone)
    }

    pub(crate) fn counters(&self) -> BTreeMap<String, RouteCounters> {
        let known = self.0.load();
        let each = known.iter();
        each.map(|(route, counted)| (String::from(&**route), counted.counters()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_match_is_lost_where_several_meet_a_route_first() {
        let by_route = ByRoute::default();

        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for request in 0..1_000 {
                        let route = format!("route-{}", request % 10);
                        by_route.on(&route).unwrap().count_match();
                    }
                });
            }
        });

        let counted = by_route.counters();
        assert_eq!(counted.len(), 10);
        assert!(counted.values().all(|it| it.matched == 400), "{counted:?}");
    }

    #[test]
    fn routes_that_are_counted_apart_are_bounded() {
        let by_route = ByRoute::default();
        for route in 0..ROUTES_MAX {
            assert!(by_route.on(&route.to_string()).is_some());
        }

        assert!(by_route.on("one more").is_none());
        assert!(by_route.on("0").is_some());
    }
}
