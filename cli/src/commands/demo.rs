//! `brownout demo`: see an outage.

use demo_services::Service;

use super::demo_library;
use crate::{
    args::{DemoArgs, DemoStory, Output},
    demo_proxy::announce,
    demo_system::{DemoPlan, DemoSystem, HOPS},
    exit::{Exit, Failure},
    policy, show,
    signals::Stop,
    telemetry::{self, TelemetryFile},
};

pub(crate) async fn run(args: DemoArgs) -> Result<Exit, Failure> {
    if let Some(DemoStory::Library(args)) = args.story {
        return demo_library::run(args).await;
    }
    let stop = Stop::listen()?;
    let policy = policy::find(&args.policy)?;
    let telemetry = telemetry::start(args.telemetry, TelemetryFile::default())?.of_many();
    let plan = DemoPlan {
        control: args.control,
        seed: args.seed,
        policy: policy.clone(),
        usual_ports: true,
        tls: args.tls,
    };
    let system = DemoSystem::start(plan, telemetry).await?;
    match args.output {
        Output::Text => announce_text(&system, &args.policy),
        Output::Json => announce_json(&system),
    }
    let take = |policy| system.use_policy(policy);
    tokio::select! {
        _ = stop.asked_while(|order| system.proxy.instance.obey(order)) => {}
        never = policy::follow(&args.policy, policy, take) => match never {},
    }
    system.stop().await?;
    Ok(Exit::Ok)
}

fn announce_text(system: &DemoSystem, policy: &str) {
    let homepage = system.address(Service::Homepage);
    let proxy = &system.proxy;
    let control = proxy.instance.control();
    let scheme = proxy.scheme();
    let trusts = match proxy.trust_file() {
        None => String::new(),
        Some(file) => format!(" --cacert {}", file.display()),
    };
    let ask = format!("curl -s{trusts} -H 'Authorization: Token 0x132' {scheme}://{homepage}/");
    show::heading(&format!("brownout {}: the demo", env!("CARGO_PKG_VERSION")));
    println!();
    announce(
        "you -> homepage",
        format_args!("{scheme}://{homepage}  (policy {policy})"),
    );
    for hop in &HOPS {
        let path = format!("{} -> {}", hop.caller, hop.upstream);
        proxy.announce_hop(path, hop.route, system.address(hop.upstream));
    }
    announce("control API", format_args!("http://{control}"));
    println!();
    println!("a request, an outage of recommendations, and its end; ask again after each:");
    println!("  {ask}");
    println!(
        "  curl -s -X POST http://{control}/faults -d '{{\"route\":\"recommendations\",\"reset\":{{}}}}'"
    );
    println!("  curl -s -X DELETE http://{control}/faults");
    proxy.announce_end();
}

fn announce_json(system: &DemoSystem) {
    let services = Service::ALL.map(|service| (service.as_str(), system.address(service)));
    system.proxy.announce_json(&services);
}
