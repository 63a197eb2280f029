//! The faults of each route.

use std::{collections::HashMap, sync::Arc};

use super::{
    path_prefix::{PathIndex, PathStart},
    planned::PlannedFault,
};
use crate::spec::Routes;

/// Faults, found by route.
#[derive(Debug, Default)]
pub(super) struct ByRoute {
    /// The faults of each route that some fault names, those for all routes included.
    named: HashMap<String, OnRoute>,
    /// The faults of every other route.
    elsewhere: OnRoute,
}

/// The faults of one route.
#[derive(Debug, Default)]
struct OnRoute {
    faults: Vec<PlannedFault>,
    by_path: PathIndex,
}

impl OnRoute {
    fn new(faults: Vec<PlannedFault>) -> Self {
        let by_path = PathIndex::of(faults.iter().map(|planned| planned.path_prefix));
        Self { faults, by_path }
    }
}

impl ByRoute {
    /// Keeps the order of `sorted` on each route.
    pub(super) fn new(sorted: Vec<PlannedFault>) -> Self {
        let mut named: HashMap<String, Vec<PlannedFault>> = HashMap::new();
        for planned in &sorted {
            if let Routes::Named(names) = &planned.fault.spec().route {
                for name in names {
                    named.entry(name.clone()).or_default();
                }
            }
        }
        let mut elsewhere = Vec::new();
        for planned in sorted {
            let fault = Arc::clone(&planned.fault);
            match &fault.spec().route {
                Routes::All => {
                    for here in named.values_mut() {
                        here.push(planned.clone());
                    }
                    elsewhere.push(planned);
                }
                Routes::Named(names) => {
                    for (at, name) in names.iter().enumerate() {
                        if names[..at].contains(name) {
                            continue; // Named twice is still once.
                        }
                        if let Some(here) = named.get_mut(name) {
                            here.push(planned.clone());
                        }
                    }
                }
            }
        }
        let named = named.into_iter();
        Self {
            named: named
                .map(|(name, here)| (name, OnRoute::new(here)))
                .collect(),
            elsewhere: OnRoute::new(elsewhere),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.elsewhere.faults.is_empty()
    }

    pub(super) fn on(&self, route: &str) -> &[PlannedFault] {
        &self.here(route).faults
    }

    /// Those of a route that a request with this path may meet, in order.
    pub(super) fn fitting(&self, route: &str, path: &str) -> impl Iterator<Item = &PlannedFault> {
        let here = self.here(route);
        let fitting = here.by_path.fitting(PathStart::of(path));
        fitting.into_iter().map(|number| &here.faults[number])
    }

    fn here(&self, route: &str) -> &OnRoute {
        self.named.get(route).unwrap_or(&self.elsewhere)
    }
}
