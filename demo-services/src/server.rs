//! The life of a service: start, serve, stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use brownout_resilience::{InvalidPolicy, Policy};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{
    authentication::Authentication,
    authorization::{Authorization, CAN_VIEW_HOMEPAGE, CAN_VIEW_RECOMMENDATIONS},
    config::{ServiceConfig, StartError},
    front::Front,
    homepage::Homepage,
    recommendations::Recommendations,
    service::Service,
    serving::{Serving, ShutdownTimeout},
    settings::Settings,
    tally::ServiceTally,
    upstream::{Transport, Upstream, UpstreamClient},
    workers::{Line, Role, Worker},
};

/// A service that runs. Dropped, it is cut short; see [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Running {
    service: Service,
    address: SocketAddr,
    serving: Serving<Front>,
}

/// Starts a service on the runtime it is called on, of either flavour.
///
/// Whether its upstreams can be reached is not tried.
///
/// # Errors
/// When the configuration is not complete and right, or the address cannot be listened on.
pub async fn start(config: ServiceConfig) -> Result<Running, StartError> {
    config.check()?;
    let outgoing = TaskTracker::new();
    let transport = Transport::new(&outgoing, config.tls.as_ref());
    let upstreams = config.service.upstreams().iter();
    let upstreams = upstreams
        .map(|&upstream| Upstream::new(&config, upstream, transport.clone()).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;

    let failed = |source| StartError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let tls = config.tls.as_ref().map(|tls| Arc::clone(tls.server()));
    let tally = Arc::new(ServiceTally::new(config.service, &config.metrics));
    let (line, line_end) = Line::new(config.workers, config.queue);
    let workers = (0..config.workers).map(|number| Worker {
        role: role(&config, &upstreams, number),
        work: config.work,
        line: line_end.clone(),
        tally: Arc::clone(&tally),
    });
    let workers: Vec<_> = workers.collect();

    let front = Front {
        service: config.service,
        workers: config.workers,
        line,
        tally,
        settings: Arc::new(Settings::new(config.policy, upstreams.clone())),
        upstreams,
        tracer: config.tracer,
    };
    Ok(Running {
        service: config.service,
        address,
        serving: Serving::start(listener, tls, front, workers.into_iter(), outgoing),
    })
}

/// What worker `number` can do, with clients of its own.
fn role(config: &ServiceConfig, upstreams: &[Arc<Upstream>], number: usize) -> Role {
    let client = |index: usize| UpstreamClient::new(&upstreams[index], number);
    let metrics = &config.metrics;
    // The upstreams are in the order of `Service::upstreams`.
    match config.service {
        Service::Homepage => Role::Homepage(Homepage {
            authorization: Authorization::new(client(0), CAN_VIEW_HOMEPAGE, metrics),
            recommendations: client(1),
            popular_items: client(2),
        }),
        Service::Authentication => Role::Authentication(Authentication::new(config.seed, metrics)),
        Service::Recommendations => Role::Recommendations(Recommendations {
            authorization: Authorization::new(client(0), CAN_VIEW_RECOMMENDATIONS, metrics),
        }),
        Service::PopularItems => Role::PopularItems,
    }
}

impl Running {
    /// Which service it is.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes further calls under this policy. Calls that are being made end under the one they began with; a breaker
    /// stays as it is unless its section has changed.
    ///
    /// # Errors
    /// When a value of the policy is out of range; the present one stays then.
    pub fn use_policy(&self, policy: Policy) -> Result<(), InvalidPolicy> {
        self.serving.front().settings.take(policy)
    }

    /// Stops accepting, lets requests end for at most `limit`, then cuts.
    ///
    /// Requests whose callers wait are answered. Once no caller is left, workers finish what they have in hand; what
    /// is still queued then is for nobody, and is dropped.
    ///
    /// # Errors
    /// When the limit came first, and requests were cut.
    pub async fn shutdown(self, limit: Duration) -> Result<(), ShutdownTimeout> {
        self.serving.shutdown(limit).await
    }
}
