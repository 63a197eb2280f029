//! What goes wrong.

use std::{fmt, time::Duration};

use brownout_fault::units::show_duration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The three runs of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Nothing goes wrong.
    Ideal,
    /// Every connection from the homepage to recommendations is reset.
    Outage,
    /// Recommendations is slow: its own calls take 5 to 10 s and hold its workers.
    Performance,
}

/// The fault of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) id: &'static str,
    pub(super) route: &'static str,
    pub(super) ttl: Duration,
    /// As it is sent.
    pub(super) body: Value,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ideal, Self::Outage, Self::Performance];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ideal => "ideal",
            Self::Outage => "outage",
            Self::Performance => "performance",
        }
    }

    pub(super) fn fault(self, ttl: Duration) -> Option<Fault> {
        let (id, route, kind, parameters) = match self {
            Self::Ideal => return None,
            Self::Outage => ("outage", "recommendations", "reset", json!({})),
            Self::Performance => (
                "slow",
                "recommendations-authentication",
                "latency",
                json!({ "min": "5s", "max": "10s" }),
            ),
        };
        let ttl_text = show_duration(ttl);
        Some(Fault {
            id,
            route,
            ttl,
            body: json!({ "id": id, "route": route, (kind): parameters, "ttl": ttl_text }),
        })
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use brownout_fault::FaultSpec;

    use super::*;

    #[test]
    fn the_proxy_understands_every_fault() {
        for scenario in Scenario::ALL {
            if let Some(fault) = scenario.fault(Duration::from_millis(98_765)) {
                let understood = FaultSpec::read(&fault.body).unwrap();

                assert_eq!(understood.id.as_deref(), Some(fault.id));
            }
        }
    }
}
