//! The faults of each route.

use std::{collections::HashMap, sync::Arc};

use super::Placed;
use crate::spec::Routes;

/// Faults, found by route.
#[derive(Debug, Default)]
pub(super) struct ByRoute {
    /// The faults of each route that some fault names, those for all routes included.
    named: HashMap<String, Vec<Placed>>,
    /// The faults of every other route.
    elsewhere: Vec<Placed>,
}

impl ByRoute {
    /// Keeps the order of `sorted` on each route.
    pub(super) fn new(sorted: Vec<Placed>) -> Self {
        let mut named: HashMap<String, Vec<Placed>> = HashMap::new();
        for placed in &sorted {
            if let Routes::Named(names) = &placed.fault.spec().route {
                for name in names {
                    named.entry(name.clone()).or_default();
                }
            }
        }
        let mut elsewhere = Vec::new();
        for placed in sorted {
            let fault = Arc::clone(&placed.fault);
            match &fault.spec().route {
                Routes::All => {
                    for here in named.values_mut() {
                        here.push(placed.clone());
                    }
                    elsewhere.push(placed);
                }
                Routes::Named(names) => {
                    for (at, name) in names.iter().enumerate() {
                        if names[..at].contains(name) {
                            continue; // Named twice is still once.
                        }
                        if let Some(here) = named.get_mut(name) {
                            here.push(placed.clone());
                        }
                    }
                }
            }
        }
        Self { named, elsewhere }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.elsewhere.is_empty()
    }

    pub(super) fn on(&self, route: &str) -> &[Placed] {
        self.named.get(route).unwrap_or(&self.elsewhere)
    }
}
