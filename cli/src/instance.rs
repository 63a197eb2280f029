//! Faults, data plane, control API and telemetry put together: one running brownout.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use brownout_control_api::{Caller, ControlApi, ControlConfig, OpError, Ops, Reloaded, Wanted};
use brownout_fault::store;
use brownout_proxy::{
    ACCESS_LOG, Gateway, GatewayConfig, ListenerTls, ListenerTlsOptions, NewRoute, RouteError,
    RouteStatus, ServedTls,
};
use brownout_telemetry::Telemetry;

use crate::{
    control_settings::{ControlSettings, state_directory},
    exit::{Exit, Failure},
    signals::Order,
};

/// How long the last spans and metrics may take to go out.
pub(crate) const FLUSH: Duration = Duration::from_secs(3);

/// What a running proxy is made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) control: String,
    pub(crate) insecure: bool,
    pub(crate) settings: ControlSettings,
    pub(crate) allow_hosts: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) connections_max: usize,
    /// How many requests are kept as evidence.
    pub(crate) evidence_capacity: usize,
    /// The routes and faults to begin with.
    pub(crate) wanted: Wanted,
    /// How long requests in progress may take to end when the process is asked to stop.
    pub(crate) drain: Duration,
    /// Where the authority of `tls = "self"` is kept.
    pub(crate) state_directory: Option<PathBuf>,
    /// What the proxy and its control API are called in traces, usually [`Self::SERVICE`].
    pub(crate) service: String,
}

impl Plan {
    pub(crate) const SERVICE: &str = "brownout-proxy";
    /// Less than the 10 s after which `docker stop` kills.
    pub(crate) const DRAIN: Duration = Duration::from_secs(8);

    /// A proxy of this process's own, for as long as a command takes.
    pub(crate) fn of_own(control: &str, settings: ControlSettings, service: String) -> Self {
        Self {
            control: control.to_owned(),
            insecure: false,
            settings,
            allow_hosts: Vec::new(),
            // Each fault has the seed of its run.
            seed: 1,
            connections_max: GatewayConfig::CONNECTIONS_MAX,
            evidence_capacity: GatewayConfig::JOURNAL_CAPACITY,
            wanted: Wanted::default(),
            drain: Self::DRAIN,
            state_directory: state_directory(None),
            service,
        }
    }
}

/// A running proxy with its control API.
#[derive(Debug)]
pub(crate) struct Instance {
    api: ControlApi,
    ops: Ops,
    gateway: Gateway,
    telemetry: Telemetry,
    routes: Vec<RouteStatus>,
    /// How many faults were armed at the start.
    armed: usize,
    asks_for_a_token: bool,
    drain: Duration,
}

impl Instance {
    /// Starts all of it, or nothing.
    pub(crate) fn start(plan: Plan, telemetry: Telemetry) -> Result<Self, Failure> {
        let (writer, reader) = store(plan.seed);
        let config = GatewayConfig::new(reader);
        let room = Room::of(descriptors(), config.cores);
        let connections_max = plan.connections_max.min(room.traffic);
        if connections_max < plan.connections_max {
            tracing::info!(
                connections_max,
                "the limit of open descriptors allows no more"
            );
        }
        let gateway = Gateway::start(GatewayConfig {
            connections_max,
            state_directory: plan.state_directory,
            journal_capacity: plan.evidence_capacity,
            metrics: telemetry.metrics(),
            tracer: telemetry.tracer(&plan.service),
            access_log: tracing::enabled!(target: ACCESS_LOG, tracing::Level::INFO),
            give_memory_back: Some(crate::memory::give_back),
            ..config
        });
        let gateway = gateway.map_err(|error| {
            Failure::new(
                Exit::Internal,
                format!("could not start the data plane: {error}"),
            )
        })?;
        let metrics = telemetry.metrics();
        let ops = Ops::new(writer, gateway.handle(), &metrics, plan.settings.audit);
        let armed = plan.wanted.faults.len();
        let routes = ops
            .load(&plan.wanted, Caller::of("file"))
            .map_err(|error| Failure::chain(Exit::Usage, &error))?;
        let asks_for_a_token = plan.settings.token.is_some();
        let api = ControlApi::start(ControlConfig {
            listen: plan.control,
            insecure: plan.insecure,
            token: plan.settings.token,
            read_token: plan.settings.read_token,
            allow_hosts: plan.allow_hosts,
            tls: plan.settings.tls,
            connections_max: room.control,
            ops: ops.clone(),
            metrics,
            tracer: telemetry.tracer(&plan.service),
        });
        let api = api.map_err(|error| Failure::chain(Exit::Usage, &error))?;
        if !plan.settings.allow_upstream {
            let reserved = gateway.handle().reserve(api.address());
            reserved.map_err(|error| {
                let why = format!(
                    "{error}: it is the control API; give --allow-control-upstream if that is meant"
                );
                Failure::new(Exit::Usage, why)
            })?;
        }
        Ok(Self {
            api,
            ops,
            gateway,
            telemetry,
            routes,
            armed,
            asks_for_a_token,
            drain: plan.drain,
        })
    }

    pub(crate) fn control(&self) -> SocketAddr {
        self.api.address()
    }

    /// Whether callers of the control API need a token.
    pub(crate) fn asks_for_a_token(&self) -> bool {
        self.asks_for_a_token
    }

    /// The beginning of the control API's URL.
    pub(crate) fn control_scheme(&self) -> &'static str {
        self.api.scheme()
    }

    /// The file by which clients can trust the control API, where that speaks TLS; they may run in another directory.
    pub(crate) fn control_ca(&self) -> Option<PathBuf> {
        let path = self.api.trust_file()?;
        Some(std::path::absolute(&path).unwrap_or(path))
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

    /// TLS of other listeners of this process, with certificates of the local authority.
    pub(crate) fn own_tls(&self) -> Result<ServedTls, Failure> {
        let chain = |error: RouteError| Failure::chain(Exit::Usage, &error);
        let own = ListenerTls::load(ListenerTlsOptions::Own);
        let own = own.map_err(|error| chain(RouteError::Tls(error)))?;
        self.gateway.handle().serve_tls(own).map_err(chain)
    }

    /// Makes one more route.
    pub(crate) fn add_route(&mut self, route: NewRoute) -> Result<RouteStatus, Failure> {
        let added = self.ops.add_route(route, Caller::of("demo"));
        let status = added.map_err(|error| Failure::chain(Exit::Internal, &error))?;
        self.routes.push(status.clone());
        Ok(status)
    }

    /// Does what a signal asks for, where there is no file to read again.
    pub(crate) fn obey(&self, order: Order) {
        match order {
            Order::Halt => self.halt(),
            Order::Reload => tracing::warn!("there is no file to read again"),
        }
    }

    /// Removes every fault.
    pub(crate) fn halt(&self) {
        drop(self.ops.halt(None, Caller::of("signal")));
    }

    /// Does what has changed in what is wanted and shows other certificates of the control API, all or nothing.
    pub(crate) fn reload(
        &self,
        wanted: &Wanted,
        control_tls: Option<ListenerTls>,
    ) -> Result<Reloaded, OpError> {
        let served = self.api.prepare_tls(control_tls)?;
        let reloaded = self.ops.reload(wanted, Caller::of("file"))?;
        if let Some(served) = served {
            self.api.renew(served);
            tracing::warn!("the control API shows other certificates from now on");
        }
        Ok(reloaded)
    }

    /// Removes all faults, letting go what they hold, and lets no other be armed.
    pub(crate) fn remove_all_faults(&self) {
        drop(self.ops.disarm_for_good());
    }

    /// Removes all faults, lets requests end, stops the API, and sends the last spans and metrics. Blocks.
    pub(crate) fn stop(self) {
        self.remove_all_faults();
        self.gateway.drain(self.drain);
        self.api.stop();
        self.ops.flush_audit();
        if let Err(error) = self.telemetry.shutdown(FLUSH) {
            tracing::warn!(%error, "not all telemetry was sent");
        }
    }
}

/// How many connections there are descriptors for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// Connections of clients: each needs one descriptor, and one more for its upstream.
    traffic: usize,
    /// Connections of the control API: one descriptor each.
    control: usize,
}

impl Room {
    /// Some are kept back for what `cores` need besides, and so that the control API answers whatever the data plane is
    /// doing.
    fn of(descriptors: u64, cores: usize) -> Self {
        /// Descriptors for listeners, telemetry and files.
        const KEPT_BACK: usize = 64;
        const TRAFFIC_MIN: usize = 16;
        const CONTROL_MIN: usize = 16;
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let control = (descriptors / 8).clamp(CONTROL_MIN, ControlConfig::CONNECTIONS_MAX);
        let of_cores = cores.saturating_mul(GatewayConfig::CORE_DESCRIPTORS);
        let kept_back = KEPT_BACK.saturating_add(control).saturating_add(of_cores);
        Self {
            traffic: (descriptors.saturating_sub(kept_back) / 2).max(TRAFFIC_MIN),
            control,
        }
    }
}

/// How many descriptors the process may have. The default of many systems is but 1,024; the limit is raised as far as it
/// may be.
fn descriptors() -> u64 {
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
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_and_the_control_api_share_the_descriptors() {
        for (descriptors, control) in [(256, 32), (1_024, 128), (20_000, 256), (u64::MAX, 256)] {
            let room = Room::of(descriptors, 2);
            assert_eq!(room.control, control);
            let taken = room.traffic.saturating_mul(2).saturating_add(control);
            assert!(taken as u64 <= descriptors, "{descriptors}: {room:?}");
        }
    }
}
