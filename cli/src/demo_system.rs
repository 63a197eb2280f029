//! The demo system: four services, with a proxy route before each upstream.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use brownout_control_api::new_route;
use brownout_proxy::{GatewayConfig, NewRoute, RouteStatus};
use brownout_resilience::{InvalidPolicy, Policy};
use brownout_telemetry::Telemetry;
use brownout_wire::{Protocol, RouteSpec};
use demo_services::{Running, Service, ServiceConfig, StartError, start};

use crate::{
    exit::{Exit, Failure},
    house::{House, Plan},
};

/// How long the services' requests in progress may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// What the demo is made of.
#[derive(Debug)]
pub(crate) struct DemoPlan {
    pub(crate) control: String,
    pub(crate) seed: u64,
    /// The homepage's; recommendations has none, as in the original.
    pub(crate) policy: Policy,
    /// Whether services and routes prefer the ports the README shows, where those are free.
    pub(crate) usual_ports: bool,
}

/// The running demo.
#[derive(Debug)]
pub(crate) struct DemoSystem {
    pub(crate) house: House,
    services: BTreeMap<Service, Running>,
}

/// A hop: who calls whom through which route.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) caller: Service,
    pub(crate) upstream: Service,
    pub(crate) route: &'static str,
    listen_port: u16,
}

/// All hops, in the order in which a page makes its calls.
pub(crate) const HOPS: [Hop; 4] = [
    hop(
        Service::Homepage,
        Service::Authentication,
        "authentication",
        9101,
    ),
    hop(
        Service::Homepage,
        Service::Recommendations,
        "recommendations",
        9103,
    ),
    hop(
        Service::Recommendations,
        Service::Authentication,
        "recommendations-authentication",
        9104,
    ),
    hop(
        Service::Homepage,
        Service::PopularItems,
        "popular-items",
        9102,
    ),
];

const fn hop(caller: Service, upstream: Service, route: &'static str, listen_port: u16) -> Hop {
    Hop {
        caller,
        upstream,
        route,
        listen_port,
    }
}

const fn usual_port(service: Service) -> u16 {
    match service {
        Service::Homepage => 9000,
        Service::Authentication => 9001,
        Service::PopularItems => 9002,
        Service::Recommendations => 9003,
    }
}

impl DemoSystem {
    /// Starts the upstreams before those who call them, each behind its routes.
    pub(crate) async fn start(plan: DemoPlan, telemetry: Telemetry) -> Result<Self, Failure> {
        let house = House::start(
            Plan {
                control: plan.control.clone(),
                insecure: false,
                allow_hosts: Vec::new(),
                seed: plan.seed,
                connections_max: GatewayConfig::CONNECTIONS_MAX,
                routes: Vec::new(),
                faults: Vec::new(),
            },
            telemetry,
        )?;
        let mut system = Self {
            house,
            services: BTreeMap::new(),
        };
        for service in [
            Service::Authentication,
            Service::PopularItems,
            Service::Recommendations,
            Service::Homepage,
        ] {
            system.start_service(service, &plan).await?;
        }
        Ok(system)
    }

    async fn start_service(&mut self, service: Service, plan: &DemoPlan) -> Result<(), Failure> {
        let mut config = ServiceConfig::new(service);
        for hop in HOPS.iter().filter(|hop| hop.caller == service) {
            let route = self.add_route(hop, plan)?;
            config = config.calling(hop.upstream, format!("http://{}", route.listen));
        }
        if service == Service::Homepage {
            config.policy = plan.policy.clone();
        }
        config.seed = plan.seed;
        config.metrics = self.house.telemetry().metrics();
        config.tracer = self.house.telemetry().tracer(service.as_str());
        config.listen.set_port(if plan.usual_ports {
            usual_port(service)
        } else {
            0
        });
        let running = match start(config.clone()).await {
            Err(StartError::Listen { source, .. }) if is_taken(&source) => {
                config.listen.set_port(0);
                start(config).await
            }
            other => other,
        };
        let running = running.map_err(|error| Failure::chain(Exit::Internal, &error))?;
        self.services.insert(service, running);
        Ok(())
    }

    fn add_route(&mut self, hop: &Hop, plan: &DemoPlan) -> Result<RouteStatus, Failure> {
        let upstream = self.address(hop.upstream);
        let route = |port: u16| -> Result<NewRoute, Failure> {
            let spec = RouteSpec {
                name: hop.route.to_owned(),
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string(),
                upstream: format!("http://{upstream}"),
                protocol: Protocol::Http,
                enabled: true,
            };
            new_route(&spec).map_err(|problems| {
                let told = problems.first().map(ToString::to_string);
                Failure::new(Exit::Internal, told.unwrap_or_default())
            })
        };
        if plan.usual_ports
            && let Ok(status) = self.house.add_route(route(hop.listen_port)?)
        {
            return Ok(status);
        }
        self.house.add_route(route(0)?)
    }

    /// Protects the homepage by another policy from now on.
    pub(crate) fn use_policy(&self, policy: Policy) -> Result<(), InvalidPolicy> {
        self.services[&Service::Homepage].use_policy(policy)
    }

    /// Where a service listens.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        self.services[&service].address()
    }

    /// The route of a hop.
    pub(crate) fn route(&self, name: &str) -> Option<&RouteStatus> {
        self.house.routes().iter().find(|route| route.name == name)
    }

    /// Removes all faults, lets the services end from the front to the back, then stops the proxy.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.house.remove_all_faults();
        for service in [
            Service::Homepage,
            Service::Recommendations,
            Service::PopularItems,
            Service::Authentication,
        ] {
            if let Some(running) = self.services.remove(&service)
                && let Err(error) = running.shutdown(GRACE).await
            {
                tracing::warn!(%error, %service, "cut what did not end in time");
            }
        }
        let house = self.house;
        let stopped = tokio::task::spawn_blocking(move || house.stop()).await;
        stopped.map_err(|error| Failure::new(Exit::Internal, error))
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}
