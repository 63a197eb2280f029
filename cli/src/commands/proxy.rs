//! `brownout proxy`: stand between services and their upstreams.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
};

use brownout_control_api::{ControlConfig, Wanted, new_route};
use brownout_fault::is_name;
use brownout_proxy::{GatewayConfig, NewRoute};
use brownout_wire::RouteSpec;
use serde_json::json;

use crate::{
    args::{Output, ProxyArgs},
    config::Config,
    exit::{Exit, Failure},
    house::{House, Plan},
    show,
    signals::Stop,
    telemetry,
};

pub(crate) async fn run(args: ProxyArgs) -> Result<Exit, Failure> {
    let output = args.output;
    let routes: Result<Vec<NewRoute>, String> =
        args.routes.iter().map(|word| parse_route(word)).collect();
    let routes = routes.map_err(|why| Failure::new(Exit::Usage, why))?;
    let config = match &args.config {
        Some(path) => Config::read(path, &routes)?,
        None => Config::default(),
    };
    let stop = Stop::listen()?;
    let started = telemetry::start(args.telemetry.clone(), config.telemetry.clone())?;
    let (telemetry, service) = started.of_one(Plan::SERVICE);
    let plan = plan(args, routes, config, service);
    let seed = plan.seed;
    let house = House::start(plan, telemetry)?;
    match output {
        Output::Text => announce(&house, seed),
        Output::Json => announce_json(&house),
    }
    stop.asked_while(|order| house.obey(order)).await;
    if output == Output::Text {
        println!("stopping: requests in progress may take 30 s to end; Ctrl-C again stops at once");
    }
    house.stop();
    Ok(Exit::Ok)
}

/// Puts arguments and file together; what is said on the command line wins.
fn plan(args: ProxyArgs, more_routes: Vec<NewRoute>, config: Config, service: String) -> Plan {
    let mut routes = config.routes;
    routes.extend(more_routes);
    let mut allow_hosts = args.allow_hosts;
    allow_hosts.extend(config.allow_hosts);
    Plan {
        control: args
            .control
            .or(config.control)
            .unwrap_or_else(|| ControlConfig::LISTEN.to_owned()),
        insecure: args.insecure || config.insecure,
        allow_hosts,
        seed: args.seed.or(config.seed).unwrap_or_else(new_seed),
        connections_max: config
            .connections_max
            .unwrap_or(GatewayConfig::CONNECTIONS_MAX),
        wanted: Wanted {
            routes,
            faults: config.faults,
        },
        service,
    }
}

/// A seed of this process's own, short enough to be typed again.
pub(crate) fn new_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) % 1_000_000
}

/// Reads `NAME=LISTEN=UPSTREAM`.
fn parse_route(word: &str) -> Result<NewRoute, String> {
    let mut parts = word.splitn(3, '=');
    let (Some(name), Some(listen), Some(upstream)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(format!(
            "`--route {word}` is not of the form NAME=LISTEN=UPSTREAM, \
             such as web=127.0.0.1:9100=http://127.0.0.1:9000"
        ));
    };
    if !is_name(name) {
        return Err(format!(
            "`--route {word}`: `{name}` is not a route name: up to 64 of a-z, 0-9, `.`, `_` and `-`"
        ));
    }
    let spec = RouteSpec {
        name: name.to_owned(),
        listen: listen.to_owned(),
        upstream: upstream.to_owned(),
        protocol: None,
        enabled: true,
    };
    new_route(&spec).map_err(|problems| {
        let told: Vec<String> = problems
            .iter()
            .map(|problem| {
                format!(
                    "{} {}",
                    problem.pointer.trim_start_matches('/'),
                    problem.detail
                )
            })
            .collect();
        format!("`--route {word}`: {}", told.join("; "))
    })
}

fn announce(house: &House, seed: u64) {
    let control = house.control();
    let faults = format!("http://{control}/faults");
    show::heading(&format!("brownout {}", env!("CARGO_PKG_VERSION")));
    println!();
    for route in house.routes() {
        println!(
            "  route {:<16} {}://{} -> {}",
            route.name, route.protocol, route.listen, route.upstream
        );
    }
    println!("  control API            http://{control}");
    println!("  seed                   {seed}");
    if house.armed() > 0 {
        let faults = show::count(house.armed(), "fault");
        println!("  armed by the file      {faults}; see: brownout fault ls");
    }
    println!();
    match house.routes().first() {
        Some(route) => {
            println!("start an outage:");
            println!(
                "  curl -X POST {faults} -d '{{\"route\":\"{}\",\"reset\":{{}}}}'",
                route.name
            );
            println!("end it:");
            println!("  curl -X DELETE {faults}");
        }
        None => {
            println!("make a route:");
            println!(
                "  curl -X POST http://{control}/routes \
                 -d '{{\"name\":\"web\",\"listen\":\"127.0.0.1:9100\",\"upstream\":\"http://127.0.0.1:9000\"}}'"
            );
        }
    }
    println!();
    println!("Ctrl-C stops it.");
}

fn announce_json(house: &House) {
    let routes: BTreeMap<&str, String> = house
        .routes()
        .iter()
        .map(|route| (route.name.as_str(), route.listen.to_string()))
        .collect();
    println!(
        "{}",
        json!({ "event": "ready", "control": house.control().to_string(), "routes": routes })
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_name_an_address_and_an_upstream() {
        let route = parse_route("web=127.0.0.1:0=http://127.0.0.1:9000").unwrap();

        assert_eq!(route.name, "web");
        assert_eq!(route.upstream.to_string(), "http://127.0.0.1:9000");
    }

    #[test]
    fn a_wrong_route_says_what_is_wrong_with_it() {
        let cases = [
            ("web", "is not of the form NAME=LISTEN=UPSTREAM"),
            ("web=127.0.0.1:0", "is not of the form NAME=LISTEN=UPSTREAM"),
            (
                "We b=127.0.0.1:0=http://127.0.0.1:1",
                "`We b` is not a route name",
            ),
            (
                "web=nowhere=http://127.0.0.1:1",
                "listen is not an address to listen on",
            ),
            ("web=127.0.0.1:0=127.0.0.1:1", "upstream is not an upstream"),
        ];
        for (word, wanted) in cases {
            let why = parse_route(word).unwrap_err();
            assert!(why.contains(wanted), "{why}");
        }
    }
}
