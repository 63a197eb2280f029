//! The houses put together: faults, data plane, control API and telemetry as one running proxy.

use std::{net::SocketAddr, time::Duration};

use brownout_control_api::{Audit, Caller, ControlApi, ControlConfig, Ops, Wanted};
use brownout_fault::store;
use brownout_proxy::{ACCESS_LOG, Gateway, GatewayConfig, NewRoute, RouteStatus};
use brownout_telemetry::Telemetry;

use crate::exit::{Exit, Failure};

/// How long requests in progress may take to end when the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long the last spans and metrics may take to go out.
pub(crate) const FLUSH: Duration = Duration::from_secs(3);

/// What a running proxy is made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) control: String,
    pub(crate) insecure: bool,
    pub(crate) allow_hosts: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) connections_max: usize,
    /// The routes and faults to begin with.
    pub(crate) wanted: Wanted,
    /// What the proxy and its control API are called in traces, usually [`Self::SERVICE`].
    pub(crate) service: String,
}

impl Plan {
    pub(crate) const SERVICE: &str = "brownout-proxy";
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct House {
    api: ControlApi,
    ops: Ops,
    gateway: Gateway,
    telemetry: Telemetry,
    routes: Vec<RouteStatus>,
    /// How many faults were armed at the start.
    armed: usize,
}

impl House {
    /// Starts all of it, or nothing.
    pub(crate) fn start(plan: Plan, telemetry: Telemetry) -> Result<Self, Failure> {
        let (writer, reader) = store(plan.seed);
        let config = GatewayConfig::new(reader);
        let connections_max = plan.connections_max.min(connections_possible(config.cores));
        if connections_max < plan.connections_max {
            tracing::info!(
                connections_max,
                "the limit of open descriptors allows no more"
            );
        }
        let gateway = Gateway::start(GatewayConfig {
            connections_max,
            metrics: telemetry.metrics(),
            tracer: telemetry.tracer(&plan.service),
            access_log: tracing::enabled!(target: ACCESS_LOG, tracing::Level::INFO),
            ..config
        });
        let gateway = gateway.map_err(|error| {
            Failure::new(
                Exit::Internal,
                format!("could not start the data plane: {error}"),
            )
        })?;
        let metrics = telemetry.metrics();
        let ops = Ops::new(writer, gateway.handle(), &metrics, Audit::log());
        let armed = plan.wanted.faults.len();
        let routes = ops
            .load(plan.wanted, Caller::of("file"))
            .map_err(|error| Failure::chain(Exit::Usage, &error))?;
        let api = ControlApi::start(ControlConfig {
            listen: plan.control,
            insecure: plan.insecure,
            allow_hosts: plan.allow_hosts,
            ops: ops.clone(),
            metrics,
            tracer: telemetry.tracer(&plan.service),
        });
        Ok(Self {
            api: api.map_err(|error| Failure::chain(Exit::Usage, &error))?,
            ops,
            gateway,
            telemetry,
            routes,
            armed,
        })
    }

    pub(crate) fn control(&self) -> SocketAddr {
        self.api.address()
    }

    /// How many faults were armed at the start.
    pub(crate) fn armed(&self) -> usize {
        self.armed
    }

    pub(crate) fn routes(&self) -> &[RouteStatus] {
        &self.routes
    }

    /// What counts and traces.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Makes one more route.
    pub(crate) fn add_route(&mut self, route: NewRoute) -> Result<RouteStatus, Failure> {
        let added = self.ops.add_route(route, Caller::of("demo"));
        let status = added.map_err(|error| Failure::chain(Exit::Internal, &error))?;
        self.routes.push(status.clone());
        Ok(status)
    }

    /// Removes all faults, letting go what they hold, and lets no other be armed.
    pub(crate) fn remove_all_faults(&self) {
        drop(self.ops.disarm_for_good());
    }

    /// Removes all faults, lets requests end, stops the API, and sends the last spans and metrics. Blocks.
    pub(crate) fn stop(self) {
        self.remove_all_faults();
        self.gateway.drain(DRAIN);
        self.api.stop();
        if let Err(error) = self.telemetry.shutdown(FLUSH) {
            tracing::warn!(%error, "not all telemetry was sent");
        }
    }
}

/// How many connections there are descriptors for, on so many cores: each needs one, and one more to its upstream. Some
/// are kept back for what a core needs besides, and so that the control API answers whatever the data plane is doing.
///
/// The default of many systems allows but 1,024; the limit is raised as far as it may be.
fn connections_possible(cores: usize) -> usize {
    /// The control API's connections, listeners, telemetry, files.
    const KEPT_BACK: u64 = 320;
    const CONNECTIONS_MIN: u64 = 16;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "could not raise the limit of open descriptors");
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let of_cores = cores.saturating_mul(GatewayConfig::CORE_DESCRIPTORS);
    let kept_back = KEPT_BACK.saturating_add(u64::try_from(of_cores).unwrap_or(u64::MAX));
    let connections = descriptors.saturating_sub(kept_back) / 2;
    usize::try_from(connections.max(CONNECTIONS_MIN)).unwrap_or(usize::MAX)
}
