//! A policy put to work before one upstream, for all workers; replaced as a whole when the policy changes.

use std::sync::Arc;

use brownout_resilience::{Client, EventRecord, InvalidPolicy, Policy, Setup, policy::Scope};
use brownout_telemetry::{Gauge, Metrics, names};

use super::breakers::BreakerTally;
use crate::{config::ServiceConfig, stats::BreakerStats};

/// A client for each worker, and what their breakers do.
#[derive(Debug)]
pub(crate) struct Protection {
    name: String,
    seed: u64,
    metrics: Metrics,
    /// One for each worker, on one breaker or on breakers of their own; never empty.
    clients: Vec<Client>,
    breakers: Option<Arc<BreakerTally>>,
    failure_rate: Option<Gauge>,
}

impl Protection {
    /// For the workers of a service, under its policy. `name` is the breakers'.
    pub(crate) fn new(name: String, config: &ServiceConfig) -> Result<Self, InvalidPolicy> {
        let (seed, metrics) = (config.seed, config.metrics.clone());
        Self::made(name, seed, metrics, config.workers, &config.policy)
    }

    /// For so many workers.
    pub(crate) fn made(
        name: String,
        seed: u64,
        metrics: Metrics,
        workers: usize,
        policy: &Policy,
    ) -> Result<Self, InvalidPolicy> {
        let mut setup = Setup::seeded(seed);
        let breakers = policy
            .breaker
            .as_ref()
            .map(|policy| Arc::new(BreakerTally::new(&name, policy, workers, &metrics)));
        if let Some(breakers) = &breakers {
            let breakers = Arc::clone(breakers);
            setup = setup.listening(move |event| breakers.hear(event));
        }
        let client = Client::new(&name, policy.clone(), setup)?;
        let failure_rate = breakers
            .as_ref()
            .map(|_| metrics.gauge(names::CIRCUITBREAKER_FAILURE_RATE, &[&name]));
        Ok(Self {
            clients: (0..workers as u64)
                .map(|worker| client.for_worker(worker))
                .collect(),
            name,
            seed,
            metrics,
            breakers,
            failure_rate,
        })
    }

    /// The same under another policy, going on with whatever the two have in common.
    pub(crate) fn under(&self, policy: &Policy) -> Result<Self, InvalidPolicy> {
        let workers = self.clients.len();
        let (name, metrics) = (self.name.clone(), self.metrics.clone());
        let mut next = Self::made(name, self.seed, metrics, workers, policy)?;
        if policy.breaker == self.policy().breaker {
            // The breakers stay, and so does who listens to them.
            next.breakers.clone_from(&self.breakers);
        }
        let kept = next.clients.into_iter().zip(&self.clients);
        next.clients = kept.map(|(new, old)| new.keeping(old)).collect();
        if let Some(breakers) = &next.breakers {
            breakers.show();
        }
        Ok(next)
    }

    pub(crate) fn client(&self, worker: usize) -> &Client {
        &self.clients[worker]
    }

    pub(crate) fn policy(&self) -> &Policy {
        self.clients[0].policy()
    }

    pub(crate) fn breakers(&self) -> Option<BreakerStats> {
        let breakers = self.breakers.as_ref();
        breakers.map(|it| it.stats(&self.clients))
    }

    /// The clients with breakers of their own, by the names that tell these apart.
    pub(crate) fn named(&self) -> Vec<(String, &Client)> {
        let breaker = self.policy().breaker.as_ref();
        match breaker.map(|breaker| breaker.scope) {
            None => Vec::new(),
            Some(Scope::Shared) => vec![(self.name.clone(), &self.clients[0])],
            Some(Scope::Worker) => {
                let clients = self.clients.iter().enumerate();
                let named = |(worker, client)| (format!("{}-{worker}", self.name), client);
                clients.map(named).collect()
            }
        }
    }

    /// What the breakers have told last, oldest first.
    pub(crate) fn events(&self) -> Vec<EventRecord> {
        let breakers = self.breakers.as_ref();
        breakers.map(|it| it.events()).unwrap_or_default()
    }

    /// Shows the failure rate of the breaker that a call has just asked.
    pub(crate) fn note_rate(&self, client: &Client) {
        if let (Some(gauge), Some(breaker)) = (&self.failure_rate, client.breaker()) {
            let rate = breaker.metrics().failure_rate.unwrap_or(-1.0);
            #[expect(clippy::cast_possible_truncation, reason = "from -1 to 100")]
            gauge.set(rate.round() as i64);
        }
    }
}
