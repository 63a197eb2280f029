//! Why there is no report.

use std::{io, net::SocketAddr, time::Duration};

use brownout_client::ClientError;
use brownout_fault::units::show_duration;
use thiserror::Error;

use super::{NotRemoved, Simulation};
use crate::stats::StatsError;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum SimulationError {
    /// The burst is too short or too long.
    #[error(
        "duration: {} is outside 1ms to {}",
        show_duration(*.0), show_duration(Simulation::DURATION_MAX)
    )]
    Duration(Duration),
    /// Too few or too many connections.
    #[error("connections: {0} is outside 1 to {max}", max = Simulation::CONNECTIONS_MAX)]
    Connections(usize),
    /// Too long a wait.
    #[error(
        "tail limit: {} is above {}",
        show_duration(*.0), show_duration(Simulation::DURATION_MAX)
    )]
    TailLimit(Duration),
    /// The homepage cannot be reached. Nothing was armed.
    #[error("could not connect to the homepage at {address}")]
    Homepage {
        /// Where it should be.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The homepage was there before the burst, and not once during it.
    #[error("could not connect to the homepage at {address} in any of {attempts} attempts")]
    HomepageGone {
        /// Where it was.
        address: SocketAddr,
        /// How often it was tried.
        attempts: u64,
    },
    /// A service does not tell of itself.
    #[error("could not read the counters of {service} at {url}")]
    Stats {
        /// Which.
        service: &'static str,
        /// Its base URL.
        url: String,
        /// Why.
        source: StatsError,
    },
    /// The proxy does not tell of its routes.
    #[error("could not read the routes of the proxy")]
    Routes(#[source] ClientError),
    /// A service or route was started anew on the way: what it counts is not of this run.
    #[error("the counters of {0} went back during the run, as if it had been started anew")]
    Restarted(String),
    /// The fault was refused, or the control API cannot be reached.
    #[error("could not arm the fault `{id}` on the route `{route}`")]
    Arm {
        /// Its id.
        id: &'static str,
        /// Where it belongs.
        route: &'static str,
        /// Why.
        source: ClientError,
    },
    /// The fault does not tell of itself. It may be that somebody removed it during the run.
    #[error("could not read what the fault `{id}` did")]
    Fault {
        /// Its id.
        id: &'static str,
        /// Why.
        source: ClientError,
    },
    /// The run failed, and then the fault could not even be removed.
    #[error("the run failed ({run}), and its fault may still be armed")]
    FaultLeft {
        /// Why the run failed.
        run: Box<Self>,
        /// Why the fault could not be removed.
        source: NotRemoved,
    },
}
