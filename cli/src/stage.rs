//! What every demo stands on: a proxy with its control API, and a route before each upstream.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, ErrorKind::AddrInUse},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use brownout_control_api::{ControlConfig, new_route};
use brownout_proxy::{NewRoute, RouteStatus};
use brownout_telemetry::Telemetry;
use brownout_wire::RouteSpec;
use demo_services::ShutdownTimeout;
use serde_json::json;

use crate::{
    control_settings::ControlSettings,
    exit::{Exit, Failure},
    house::{House, Plan},
};

/// How long the services' requests in progress may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// The proxy of a demo, with its control API.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) house: House,
    /// Whether services and routes prefer the ports the README shows, where those are free.
    usual_ports: bool,
}

impl Stage {
    pub(crate) fn start(
        control: &str,
        seed: u64,
        usual_ports: bool,
        telemetry: Telemetry,
    ) -> Result<Self, Failure> {
        let service = Plan::SERVICE.to_owned();
        let plan = Plan {
            seed,
            ..Plan::of_own(control, ControlSettings::open(), service)
        };
        Ok(Self {
            house: House::start(plan, telemetry)?,
            usual_ports,
        })
    }

    /// Makes a route to a service, at its usual port if that is free.
    pub(crate) fn add_route(
        &mut self,
        name: &str,
        upstream: SocketAddr,
        usual_port: u16,
    ) -> Result<RouteStatus, Failure> {
        let route = |port: u16| -> Result<NewRoute, Failure> {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
            let spec = RouteSpec::new(name, listen, format!("http://{upstream}"));
            new_route(&spec).map_err(|problems| {
                let told = problems.first().map(ToString::to_string);
                Failure::new(Exit::Internal, told.unwrap_or_default())
            })
        };
        if self.usual_ports
            && let Ok(status) = self.house.add_route(route(usual_port)?)
        {
            return Ok(status);
        }
        self.house.add_route(route(0)?)
    }

    /// Starts a service with `start`, at its usual port if that is free. `listening` says why a start could not listen.
    pub(crate) async fn start_service<S, E: std::error::Error + 'static>(
        &self,
        usual_port: u16,
        mut start: impl AsyncFnMut(u16) -> Result<S, E>,
        listening: impl FnOnce(&E) -> Option<io::ErrorKind>,
    ) -> Result<S, Failure> {
        let port = if self.usual_ports { usual_port } else { 0 };
        let started = match start(port).await {
            Err(error) if port != 0 && listening(&error) == Some(AddrInUse) => start(0).await,
            other => other,
        };
        started.map_err(|error| Failure::chain(Exit::Usage, &error))
    }

    /// The route of this name.
    pub(crate) fn route(&self, name: &str) -> Option<&RouteStatus> {
        self.house.routes().iter().find(|route| route.name == name)
    }

    /// Prints a route as a hop of the map.
    pub(crate) fn announce_hop(&self, hop: impl fmt::Display, route: &str, upstream: SocketAddr) {
        if let Some(route) = self.route(route) {
            let (listen, name) = (&route.listen, &route.name);
            announce(
                hop,
                format_args!("http://{listen} -> http://{upstream}  (route {name})"),
            );
        }
    }

    /// Prints one object with all addresses.
    pub(crate) fn announce_json(&self, services: &[(&str, SocketAddr)]) {
        let routes = self.house.routes().iter();
        let routes = routes.map(|route| (route.name.as_str(), route.listen.to_string()));
        let services = services.iter();
        let services = services.map(|(name, address)| (*name, address.to_string()));
        let ready = json!({
            "event": "ready",
            "control": self.house.control().to_string(),
            "routes": routes.collect::<BTreeMap<_, _>>(),
            "services": services.collect::<BTreeMap<_, _>>(),
        });
        println!("{ready}");
    }

    /// Prints the last lines of an announcement.
    pub(crate) fn announce_end(&self) {
        let flag = match self.house.control().to_string() {
            usual if usual == ControlConfig::LISTEN => String::new(),
            other => format!(" --control {other}"),
        };
        println!();
        println!("see what is armed: brownout fault ls{flag}");
        println!("Ctrl-C stops it.");
    }

    /// Stops the proxy, once the services have ended.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let house = self.house;
        let stopped = tokio::task::spawn_blocking(move || house.stop()).await;
        stopped.map_err(|error| Failure::new(Exit::Internal, error))
    }
}

/// Prints a line of the map.
pub(crate) fn announce(what: impl fmt::Display, at: impl fmt::Display) {
    println!("  {:<35} {at}", what.to_string());
}

/// Waits for the end of a service.
pub(crate) async fn ended<F>(service: impl fmt::Display, shutdown: impl FnOnce(Duration) -> F)
where
    F: Future<Output = Result<(), ShutdownTimeout>>,
{
    if let Err(error) = shutdown(GRACE).await {
        tracing::warn!(%error, %service, "cut what did not end in time");
    }
}
