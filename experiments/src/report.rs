//! What came of a run.

mod chart;
mod text;

use std::collections::BTreeMap;

use brownout_fault::units::show_duration;
use brownout_wire::{CountersAnswer, MagnitudeAnswer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    run::exact,
    simulation::{Counted, Measured, Policy, Scenario, Services, Simulation},
    timeline::{Kinds, Latency, Second},
};

/// What came of a run: as JSON for machines, by its [`text`](Self::to_text) for a person.
///
/// The keys of the JSON are the fields; they are stable within a `schema`. `upstreams`, `services` and `routes` count
/// from before the burst until every service was idle again. In a run without a fault on that route, these three are
/// the same number, as an attempt is a request on the wire: `upstreams.recommendations.attempts`,
/// `routes.recommendations` and `services.recommendations.received`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The form of this report: [`SCHEMA`](Self::SCHEMA).
    pub schema: u32,
    /// What went wrong.
    pub scenario: Scenario,
    /// What the run was set to.
    pub settings: Settings,
    /// Pages served: whole answers with a 2xx within the duration.
    pub served: u64,
    /// Pages served for each second of the duration.
    pub served_per_second: f64,
    /// What ended in each second of the burst. The last may be shorter.
    pub seconds: Vec<Second>,
    /// How long served pages took; none when none was served.
    pub latency: Option<Latency>,
    /// Requests that were not served.
    pub errors: ErrorsReport,
    /// Pages that were served and lacked something.
    pub degraded: DegradedReport,
    /// The homepage's calls, by the called service's name in metrics.
    pub upstreams: BTreeMap<String, UpstreamReport>,
    /// What became of requests to each service.
    pub services: Services<ServiceReport>,
    /// Requests that the proxy counted, by route.
    pub routes: BTreeMap<String, u64>,
    /// The fault; none where nothing went wrong.
    pub fault: Option<FaultReport>,
    /// Attempts for each call of the homepage to recommendations that its breaker let through; none if it let none.
    pub amplification: Option<f64>,
    /// What all breakers of the homepage did.
    pub breaker: BreakerReport,
    /// What recommendations did after the burst, for nobody.
    pub tail: TailReport,
    /// Whether every service was idle when it was counted for the last time. If not, counts need not agree.
    pub settled: bool,
}

/// What a run was set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long pages were asked for, as text.
    pub duration: String,
    /// Over how many connections.
    pub connections: usize,
    /// How long the tail would have been watched, as text.
    pub tail_limit: String,
    /// How the homepage protected itself, as the caller said.
    pub policy: Option<Policy>,
    /// Where all chance came from, as the caller said.
    pub seed: Option<u64>,
}

/// Requests that were not served. `total` is the sum of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorsReport {
    /// All of them.
    pub total: u64,
    /// Those without a whole answer, by the reason.
    pub by_kind: Kinds,
    /// Answers that are none of 2xx.
    pub by_status: BTreeMap<u16, u64>,
}

/// Pages that were served and lacked something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DegradedReport {
    /// How many.
    pub total: u64,
    /// Of those served, from 0 to 1.
    pub share: f64,
}

/// The homepage's calls to one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamReport {
    /// Calls, however many attempts each took.
    pub calls: u64,
    /// Requests sent, retries included.
    pub attempts: u64,
    /// Attempts after the first of a call.
    pub retries: u64,
    /// Attempts that ran out of time.
    pub timeouts: u64,
    /// Calls that the breaker refused.
    pub rejected: u64,
    /// Calls that the policy's fallback answered.
    pub fallbacks: u64,
    /// How often its breakers went open.
    pub breaker_opened: u64,
}

/// What became of requests to one service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Requests that reached it.
    pub received: u64,
    /// Those whose work was done for somebody.
    pub answered: u64,
    /// Those whose work was done for nobody: the caller had left.
    pub abandoned: u64,
    /// Those refused because too many waited.
    pub shed: u64,
}

/// The fault of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// As it was sent to the control API.
    pub spec: Value,
    /// What it did, as the API said before its removal.
    pub counters: CountersAnswer,
    /// What it achieved, likewise.
    pub magnitude: MagnitudeAnswer,
    /// Why it may still be armed; none when it was removed.
    pub removal_error: Option<String>,
}

/// What breakers did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerReport {
    /// How often they went open.
    pub opened: u64,
    /// Calls that they refused.
    pub rejected: u64,
}

/// What recommendations did after the burst, for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TailReport {
    /// How long it was seen with something to do, or how long it was watched.
    pub seconds: f64,
    /// Whether it came to an end while it was watched.
    pub ended: bool,
    /// If not: how many requests waited or were worked on.
    pub still_waiting: u64,
    /// If not: how long those would take at the pace that was seen; none if nothing was done.
    pub estimated_rest_seconds: Option<f64>,
}

impl Report {
    /// The form of reports that this crate makes.
    pub const SCHEMA: u32 = 1;

    pub(crate) fn of(
        simulation: &Simulation,
        measured: Measured,
        counted: Counted,
        settled: bool,
    ) -> Self {
        let Measured {
            timeline,
            tail,
            fault,
        } = measured;
        let total = timeline.total();
        let all = counted.upstreams.values();
        Self {
            schema: Self::SCHEMA,
            scenario: simulation.scenario,
            settings: Settings::of(simulation),
            served: total.served,
            served_per_second: exact(total.served as f64 / simulation.duration.as_secs_f64()),
            seconds: timeline.seconds().to_vec(),
            latency: timeline.latency(),
            errors: ErrorsReport {
                total: total.errors,
                by_kind: timeline.kinds(),
                by_status: timeline.statuses().clone(),
            },
            degraded: DegradedReport {
                total: total.degraded,
                share: ratio(total.degraded, total.served).unwrap_or(0.0),
            },
            amplification: counted
                .upstreams
                .get("recommendations")
                .and_then(UpstreamReport::amplification),
            breaker: BreakerReport {
                opened: all.clone().map(|it| it.breaker_opened).sum(),
                rejected: all.map(|it| it.rejected).sum(),
            },
            upstreams: counted.upstreams,
            services: counted.services,
            routes: counted.routes,
            fault,
            tail,
            settled,
        }
    }

    /// For a person: a few lines in plain words and a chart, none wider than `width` columns (60 at least), without
    /// colours, so that it looks the same in a pipe.
    #[must_use]
    pub fn to_text(&self, width: usize) -> String {
        text::write(self, width)
    }
}

impl Settings {
    fn of(simulation: &Simulation) -> Self {
        Self {
            duration: show_duration(simulation.duration),
            connections: simulation.connections,
            tail_limit: show_duration(simulation.tail_limit()),
            policy: simulation.policy.clone(),
            seed: simulation.seed,
        }
    }
}

impl UpstreamReport {
    /// Attempts for each call that the breaker let through.
    fn amplification(&self) -> Option<f64> {
        ratio(self.attempts, self.calls - self.rejected)
    }
}

/// `None` when there is nothing to divide by.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
