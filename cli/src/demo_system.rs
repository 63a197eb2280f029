//! The demo system: four services, with a proxy route before each upstream.

use std::{collections::BTreeMap, net::SocketAddr};

use brownout_resilience::{InvalidPolicy, Policy};
use brownout_telemetry::Telemetry;
use demo_services::{Running, Service, ServiceConfig, StartError, start};

use crate::{
    demo_proxy::{DemoProxy, ended},
    exit::Failure,
};

/// What the demo is made of.
#[derive(Debug)]
pub(crate) struct DemoPlan {
    pub(crate) control: String,
    pub(crate) seed: u64,
    /// The homepage's; recommendations has none, as in the original.
    pub(crate) policy: Policy,
    /// Whether services and routes prefer the ports the README shows, where those are free.
    pub(crate) usual_ports: bool,
    /// Whether every hop speaks HTTP/2 in TLS.
    pub(crate) tls: bool,
}

/// The running demo.
#[derive(Debug)]
pub(crate) struct DemoSystem {
    pub(crate) proxy: DemoProxy,
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
        let mut system = Self {
            proxy: DemoProxy::start(&plan.control, plan.seed, plan.usual_ports, telemetry)?,
            services: BTreeMap::new(),
        };
        if plan.tls {
            system.proxy.use_tls()?;
        }
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
            let upstream = self.address(hop.upstream);
            let route = self.proxy.add_route(hop.route, upstream, hop.listen_port)?;
            config = config.calling(
                hop.upstream,
                format!("{}://{}", self.proxy.scheme(), route.listen),
            );
        }
        if service == Service::Homepage {
            config.policy = plan.policy.clone();
        }
        config.tls = self.proxy.service_tls();
        config.seed = plan.seed;
        config.metrics = self.proxy.instance.telemetry().metrics();
        config.tracer = self.proxy.instance.telemetry().tracer(service.as_str());
        let start = async |port| {
            let mut config = config.clone();
            config.listen.set_port(port);
            start(config).await
        };
        let taken = |error: &StartError| match error {
            StartError::Listen { source, .. } => Some(source.kind()),
            _ => None,
        };
        let running = self
            .proxy
            .start_service(usual_port(service), start, taken)
            .await?;
        self.services.insert(service, running);
        Ok(())
    }

    /// Protects the homepage by another policy from now on.
    pub(crate) fn use_policy(&self, policy: Policy) -> Result<(), InvalidPolicy> {
        self.services[&Service::Homepage].use_policy(policy)
    }

    /// Where a service listens.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        self.services[&service].address()
    }

    /// Removes all faults, lets the services end from the front to the back, then stops the proxy.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.proxy.instance.remove_all_faults();
        for service in [
            Service::Homepage,
            Service::Recommendations,
            Service::PopularItems,
            Service::Authentication,
        ] {
            if let Some(running) = self.services.remove(&service) {
                ended(service, |grace| running.shutdown(grace)).await;
            }
        }
        self.proxy.stop().await
    }
}
