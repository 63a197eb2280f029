//! What every demo stands on: a proxy with its control API, and a route before each upstream.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, ErrorKind::AddrInUse},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use brownout_control_api::{ControlConfig, new_route};
use brownout_proxy::{NewRoute, RouteStatus};
use brownout_telemetry::Telemetry;
use brownout_wire::{ListenerTlsSpec, Protocol, RouteSpec, UpstreamTlsSpec};
use demo_services::{ServiceTls, ShutdownTimeout};
use serde_json::json;

use crate::{
    control_settings::ControlSettings,
    exit::{Exit, Failure},
    instance::{Instance, Plan},
};

/// How long the services' requests in progress may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// The proxy of a demo, with its control API.
#[derive(Debug)]
pub(crate) struct DemoProxy {
    pub(crate) instance: Instance,
    /// Whether services and routes prefer the ports the README shows, where those are free.
    usual_ports: bool,
    tls: Option<DemoTls>,
}

/// TLS of all hops.
#[derive(Debug)]
struct DemoTls {
    services: ServiceTls,
    /// By which everybody trusts everybody else.
    trust_file: PathBuf,
}

impl DemoProxy {
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
            instance: Instance::start(plan, telemetry)?,
            usual_ports,
            tls: None,
        })
    }

    /// Has routes and services that are made from now on speak HTTP/2 in TLS, with certificates of the local authority.
    pub(crate) fn use_tls(&mut self) -> Result<(), Failure> {
        let served = self.instance.own_tls()?;
        let trust_file = served.trust_file().to_owned();
        let config = (served.config_with_http2(None))
            .map_err(|error| Failure::chain(Exit::Internal, &error))?;
        let services = ServiceTls::new(config, &trust_file)
            .map_err(|error| Failure::chain(Exit::Internal, &error))?;
        self.tls = Some(DemoTls {
            services,
            trust_file,
        });
        Ok(())
    }

    /// Of the URLs of routes and services.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls {
            None => "http",
            Some(_) => "https",
        }
    }

    /// TLS of a service, if it has that.
    pub(crate) fn service_tls(&self) -> Option<ServiceTls> {
        self.tls.as_ref().map(|tls| tls.services.clone())
    }

    /// The PEM file by which routes and services can be trusted, if they speak TLS.
    pub(crate) fn trust_file(&self) -> Option<&Path> {
        self.tls.as_ref().map(|tls| tls.trust_file.as_path())
    }

    /// Makes a route to a service, at its usual port if that is free.
    pub(crate) fn add_route(
        &mut self,
        name: &str,
        upstream: SocketAddr,
        usual_port: u16,
    ) -> Result<RouteStatus, Failure> {
        let upstream = format!("{}://{upstream}", self.scheme());
        let trust_file = self.trust_file().map(|file| file.display().to_string());
        let route = |port: u16| -> Result<NewRoute, Failure> {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
            let mut spec = RouteSpec::new(name, listen, &upstream);
            if let Some(file) = &trust_file {
                spec.protocol = Some(Protocol::H2);
                spec.tls = Some(ListenerTlsSpec::Own);
                spec.upstream_tls = Some(UpstreamTlsSpec {
                    ca: Some(file.clone()),
                    ..UpstreamTlsSpec::default()
                });
            }
            new_route(&spec).map_err(|problems| {
                let told = problems.first().map(ToString::to_string);
                Failure::new(Exit::Internal, told.unwrap_or_default())
            })
        };
        if self.usual_ports
            && let Ok(status) = self.instance.add_route(route(usual_port)?)
        {
            return Ok(status);
        }
        self.instance.add_route(route(0)?)
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
        self.instance
            .routes()
            .iter()
            .find(|route| route.name == name)
    }

    /// Prints a route as a hop of the map.
    pub(crate) fn announce_hop(&self, hop: impl fmt::Display, route: &str, upstream: SocketAddr) {
        if let Some(route) = self.route(route) {
            let (listen, name, scheme) = (&route.listen, &route.name, self.scheme());
            announce(
                hop,
                format_args!("{scheme}://{listen} -> {scheme}://{upstream}  (route {name})"),
            );
        }
    }

    /// Prints one object with all addresses.
    pub(crate) fn announce_json(&self, services: &[(&str, SocketAddr)]) {
        let routes = self.instance.routes().iter();
        let routes = routes.map(|route| (route.name.as_str(), route.listen.to_string()));
        let services = services.iter();
        let services = services.map(|(name, address)| (*name, address.to_string()));
        let mut ready = json!({
            "event": "ready",
            "control": self.instance.control().to_string(),
            "routes": routes.collect::<BTreeMap<_, _>>(),
            "services": services.collect::<BTreeMap<_, _>>(),
        });
        if let Some(file) = self.trust_file() {
            ready["trust_file"] = json!(file);
        }
        println!("{ready}");
    }

    /// Prints the last lines of an announcement.
    pub(crate) fn announce_end(&self) {
        let flag = match self.instance.control().to_string() {
            usual if usual == ControlConfig::LISTEN => String::new(),
            other => format!(" --control {other}"),
        };
        println!();
        println!("see what is armed: brownout fault ls{flag}");
        println!("Ctrl-C stops it.");
    }

    /// Stops the proxy, once the services have ended.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let instance = self.instance;
        let stopped = tokio::task::spawn_blocking(move || instance.stop()).await;
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
