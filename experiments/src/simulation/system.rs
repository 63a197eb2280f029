//! The system as it is seen from outside: what services and routes tell of themselves.

use std::{collections::BTreeMap, time::Duration};

use brownout_client::Client;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{LOOK, Services, SimulationError};
use crate::stats::{ServiceStats, StatsClient};

/// Asks the services and the proxy between them.
pub(super) struct System<'s> {
    services: &'s Services<String>,
    control: &'s Client,
    http: StatsClient,
}

/// What everybody has counted since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) services: Services<ServiceStats>,
    /// Requests, by route.
    pub(super) routes: BTreeMap<String, u64>,
}

impl<'s> System<'s> {
    pub(super) fn new(services: &'s Services<String>, control: &'s Client) -> Self {
        Self {
            services,
            control,
            http: StatsClient::new(),
        }
    }

    pub(super) async fn homepage(&self) -> Result<ServiceStats, SimulationError> {
        self.ask("homepage", &self.services.homepage).await
    }

    pub(super) async fn recommendations(&self) -> Result<ServiceStats, SimulationError> {
        self.ask("recommendations", &self.services.recommendations)
            .await
    }

    /// All services, callers before those they call: a service that is found idle after its callers stays idle.
    pub(super) async fn services(&self) -> Result<Services<ServiceStats>, SimulationError> {
        let (authentication, popular) =
            (&self.services.authentication, &self.services.popular_items);
        Ok(Services {
            homepage: self.homepage().await?,
            recommendations: self.recommendations().await?,
            authentication: self.ask("authentication", authentication).await?,
            popular_items: self.ask("popular_items", popular).await?,
        })
    }

    pub(super) async fn count(&self) -> Result<Counters, SimulationError> {
        let routes = self.control.routes().await;
        let routes = routes.map_err(SimulationError::Routes)?;
        let requests = |route: brownout_wire::RouteAnswer| (route.name, route.requests);
        Ok(Counters {
            services: self.services().await?,
            routes: routes.into_iter().map(requests).collect(),
        })
    }

    /// Waits until nobody has anything to do, for at most `limit`. Whether it came to that.
    ///
    /// A request may be on its way between two services while both are looked at: one look is not enough.
    pub(super) async fn settle(&self, limit: Duration) -> Result<bool, SimulationError> {
        let began = Instant::now();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = 0;
        while idle < 2 {
            if began.elapsed() >= limit {
                return Ok(false);
            }
            looks.tick().await;
            let services = self.services().await?;
            idle = if services.iter().any(ServiceStats::is_busy) {
                0
            } else {
                idle + 1
            };
        }
        Ok(true)
    }

    async fn ask(&self, service: &'static str, url: &str) -> Result<ServiceStats, SimulationError> {
        let answer = self.http.read(url).await;
        answer.map_err(|source| SimulationError::Stats {
            service,
            url: url.to_owned(),
            source,
        })
    }
}
