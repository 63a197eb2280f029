//! Load, measures and verdicts: simulations and experiments.
//!
//! A [`Simulation`] is the original's story: a user arms a fault through the control API, ten connections ask for
//! pages, the fault stays until the work that nobody waits for is done, then it is removed and a [`Report`] is made.
//! What happens on the way is told as [`Event`]s. The system must already run; who starts it is not known here.
//!
//! - [`load`]: requests sent in a closed loop; each becomes a [`Sample`].
//! - [`Timeline`]: samples by second, and their latency.
//! - [`Simulation`]: the story of one run.
//! - [`Report`]: what came of it, as JSON for machines and as text for a person.
//!
//! Services are seen over HTTP alone: their pages, and `GET /stats`. Nothing here prints.

pub mod load;
mod report;
mod sample;
mod simulation;
mod stats;
mod timeline;

pub use crate::{
    report::{
        BreakerReport, DegradedReport, ErrorsReport, FaultReport, Report, ServiceReport, Settings,
        TailReport, UpstreamReport,
    },
    sample::{ErrorKind, Outcome, Sample},
    simulation::{Event, NotRemoved, Policy, Scenario, Services, Simulation, SimulationError},
    stats::StatsError,
    timeline::{Kinds, Latency, Second, Timeline},
};
