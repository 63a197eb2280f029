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
//! - [`experiment`]: an experiment as it is written in a file, with its [`expectation`]s.
//! - [`run`](mod@run): the run of such a file, told as events, and its verdict.
//! - [`render`]: those events for terminals, as JUnit, Markdown and one HTML page.
//! - [`audit`]: the stock experiments on a service that is not ours, and what they tell of it.
//! - [`forensics`]: what a client did, read from records of its attempts.
//!
//! Services are seen over HTTP alone: their pages, and `GET /stats`. Nothing here prints.

pub mod audit;
pub mod expectation;
pub mod experiment;
pub mod forensics;
pub mod load;
pub mod render;
pub mod run;

mod report;
mod sample;
mod simulation;
mod stats;
mod timeline;
mod toml_tree;

pub use crate::{
    report::{
        BreakerReport, DegradedReport, ErrorsReport, FaultReport, Report, ServiceReport, Settings,
        TailReport, UpstreamReport,
    },
    sample::{ErrorKind, Outcome, Sample},
    simulation::{Event, NotRemoved, Policy, Scenario, Services, Simulation, SimulationError},
    stats::StatsError,
    timeline::{Kinds, Latency, Second, Timeline},
    toml_tree::{Located, TomlTree},
};
