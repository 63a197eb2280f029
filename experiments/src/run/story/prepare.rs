//! What a run needs before it begins.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use brownout_fault::read::unknown;
use brownout_wire::RouteAnswer;
use jiff::Timestamp;
use tokio::{net::lookup_host, time::Instant};

use super::{Runner, repetitions::Repetition};
use crate::{
    expectation::{Measure, Subject},
    experiment::{Arrivals, Asked, Expected, Experiment, Predicate, template_mix},
    run::{
        PhaseKind, PlannedPhase, RoutePlace, RunError, RunStarted,
        control::{Proxy, describe},
        pages::{Endpoint, Shared},
    },
};

/// A run that may begin.
pub(super) struct Prepared {
    pub(super) started: RunStarted,
    pub(super) shared: Arc<Shared>,
    /// The routes that are measured.
    pub(super) hops: Vec<String>,
}

impl Runner {
    pub(super) async fn prepare(&self, proxy: &mut Proxy) -> Result<Prepared, RunError> {
        let Self { experiment, .. } = self;
        let routes = proxy.routes(&experiment.routes).await?;
        let hops = measured(experiment, &routes)?;
        let address = match experiment.load.arrivals {
            Arrivals::External => SocketAddr::from(([127, 0, 0, 1], 0)),
            Arrivals::Open(_) | Arrivals::Closed(_) | Arrivals::Serial(_) => {
                match self
                    .services
                    .iter()
                    .find(|it| it.name == experiment.load.to)
                {
                    Some(service) => service.address,
                    None => address_of(&experiment.load.to, &routes).await?,
                }
            }
        };
        let watch = match experiment.load.watched() {
            Some(watched) => {
                let address = address_of(&watched.to, &routes).await?;
                Some(Endpoint::new(watched, address, Asked::Watch))
            }
            None => None,
        };
        let now = Timestamp::now();
        let started = now.as_microsecond().unsigned_abs();
        let run_key = template_mix(started ^ self.seed);
        let shared = Shared::new(
            Endpoint::new(experiment.load.clone(), address, Asked::Load),
            watch,
            predicates(experiment),
            self.seed,
            run_key,
            Instant::now(),
        );
        Ok(Prepared {
            started: RunStarted {
                schema: 1,
                name: experiment.name.clone(),
                title: experiment.title.clone(),
                because: experiment.because.clone(),
                owner: experiment.owner.clone(),
                file: self.file.clone(),
                seed: self.seed,
                brownout: self.version.clone(),
                started_at: now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
                control: self.control.base().to_owned(),
                load: experiment.load.describe(),
                load_name: experiment.load.name().map(str::to_owned),
                watch: experiment.load.watched().map(|it| it.describe()),
                routes: routes.iter().map(place).collect(),
                phases: planned_for(experiment),
                reproduce: self.reproduce.clone(),
                commit: self.commit.clone(),
                traces: experiment.report.traces.clone(),
                inconclusive_fails: experiment.verdict.inconclusive_fails,
            },
            shared: Arc::new(shared),
            hops,
        })
    }
}

fn place(route: &RouteAnswer) -> RoutePlace {
    RoutePlace {
        name: route.name.clone(),
        listen: route.listen.clone(),
        upstream: route.upstream.clone(),
    }
}

/// The phases of a run: those of all repetitions.
fn planned_for(experiment: &Experiment) -> Vec<PlannedPhase> {
    let once = planned(experiment);
    let of = experiment.verdict.repeat;
    let all = (1..=of).flat_map(|number| {
        let repetition = Repetition { number, of };
        once.iter().map(move |it| PlannedPhase {
            name: repetition.named(&it.name),
            ..it.clone()
        })
    });
    all.collect()
}

/// The phases of an experiment done once, with their faults in words.
#[must_use]
pub fn planned(experiment: &Experiment) -> Vec<PlannedPhase> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut phases = Vec::new();
    if let Some(steady) = &experiment.steady {
        phases.push(PlannedPhase {
            name: "steady".to_owned(),
            kind: PhaseKind::Steady,
            length_ms: Some(millis(steady.duration)),
            faults: Vec::new(),
            expectations: steady.expect.len(),
        });
    }
    for phase in &experiment.phases {
        let faults = phase.faults.iter();
        phases.push(PlannedPhase {
            name: phase.name.clone(),
            kind: PhaseKind::Fault,
            length_ms: phase.duration.map(millis),
            faults: faults
                .map(|it| format!("{}: {}", it.id, describe(&it.body)))
                .collect(),
            expectations: phase.expect.len(),
        });
        if let Some(length) = phase.after_length() {
            phases.push(PlannedPhase {
                name: after_name(&phase.name),
                kind: PhaseKind::After,
                length_ms: Some(millis(length)),
                faults: Vec::new(),
                expectations: phase.after.len(),
            });
        }
    }
    if let Some(recovery) = &experiment.recovery {
        phases.push(PlannedPhase {
            name: "recovery".to_owned(),
            kind: PhaseKind::Recovery,
            length_ms: Some(millis(recovery.observe)),
            faults: Vec::new(),
            expectations: recovery.expect.len(),
        });
    }
    phases
}

pub(super) fn after_name(phase: &str) -> String {
    format!("after {phase}")
}

/// The routes of the file that are there; an error for one that is not.
fn measured(experiment: &Experiment, routes: &[RouteAnswer]) -> Result<Vec<String>, RunError> {
    let there: Vec<&str> = routes.iter().map(|it| it.name.as_str()).collect();
    let mut hops: Vec<String> = experiment.routes.iter().map(|it| it.name.clone()).collect();
    if let Some(demo) = &experiment.demo {
        let routes = demo.system.routes().iter();
        hops.extend(routes.map(|it| (*it).to_owned()));
    } else if hops.is_empty() {
        let faults = experiment.phases.iter().flat_map(|it| &it.faults);
        for fault in faults {
            let read = brownout_fault::Routes::read(&fault.body["route"]);
            if let Ok(brownout_fault::Routes::Named(names)) = read {
                hops.extend(names);
            }
        }
        hops.extend(
            experiment
                .load
                .name()
                .filter(|it| *it != "load")
                .map(str::to_owned),
        );
        hops.sort_unstable();
        hops.dedup();
    }
    match hops.iter().find(|it| !there.contains(&it.as_str())) {
        Some(missing) => Err(RunError::NoRoute(format!(
            "{}; the file has no [routes] that would make it",
            unknown("route", missing, &there)
        ))),
        None => Ok(hops),
    }
}

/// Where the load goes.
async fn address_of(to: &str, routes: &[RouteAnswer]) -> Result<SocketAddr, RunError> {
    let wrong = |why: String| RunError::Target {
        to: to.to_owned(),
        why,
    };
    let Some(authority) = to.strip_prefix("http://") else {
        let route = routes.iter().find(|it| it.name == to);
        let route = route.ok_or_else(|| wrong("there is no such route".to_owned()))?;
        let mut address: SocketAddr = route
            .listen
            .parse()
            .map_err(|_| wrong(format!("it listens on `{}`", route.listen)))?;
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        return Ok(address);
    };
    let authority = authority.trim_end_matches('/');
    let authority = match authority.contains(':') {
        true => authority.to_owned(),
        false => format!("{authority}:80"),
    };
    let found = lookup_host(authority)
        .await
        .map_err(|error| wrong(error.to_string()))?;
    let mut found: Vec<SocketAddr> = found.collect();
    // Many services listen on IPv4 alone.
    found.sort_by_key(SocketAddr::is_ipv6);
    found
        .first()
        .copied()
        .ok_or_else(|| wrong("it has no address".to_owned()))
}

/// What answers are looked at for; the first one tells what is degraded in reports.
fn predicates(experiment: &Experiment) -> Vec<Predicate> {
    let mut predicates: Vec<Predicate> = Vec::new();
    for expected in all_expected(experiment) {
        if let Subject::Hop {
            measure: Measure::FallbackRate(predicate),
            ..
        } = &expected.expectation.subject
            && !predicates.contains(predicate)
        {
            predicates.push(predicate.clone());
        }
    }
    if predicates.is_empty() {
        let usual = Predicate::parse("header x-degraded");
        predicates.push(usual.expect("this is a predicate"));
    }
    predicates.truncate(32);
    predicates
}

fn all_expected(experiment: &Experiment) -> impl Iterator<Item = &Expected> {
    let steady = experiment.steady.iter().flat_map(|it| &it.expect);
    let phases = experiment
        .phases
        .iter()
        .flat_map(|it| it.expect.iter().chain(&it.after));
    let recovery = experiment.recovery.iter().flat_map(|it| &it.expect);
    steady
        .chain(phases)
        .chain(recovery)
        .chain(&experiment.guard.halt_if)
}
