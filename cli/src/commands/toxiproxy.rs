//! `brownout toxiproxy-server` and `brownout import`: in the place of Toxiproxy.

use brownout_control_api::{Wanted, proxy_route};
use brownout_proxy::{GatewayConfig, NewRoute};

use super::proxy::new_seed;
use crate::{
    args::{ImportArgs, TelemetryArgs, ToxiproxyArgs},
    control_settings::ControlSettings,
    exit::{Exit, Failure},
    instance::{Instance, Plan},
    signals::Stop,
    telemetry::{self, TelemetryFile},
    toxiproxy_file::{self, ProxyEntry},
};

pub(crate) async fn serve(args: ToxiproxyArgs) -> Result<Exit, Failure> {
    if args.version {
        println!(
            "toxiproxy-server version {}",
            brownout_control_api::TOXIPROXY_VERSION
        );
        return Ok(Exit::Ok);
    }
    let entries = match &args.config {
        Some(path) => toxiproxy_file::read(path)?,
        None => Vec::new(),
    };
    let routes: Result<Vec<NewRoute>, Failure> = entries.iter().map(route).collect();
    let stop = Stop::listen()?;
    let started = telemetry::start(TelemetryArgs::default(), TelemetryFile::default())?;
    let (telemetry, service) = started.of_one(Plan::SERVICE);
    let host = match args.host.as_str() {
        // As the original listens.
        "localhost" => "127.0.0.1".to_owned(),
        ip if ip.contains(':') => format!("[{}]", ip.trim_matches(['[', ']'])),
        host => host.to_owned(),
    };
    let plan = Plan {
        state_directory: None,
        control: format!("{host}:{}", args.port),
        insecure: true,
        settings: ControlSettings::open(),
        allow_hosts: vec!["*".to_owned()],
        seed: args.seed.map_or_else(new_seed, i64::cast_unsigned),
        connections_max: GatewayConfig::CONNECTIONS_MAX,
        drain: Plan::DRAIN,
        evidence_capacity: GatewayConfig::JOURNAL_CAPACITY,
        wanted: Wanted {
            routes: routes?,
            faults: Vec::new(),
        },
        service,
    };
    let instance = Instance::start(plan, telemetry)?;
    println!("the API of Toxiproxy is at http://{}", instance.control());
    for route in instance.routes() {
        println!(
            "  proxy {:<16} {} -> {}",
            route.name, route.listen, route.upstream
        );
    }
    stop.asked_while(|order| instance.obey(order)).await;
    instance.stop();
    Ok(Exit::Ok)
}

fn route(entry: &ProxyEntry) -> Result<NewRoute, Failure> {
    proxy_route(&entry.name, entry.listen(), &entry.upstream, entry.enabled)
        .map_err(|why| Failure::new(Exit::Usage, format!("proxy `{}`: {why}", entry.name)))
}

/// Prints the proxies of a file as one of ours.
pub(crate) fn import(args: &ImportArgs) -> Result<Exit, Failure> {
    let entries = toxiproxy_file::read(&args.file)?;
    let mut names: Vec<String> = Vec::new();
    for entry in &entries {
        let mut name = our_name(&entry.name);
        // Names that fall together are told apart.
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{}-{number}", our_name(&entry.name));
            number += 1;
        }
        println!("[[route]]");
        if name != entry.name {
            println!("# {}", entry.name.replace(['\n', '\r'], " "));
        }
        println!("name = {}", quoted(&name));
        println!("listen = {}", quoted(entry.listen()));
        println!(
            "upstream = {}",
            quoted(&format!("tcp://{}", entry.upstream))
        );
        if !entry.enabled {
            println!("enabled = false");
        }
        println!();
        names.push(name);
    }
    Ok(Exit::Ok)
}

/// A name that our files take, as near to the other as may be.
fn our_name(name: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
        _ => '-',
    };
    let name: String = name.chars().map(plain).take(60).collect();
    match name.trim_start_matches(['.', '_', '-']) {
        "" => "proxy".to_owned(),
        name => name.to_owned(),
    }
}

/// As TOML writes a text, which JSON's way of writing is part of.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace("${", "$${")
}
