//! The services of a demo, as they tell of themselves.

use std::{collections::BTreeMap, net::SocketAddr};

use super::CallerRecord;
use crate::stats::{ServiceStats, StatsClient, StatsError};

/// A service that tells of itself at `GET /stats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePoint {
    /// Its name, which a load may be sent to and whose tail may be watched.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Asks services.
pub(super) struct Services {
    points: Vec<ServicePoint>,
    http: StatsClient,
}

impl Services {
    pub(super) fn of(points: &[ServicePoint]) -> Self {
        Self {
            points: points.to_vec(),
            http: StatsClient::new(),
        }
    }

    /// What every service says now, by name; callers stand before those they call.
    pub(super) async fn ask(&self) -> Result<Vec<(String, ServiceStats)>, StatsError> {
        let mut all = Vec::new();
        for ServicePoint { name, address } in &self.points {
            let stats = self.http.read(&format!("http://{address}")).await?;
            all.push((name.clone(), stats));
        }
        Ok(all)
    }

    /// What they have counted of their calls since they were started, by upstream.
    pub(super) async fn callers(&self) -> BTreeMap<String, CallerRecord> {
        let mut sum: BTreeMap<String, CallerRecord> = BTreeMap::new();
        // A service that does not tell is no reason to end a run: what needs it is inconclusive then.
        for (service, stats) in self.ask().await.unwrap_or_default() {
            for (upstream, counted) in stats.upstreams {
                let hop = hop_of(&service, &upstream);
                let all = sum.entry(hop.clone()).or_insert_with(|| CallerRecord {
                    hop,
                    ..CallerRecord::default()
                });
                all.calls += counted.calls;
                all.attempts += counted.attempts;
                all.timeouts += counted.timeouts;
                all.rejected += counted.rejected;
                all.breakers_opened += counted.breaker.map_or(0, |it| it.opened);
            }
        }
        sum
    }
}

/// The name of a hop: the route of the demo from this caller to that upstream.
fn hop_of(service: &str, upstream: &str) -> String {
    let upstream = upstream.replace('_', "-");
    match (service, upstream.as_str()) {
        ("recommendations", "authentication") => "recommendations-authentication".to_owned(),
        _ => upstream,
    }
}

/// What was counted between two moments.
pub(super) fn between(
    before: &BTreeMap<String, CallerRecord>,
    after: &BTreeMap<String, CallerRecord>,
) -> Vec<CallerRecord> {
    let none = CallerRecord::default();
    let differences = after.iter().map(|(hop, now)| {
        let then = before.get(hop).unwrap_or(&none);
        CallerRecord {
            hop: hop.clone(),
            calls: now.calls.saturating_sub(then.calls),
            attempts: now.attempts.saturating_sub(then.attempts),
            timeouts: now.timeouts.saturating_sub(then.timeouts),
            rejected: now.rejected.saturating_sub(then.rejected),
            breakers_opened: now.breakers_opened.saturating_sub(then.breakers_opened),
        }
    });
    differences.collect()
}
