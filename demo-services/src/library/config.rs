//! How a service of the library is set up, and what is wrong with a setup.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use brownout_resilience::{InvalidPolicy, Policy, policy::Scope};
use brownout_telemetry::{Metrics, Tracer};
use thiserror::Error;

use super::{
    database::OpenError,
    policies::gate_policy,
    service::{GateName, LibraryService},
    url::DatabaseUrl,
};
use crate::config::ServiceConfig;

/// What one service of the library needs to start.
#[derive(Debug, Clone)]
pub struct LibraryConfig {
    /// Which of them, and what only that one needs.
    pub role: LibraryRole,
    /// Where it listens; port 0 asks for a free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Requests that are worked on at once. Default [`LibraryService::default_workers`]; from 1 to 1024.
    pub workers: usize,
    /// Further requests that may wait for a worker; what comes beyond is answered 503. Default 2048, at most 1,000,000.
    pub queue: usize,
    /// How long a request occupies its worker besides what its calls and statements take. Default
    /// [`LibraryService::default_work`].
    pub work: Duration,
    /// Where the chance of policies comes from.
    pub seed: u64,
    /// Where it counts.
    pub metrics: Metrics,
    /// Where its spans go.
    pub tracer: Tracer,
}

/// A service of the library, with what only that one needs.
#[derive(Debug, Clone)]
pub enum LibraryRole {
    /// Where readers ask.
    Gate {
        /// The base URL of the primary, `http://HOST:PORT`.
        primary: String,
        /// The base URL of the fallback.
        fallback: String,
        /// How each way asks the primary, in the order of [`GateName::ALL`]. Default [`gate_policy`] of each.
        policies: Box<[Policy; GateName::ALL.len()]>,
    },
    /// The book service that is asked first.
    Primary(DatabaseUrl),
    /// The book service that is asked when the first does not answer.
    Fallback(DatabaseUrl),
}

impl LibraryConfig {
    /// A gate before the book services at these base URLs, with the defaults: any free port of loopback, the policies
    /// that come with it, metrics and spans for nobody.
    #[must_use]
    pub fn gate(primary: impl Into<String>, fallback: impl Into<String>) -> Self {
        Self::new(LibraryRole::Gate {
            primary: primary.into(),
            fallback: fallback.into(),
            policies: Box::new(GateName::ALL.map(gate_policy)),
        })
    }

    /// A primary book service on this database, with the same defaults.
    #[must_use]
    pub fn primary(database: DatabaseUrl) -> Self {
        Self::new(LibraryRole::Primary(database))
    }

    /// A fallback book service on this database, with the same defaults.
    #[must_use]
    pub fn fallback(database: DatabaseUrl) -> Self {
        Self::new(LibraryRole::Fallback(database))
    }

    fn new(role: LibraryRole) -> Self {
        let service = role.service();
        Self {
            role,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            workers: service.default_workers(),
            queue: 2048,
            work: service.default_work(),
            seed: 0,
            metrics: Metrics::new(),
            tracer: Tracer::off(),
        }
    }

    /// Which service it is.
    #[must_use]
    pub fn service(&self) -> LibraryService {
        self.role.service()
    }

    /// Refuses numbers that are out of bounds, and policies that a gate cannot follow.
    pub(super) fn check(&self) -> Result<(), LibraryStartError> {
        if !(1..=ServiceConfig::WORKERS_MAX).contains(&self.workers) {
            return Err(LibraryStartError::Workers(self.workers));
        }
        if self.queue > ServiceConfig::QUEUE_MAX {
            return Err(LibraryStartError::Queue(self.queue));
        }
        let LibraryRole::Gate { policies, .. } = &self.role else {
            return Ok(());
        };
        let of_each_worker = |policy: &Policy| {
            let breaker = policy.breaker.as_ref();
            breaker.is_some_and(|breaker| breaker.scope == Scope::Worker)
        };
        let gates = GateName::ALL.into_iter().zip(policies.iter());
        match gates.into_iter().find(|(_, policy)| of_each_worker(policy)) {
            Some((gate, _)) => Err(LibraryStartError::WorkerScope(gate)),
            None => Ok(()),
        }
    }
}

impl LibraryRole {
    /// Which service it is.
    #[must_use]
    pub fn service(&self) -> LibraryService {
        match self {
            Self::Gate { .. } => LibraryService::Gate,
            Self::Primary(_) => LibraryService::Primary,
            Self::Fallback(_) => LibraryService::Fallback,
        }
    }
}

/// Why a service of the library could not be started.
#[derive(Debug, Error)]
pub enum LibraryStartError {
    /// A book service's URL is none, or more than scheme, host and port.
    #[error("`{url}` is no URL of {upstream}; write it like \"http://127.0.0.1:9000\"")]
    InvalidUpstream {
        /// Whose URL.
        upstream: LibraryService,
        /// As configured.
        url: String,
    },
    /// Too few or too many workers.
    #[error("workers: {0} is outside 1 to {max}", max = ServiceConfig::WORKERS_MAX)]
    Workers(usize),
    /// Too long a queue.
    #[error("queue: {0} is above {max}", max = ServiceConfig::QUEUE_MAX)]
    Queue(usize),
    /// A gate's workers share its breaker, which the health page shows.
    #[error("the policy of {0} has `breaker.scope` \"worker\"; a gate's breaker is \"shared\"")]
    WorkerScope(GateName),
    /// A policy was put together in code, and is not valid.
    #[error("could not use the policy")]
    Policy(#[source] InvalidPolicy),
    /// The books cannot be got at.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The address is taken, or not one of this machine.
    #[error("could not listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}
