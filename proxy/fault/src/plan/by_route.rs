//! The faults of each route.

use std::{collections::HashMap, sync::Arc};

use super::planned::PlannedFault;
use crate::spec::Routes;

/// Faults, found by route.
#[derive(Debug, Default)]
pub(super) struct ByRoute {
    /// The faults of each route that some fault names, those for all routes included.
    named: HashMap<String, Vec<PlannedFault>>,
    /// The faults of every other route.
    elsewhere: Vec<PlannedFault>,
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
        Self { named, elsewhere }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.elsewhere.is_empty()
    }

    pub(super) fn on(&self, route: &str) -> &[PlannedFault] {
        self.named.get(route).unwrap_or(&self.elsewhere)
    }
}
