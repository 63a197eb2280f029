//! What a run changes at the proxy: routes and faults, each undone in the end.

use std::{collections::BTreeMap, time::Duration};

use brownout_client::{Client, ClientError};
use brownout_fault::units::show_duration;
use brownout_wire::{CountersAnswer, FaultAnswer, MagnitudeAnswer, RouteAnswer, RouteSpec};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{experiment::PlannedFault, stats::StatsError};

/// How long the removal of a fault is tried.
const REMOVAL_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries.
const REMOVAL_PAUSE: Duration = Duration::from_millis(200);

/// Why a run did not begin, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The control API does not answer, or says no.
    #[error("could not read the routes of the proxy")]
    Control(#[source] ClientError),
    /// A route could not be made.
    #[error("could not make the route `{name}`")]
    Route {
        /// Its name.
        name: String,
        /// Why.
        source: ClientError,
    },
    /// A route of this name goes elsewhere.
    #[error("the route `{name}` is there already and goes to {found}, not to {wanted}")]
    OtherRoute {
        /// Its name.
        name: String,
        /// Where it goes.
        found: String,
        /// Where the file says it goes.
        wanted: String,
    },
    /// A route that the file names is not there.
    #[error("{0}")]
    NoRoute(String),
    /// The address of the load is none.
    #[error("could not find the address of the load `{to}`: {why}")]
    Target {
        /// As written.
        to: String,
        /// Why.
        why: String,
    },
    /// A service of the demo does not tell of itself.
    #[error("could not read what the demo's services do")]
    Stats {
        /// Why.
        source: StatsError,
    },
    /// The service whose tail is to be watched is none of the demo.
    #[error("the demo has no service `{service}` whose tail could be watched")]
    NoService {
        /// As written.
        service: String,
    },
    /// A fault is refused.
    #[error("could not arm the faults of the phase `{phase}`")]
    Arm {
        /// The phase.
        phase: String,
        /// Why.
        source: ClientError,
    },
}

/// The proxy, and what of it is ours.
pub(crate) struct Proxy {
    pub(crate) client: Client,
    /// Routes that this run has made.
    made: Vec<String>,
    /// Faults that may be armed.
    armed: Vec<String>,
    /// Of faults that have none of their own.
    pub(crate) seed: u64,
}

/// What a fault did, as read last.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultState {
    pub(crate) counters: Option<CountersAnswer>,
    pub(crate) magnitude: MagnitudeAnswer,
    /// Whether it acts on listening sockets: then the counters of the control API are of these, not of who tried to connect.
    pub(crate) at_listener: bool,
}

impl FaultState {
    fn of(fault: &FaultAnswer) -> Self {
        Self {
            counters: Some(fault.counters),
            magnitude: fault.magnitude.clone(),
            at_listener: fault.spec.fault.at_listener().is_some(),
        }
    }

    /// Whether its counters show that somebody met it.
    pub(crate) fn has_struck(&self) -> bool {
        self.counters.is_some_and(|it| it.injected > 0)
    }
}

impl Proxy {
    pub(crate) fn of(client: Client, seed: u64) -> Self {
        Self {
            client,
            made: Vec::new(),
            armed: Vec::new(),
            seed,
        }
    }

    /// Makes the routes that are not there. All routes.
    pub(crate) async fn routes(
        &mut self,
        wanted: &[RouteSpec],
    ) -> Result<Vec<RouteAnswer>, RunError> {
        let mut routes = self.client.routes().await.map_err(RunError::Control)?;
        for spec in wanted {
            if let Some(found) = routes.iter().find(|it| it.name == spec.name) {
                if plain(&found.upstream) != plain(&spec.upstream) {
                    return Err(RunError::OtherRoute {
                        name: spec.name.clone(),
                        found: found.upstream.clone(),
                        wanted: spec.upstream.clone(),
                    });
                }
                continue;
            }
            let made = self.client.add_route(spec).await;
            let made = made.map_err(|source| RunError::Route {
                name: spec.name.clone(),
                source,
            })?;
            self.made.push(made.name.clone());
            routes.push(made);
        }
        Ok(routes)
    }

    /// Arms faults, all or none. Each lives `life` if nobody removes it.
    pub(crate) async fn arm(
        &mut self,
        phase: &str,
        faults: &[&PlannedFault],
        life: Duration,
    ) -> Result<(), RunError> {
        if faults.is_empty() {
            return Ok(());
        }
        let bodies = faults.iter().map(|it| (it.id.clone(), it.body.clone()));
        self.arm_bodies(phase, bodies.collect(), life).await
    }

    /// As [`arm`](Self::arm), of ids and bodies.
    pub(crate) async fn arm_bodies(
        &mut self,
        phase: &str,
        faults: Vec<(String, Value)>,
        life: Duration,
    ) -> Result<(), RunError> {
        let bodies: Vec<Value> = faults
            .iter()
            .map(|(_, body)| self.complete(body, life))
            .collect();
        let ids = faults.into_iter().map(|(id, _)| id);
        self.armed.extend(ids.clone());
        match self.client.arm_all(&bodies).await {
            Ok(_) => Ok(()),
            Err(source) => {
                if matches!(source, ClientError::Refused(_)) {
                    // Nothing was armed: a fault of such an id that is there is not ours to remove.
                    let ids: Vec<String> = ids.collect();
                    self.armed.retain(|it| !ids.contains(it));
                }
                let phase = phase.to_owned();
                Err(RunError::Arm { phase, source })
            }
        }
    }

    /// Arms a fault for one page: at most `attempts` injections.
    pub(crate) async fn arm_for_page(
        &mut self,
        phase: &str,
        fault: &PlannedFault,
        attempts: u64,
        life: Duration,
    ) -> Result<(), RunError> {
        let mut body = self.complete(&fault.body, life);
        body["limit"] = json!(attempts);
        if !self.armed.contains(&fault.id) {
            self.armed.push(fault.id.clone());
        }
        let put = self.client.put_fault(&fault.id, &body).await;
        put.map(drop).map_err(|source| RunError::Arm {
            phase: phase.to_owned(),
            source,
        })
    }

    /// A fault with the run's seed and an end.
    fn complete(&self, body: &Value, life: Duration) -> Value {
        let mut body = with_ttl(body, life);
        if body["seed"].is_null() {
            body["seed"] = json!(self.seed);
        }
        body
    }

    /// What faults did so far, by id; none where that cannot be read.
    pub(crate) async fn states(&self) -> Option<BTreeMap<String, FaultState>> {
        let faults = self.client.faults().await.ok()?;
        let faults = faults.into_iter();
        Some(
            faults
                .map(|it| (it.id.clone(), FaultState::of(&it)))
                .collect(),
        )
    }

    /// Removes one fault. What it did until then, where that could be read; and whether it is gone.
    pub(crate) async fn remove(&mut self, id: &str) -> (Option<FaultState>, bool) {
        let state = self.client.fault(id).await.ok();
        let state = state.map(|it| FaultState::of(&it));
        let deadline = Instant::now() + REMOVAL_LIMIT;
        loop {
            match self.client.remove_fault(id).await {
                Ok(()) => break,
                Err(ClientError::Refused(problem)) if problem.status == 404 => break,
                Err(_) if Instant::now() < deadline => sleep(REMOVAL_PAUSE).await,
                Err(_) => return (state, false),
            }
        }
        self.armed.retain(|it| it != id);
        (state, true)
    }

    /// Removes every fault and route of this run. The faults that may still be armed.
    pub(crate) async fn roll_back(&mut self) -> Vec<String> {
        for id in self.armed.clone() {
            self.remove(&id).await;
        }
        for name in std::mem::take(&mut self.made) {
            // A route that stays breaks nothing.
            drop(self.client.remove_route(&name).await);
        }
        self.armed.clone()
    }
}

/// A fault that ends by itself, no later than it says.
fn with_ttl(body: &Value, life: Duration) -> Value {
    let mut body = body.clone();
    let own = body["ttl"]
        .as_str()
        .map(brownout_fault::units::parse_duration);
    let ttl = match own {
        Some(Ok(own)) => own.min(life),
        _ => life,
    };
    body["ttl"] = json!(show_duration(ttl));
    body
}

/// An upstream without what may be left out.
fn plain(upstream: &str) -> &str {
    let upstream = upstream.trim_end_matches('/');
    upstream
        .split_once("://")
        .map_or(upstream, |(_, rest)| rest)
}

/// A fault in words: kind, parameters and route.
pub(crate) fn describe(body: &Value) -> String {
    let kinds = brownout_fault::Fault::kinds();
    let kind = kinds.iter().find(|kind| body.get(kind.name).is_some());
    let route = match &body["route"] {
        Value::String(route) => route.clone(),
        Value::Array(routes) => {
            let names: Vec<&str> = routes.iter().filter_map(Value::as_str).collect();
            names.join(", ")
        }
        _ => "?".to_owned(),
    };
    let Some(kind) = kind else {
        return format!("a fault on {route}");
    };
    let parameters = match &body[kind.name] {
        Value::Object(members) if members.is_empty() => String::new(),
        Value::Object(members) => {
            let shown = members
                .iter()
                .map(|(key, value)| format!(" {key} {}", bare(value)));
            shown.collect()
        }
        other => format!(" {}", bare(other)),
    };
    let share = match &body["percent"] {
        Value::Null => String::new(),
        percent => format!(" for {} %", bare(percent)),
    };
    format!("{}{parameters} on {route}{share}", kind.name)
}

fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_ends_by_itself_no_later_than_it_says() {
        let ttl = |own: Value| {
            let body = json!({ "route": "up", "reset": {}, "ttl": own });
            with_ttl(&body, Duration::from_secs(35))["ttl"].clone()
        };

        assert_eq!(ttl(json!("1.2s")), json!("1.2s"));
        assert_eq!(ttl(json!("10m")), json!("35s"));
        assert_eq!(ttl(json!("none")), json!("35s"));
        assert_eq!(ttl(Value::Null), json!("35s"));
    }

    #[test]
    fn a_fault_is_told_in_words() {
        let cases = [
            (json!({ "route": "up", "reset": {} }), "reset on up"),
            (
                json!({ "route": "up", "abort": 503, "percent": 30 }),
                "abort 503 on up for 30 %",
            ),
            (
                json!({ "route": ["a", "b"], "latency": { "p50": "800ms", "p99": "3s" } }),
                "latency p50 800ms p99 3s on a, b",
            ),
        ];
        for (body, words) in cases {
            assert_eq!(describe(&body), words);
        }
    }
}
