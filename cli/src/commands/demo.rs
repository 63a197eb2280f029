//! `brownout demo`: see an outage.

use std::collections::BTreeMap;

use brownout_control_api::ControlConfig;
use demo_services::Service;
use serde_json::json;

use crate::{
    args::{DemoArgs, Output},
    demo_system::{DemoPlan, DemoSystem, HOPS},
    exit::{Exit, Failure},
    house::start_telemetry,
    policy, show,
    signals::Stop,
};

pub(crate) async fn run(args: DemoArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let policy = policy::find(&args.policy)?;
    let telemetry = start_telemetry(args.telemetry.statsd, args.telemetry.otlp)?;
    let plan = DemoPlan {
        control: args.control,
        seed: args.seed,
        policy: policy.clone(),
        usual_ports: true,
    };
    let system = DemoSystem::start(plan, telemetry).await?;
    match args.output {
        Output::Text => announce(&system, &args.policy),
        Output::Json => announce_json(&system),
    }
    let take = |policy| system.use_policy(policy);
    tokio::select! {
        () = stop.asked() => {}
        never = policy::follow(&args.policy, policy, take) => match never {},
    }
    system.stop().await?;
    Ok(Exit::Ok)
}

fn announce(system: &DemoSystem, policy: &str) {
    let homepage = system.address(Service::Homepage);
    let control = system.house.control();
    let ask = format!("curl -s -H 'Authorization: Token 0x132' http://{homepage}/");
    show::heading(&format!("brownout {}: the demo", env!("CARGO_PKG_VERSION")));
    println!();
    println!("  you -> homepage                     http://{homepage}  (policy {policy})");
    for hop in &HOPS {
        let (Some(route), upstream) = (system.route(hop.route), system.address(hop.upstream))
        else {
            continue;
        };
        println!(
            "  {:<35} http://{} -> http://{upstream}  (route {})",
            format!("{} -> {}", hop.caller, hop.upstream),
            route.listen,
            route.name
        );
    }
    println!("  {:<35} http://{control}", "control API");
    println!();
    println!("a request, an outage of recommendations, and its end; ask again after each:");
    println!("  {ask}");
    println!(
        "  curl -s -X POST http://{control}/faults -d '{{\"route\":\"recommendations\",\"reset\":{{}}}}'"
    );
    println!("  curl -s -X DELETE http://{control}/faults");
    println!();
    let flag = match control.to_string() {
        usual if usual == ControlConfig::LISTEN => String::new(),
        other => format!(" --control {other}"),
    };
    println!("see what is armed: brownout fault ls{flag}");
    println!("Ctrl-C stops it.");
}

fn announce_json(system: &DemoSystem) {
    let routes: BTreeMap<&str, String> = system
        .house
        .routes()
        .iter()
        .map(|route| (route.name.as_str(), route.listen.to_string()))
        .collect();
    let services: BTreeMap<&str, String> = Service::ALL
        .iter()
        .map(|service| (service.as_str(), system.address(*service).to_string()))
        .collect();
    let ready = json!({
        "event": "ready",
        "control": system.house.control().to_string(),
        "routes": routes,
        "services": services,
    });
    println!("{ready}");
}
