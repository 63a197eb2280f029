//! The library: a gate before a primary and a fallback book service, with a proxy route before each of the two.

use std::{convert::Infallible, net::SocketAddr};

use brownout_resilience::Policy;
use brownout_telemetry::Telemetry;
use demo_services::library::{
    DatabaseUrl, GateName, LibraryConfig, LibraryRole, LibraryService, LibraryStartError, Running,
    start,
};
use futures_util::future::select_all;

use crate::{
    args::{DatabaseArgs, GateArgs},
    demo_proxy::{DemoProxy, ended},
    exit::{Exit, Failure},
    policy,
};

/// What the library is made of.
pub(crate) struct LibraryPlan {
    pub(crate) control: String,
    pub(crate) seed: u64,
    pub(crate) books: DatabaseUrl,
    pub(crate) gate: GateArgs,
    /// What is changed in every policy of the gate.
    pub(crate) change_policy: Option<PolicyChange>,
    /// Whether services and routes prefer the ports the README shows, where those are free.
    pub(crate) usual_ports: bool,
}

/// A change of a policy.
pub(crate) type PolicyChange = Box<dyn Fn(&mut Policy) + Send>;

/// The running library.
#[derive(Debug)]
pub(crate) struct LibrarySystem {
    pub(crate) proxy: DemoProxy,
    primary: Running,
    fallback: Running,
    gate: Running,
    gate_args: GateArgs,
}

/// The routes before the book services.
pub(crate) const PRIMARY_ROUTE: &str = "primary";
pub(crate) const FALLBACK_ROUTE: &str = "fallback";

impl LibrarySystem {
    /// Starts the book services, each behind its route, and then the gate.
    pub(crate) async fn start(plan: LibraryPlan, telemetry: Telemetry) -> Result<Self, Failure> {
        let mut proxy = DemoProxy::start(&plan.control, plan.seed, plan.usual_ports, telemetry)?;
        let primary = LibraryConfig::primary(plan.books.clone());
        let primary = start_service(&proxy, primary, plan.seed).await?;
        let fallback = LibraryConfig::fallback(plan.books);
        let fallback = start_service(&proxy, fallback, plan.seed).await?;
        let to_primary = proxy.add_route(PRIMARY_ROUTE, primary.address(), 9111)?;
        let to_fallback = proxy.add_route(FALLBACK_ROUTE, fallback.address(), 9112)?;
        let gate = LibraryConfig::gate(
            format!("http://{}", to_primary.listen),
            format!("http://{}", to_fallback.listen),
        );
        let mut gate = with_policies(gate, &plan.gate)?;
        if let (Some(change), LibraryRole::Gate { policies, .. }) =
            (&plan.change_policy, &mut gate.role)
        {
            policies.iter_mut().for_each(change);
        }
        let gate = start_service(&proxy, gate, plan.seed).await?;
        Ok(Self {
            proxy,
            primary,
            fallback,
            gate,
            gate_args: plan.gate,
        })
    }

    /// Follows the files of the gate's policies.
    pub(crate) async fn follow_policies(&self) -> Infallible {
        follow_policies(&self.gate, &self.gate_args).await
    }

    /// Where a service listens.
    pub(crate) fn address(&self, service: LibraryService) -> SocketAddr {
        match service {
            LibraryService::Gate => self.gate.address(),
            LibraryService::Primary => self.primary.address(),
            LibraryService::Fallback => self.fallback.address(),
        }
    }

    /// Removes all faults, lets the services end from the front to the back, then stops the proxy.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.proxy.instance.remove_all_faults();
        for running in [self.gate, self.primary, self.fallback] {
            ended(running.service(), |grace| running.shutdown(grace)).await;
        }
        self.proxy.stop().await
    }
}

async fn start_service(
    proxy: &DemoProxy,
    mut config: LibraryConfig,
    seed: u64,
) -> Result<Running, Failure> {
    let service = config.service();
    config.seed = seed;
    config.metrics = proxy.instance.telemetry().metrics();
    config.tracer = proxy.instance.telemetry().tracer(service.as_str());
    let start = async |port| {
        let mut config = config.clone();
        config.listen.set_port(port);
        start(config).await
    };
    let listening = |error: &LibraryStartError| match error {
        LibraryStartError::Listen { source, .. } => Some(source.kind()),
        _ => None,
    };
    proxy
        .start_service(usual_port(service), start, listening)
        .await
}

const fn usual_port(service: LibraryService) -> u16 {
    match service {
        LibraryService::Gate => 9010,
        LibraryService::Primary => 9011,
        LibraryService::Fallback => 9012,
    }
}

/// The database that a user named, or the usual file.
pub(crate) fn database(args: &DatabaseArgs) -> Result<DatabaseUrl, Failure> {
    let database = args.database.as_deref().unwrap_or(DatabaseArgs::DEFAULT);
    database
        .parse()
        .map_err(|error| Failure::chain(Exit::Usage, &error))
}

/// Follows the files of the policies that a user named, and protects the gate by what they become.
pub(crate) async fn follow_policies(gate: &Running, args: &GateArgs) -> Infallible {
    let files = args.policies.iter().filter_map(|word| {
        let (name, file) = word.split_once('=')?;
        let name: GateName = name.parse().ok()?;
        let present = policy::find(file).ok()?;
        let take = move |policy: Policy| gate.use_policy(name, &policy);
        Some(Box::pin(policy::follow(file, present, take)))
    });
    let files: Vec<_> = files.collect();
    if files.is_empty() {
        return std::future::pending().await;
    }
    select_all(files).await.0
}

/// The gate with the policies that a user named.
pub(crate) fn with_policies(
    mut config: LibraryConfig,
    args: &GateArgs,
) -> Result<LibraryConfig, Failure> {
    let LibraryRole::Gate { policies, .. } = &mut config.role else {
        return Ok(config);
    };
    for word in &args.policies {
        let (name, policy) = word.split_once('=').ok_or_else(|| {
            let message = format!("`--gate-policy {word}` is not of the form GATE=FILE");
            Failure::new(Exit::Usage, message)
        })?;
        let gate = name.parse::<GateName>();
        let gate = gate.map_err(|error| Failure::chain(Exit::Usage, &error))?;
        policies[gate as usize] = policy::find(policy)?;
    }
    Ok(config)
}
