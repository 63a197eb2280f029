//! What is said when the proxy is ready: what listens where, and how others reach it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use serde_json::json;

use crate::{
    instance::Instance,
    show::{self, Curl},
};

/// For a person.
pub(super) fn text(instance: &Instance, seed: u64, allow_hosts: &[String]) {
    let control = instance.control();
    show::heading(&format!("brownout {}", env!("CARGO_PKG_VERSION")));
    println!();
    for route in instance.routes() {
        let (name, url, upstream) = (&route.name, route.url(), &route.upstream);
        println!("  route {name:<16} {url} -> {upstream}");
    }
    let scheme = instance.control_scheme();
    println!("  control API            {scheme}://{control}");
    let listens = instance.routes().iter();
    let listens = listens.filter_map(|route| route.listen.tcp());
    for (what, how) in from_elsewhere(control, scheme, &listens.collect::<Vec<_>>(), allow_hosts) {
        println!("  {what:<22} {how}");
    }
    println!("  seed                   {seed}");
    if instance.armed() > 0 {
        let faults = show::count(instance.armed(), "fault");
        println!("  armed by the file      {faults}; see: brownout fault ls");
    }
    println!();
    let call = Call::of(instance);
    match instance.routes().first() {
        Some(route) => {
            println!("start an outage:");
            println!(
                "  {} -d '{{\"route\":\"{}\",\"reset\":{{}}}}'",
                call.curl("POST", "/faults"),
                route.name
            );
            println!("end it:");
            println!("  {}", call.curl("DELETE", "/faults"));
        }
        None => {
            println!("make a route:");
            println!(
                "  {} -d '{{\"name\":\"web\",\"listen\":\"127.0.0.1:9100\",\"upstream\":\"http://127.0.0.1:9000\"}}'",
                call.curl("POST", "/routes"),
            );
        }
    }
    if let Some(ca) = &call.curl.ca {
        println!("for brownout's other commands:");
        println!(
            "  export BROWNOUT_CONTROL={} BROWNOUT_CA={}",
            call.url,
            show::quoted(ca)
        );
    }
    println!();
    println!("Ctrl-C stops it.");
}

/// Beside a command, whose standard output it is.
pub(super) fn beside(instance: &Instance) {
    let routes = instance.routes().iter();
    let routes: Vec<String> = routes
        .map(|route| format!("{} {}", route.name, route.url()))
        .collect();
    show::note(&format!(
        "brownout: control API {}://{}; routes: {}",
        instance.control_scheme(),
        instance.control(),
        routes.join(", ")
    ));
}

/// For a program, as one object.
pub(super) fn json(instance: &Instance) {
    let routes: BTreeMap<&str, String> = instance
        .routes()
        .iter()
        .map(|route| (route.name.as_str(), route.listen.to_string()))
        .collect();
    let mut ready =
        json!({ "event": "ready", "control": instance.control().to_string(), "routes": routes });
    if let Some(ca) = instance.control_ca() {
        ready["control_url"] = json!(format!("https://{}", reachable(instance.control())));
        ready["control_ca"] = json!(ca.display().to_string());
    }
    println!("{ready}");
}

/// How the control API is called from this machine.
struct Call {
    url: String,
    curl: Curl,
}

impl Call {
    fn of(instance: &Instance) -> Self {
        Self {
            url: format!(
                "{}://{}",
                instance.control_scheme(),
                reachable(instance.control())
            ),
            curl: Curl {
                ca: instance.control_ca().map(|ca| ca.display().to_string()),
                insecure: false,
                token: instance.asks_for_a_token(),
            },
        }
    }

    fn curl(&self, method: &str, path: &str) -> String {
        self.curl.line(method, &format!("{}{path}", self.url))
    }
}

/// How another machine or container reaches what listens, where any of it listens for others.
fn from_elsewhere(
    control: SocketAddr,
    scheme: &str,
    routes: &[SocketAddr],
    allow_hosts: &[String],
) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(route) = routes.iter().find(|listen| !listen.ip().is_loopback()) {
        let url = match route.ip().is_unspecified() {
            true => format!("NAME:{}, with the name of this container", route.port()),
            false => route.to_string(),
        };
        lines.push(("  from elsewhere", url));
    }
    if !control.ip().is_loopback() {
        let port = control.port();
        let names = allow_hosts.iter().filter(|name| *name != "*");
        let mut urls: Vec<String> = names
            .map(|name| format!("{scheme}://{name}:{port}"))
            .collect();
        if urls.is_empty() {
            let asks = match allow_hosts.is_empty() {
                true => ", with the option --allow-host NAME",
                false => "",
            };
            urls.push(format!("{scheme}://NAME:{port}{asks}"));
        }
        lines.push((
            "  from elsewhere",
            format!("control API {}", urls.join(", ")),
        ));
    } else if !lines.is_empty() {
        lines.push((
            "",
            "the control API is for this machine alone; for others: --control 0.0.0.0:8474, --token-file FILE \
             or --insecure, and --allow-host NAME"
                .to_owned(),
        ));
    }
    lines
}

/// An address that can be called, of one that listens everywhere: by IPv4, as `[::]` takes it too, and more callers can write it.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip().is_unspecified() {
        true => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        false => listen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(control: &str, routes: &[&str], allow_hosts: &[&str]) -> String {
        let routes: Vec<SocketAddr> = routes.iter().map(|text| text.parse().unwrap()).collect();
        let allow_hosts: Vec<String> = allow_hosts.iter().map(ToString::to_string).collect();
        let lines = from_elsewhere(control.parse().unwrap(), "http", &routes, &allow_hosts);
        let lines: Vec<String> = lines.into_iter().map(|(_, how)| how).collect();
        lines.join("\n")
    }

    #[test]
    fn on_loopback_there_is_nothing_to_say() {
        assert_eq!(said("127.0.0.1:8474", &["127.0.0.1:9100"], &[]), "");
        assert_eq!(said("[::1]:8474", &["[::1]:9100"], &[]), "");
    }

    #[test]
    fn in_a_container_it_says_how_others_reach_routes_and_the_control_api() {
        let routes = said("127.0.0.1:8474", &["[::]:9100"], &[]);
        assert!(routes.contains("NAME:9100"), "{routes}");
        assert!(routes.contains("--control 0.0.0.0:8474"), "{routes}");

        let both = said("0.0.0.0:8474", &["0.0.0.0:9100"], &[]);
        assert!(
            both.contains("http://NAME:8474, with the option --allow-host NAME"),
            "{both}"
        );

        let named = said("0.0.0.0:8474", &["192.0.2.7:9100"], &["brownout", "chaos"]);
        assert!(named.contains("192.0.2.7:9100"), "{named}");
        assert!(
            named.contains("http://brownout:8474, http://chaos:8474"),
            "{named}"
        );
    }

    #[test]
    fn what_listens_everywhere_is_called_on_loopback() {
        for (listen, url) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "127.0.0.1:1"),
            ("[::1]:1", "[::1]:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), url);
        }
    }
}
