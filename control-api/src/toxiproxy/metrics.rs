//! The bytes of proxies, by the names that scrapers of the original know.

use std::fmt::Write as _;

use brownout_proxy::{Protocol, RouteStatus};
use brownout_telemetry::prometheus;

/// The series of all proxies, in the text format of Prometheus; nothing where there is none. Both counters say what was
/// passed on: bytes that a toxic swallows are in neither, while the original counts them as received.
pub(crate) fn text(routes: &[RouteStatus]) -> String {
    let proxies = || routes.iter().filter(|it| it.protocol == Protocol::Tcp);
    let mut page = String::new();
    if proxies().next().is_none() {
        return page;
    }
    for what in ["received", "sent"] {
        let name = format!("toxiproxy_proxy_{what}_bytes_total");
        writeln!(page, "# HELP {name} Bytes that a proxy passed on, as Toxiproxy names them.\n# TYPE {name} counter")
            .expect("a String takes everything");
        for route in proxies() {
            let [proxy, listener, upstream] = [
                &*route.name,
                &*route.listen.to_string(),
                route.upstream.trim_start_matches("tcp://"),
            ]
            .map(prometheus::label_value);
            for (direction, bytes) in [
                ("upstream", route.bytes_in),
                ("downstream", route.bytes_out),
            ] {
                writeln!(
                    page,
                    "{name}{{direction=\"{direction}\",listener=\"{listener}\",proxy=\"{proxy}\",upstream=\"{upstream}\"}} {bytes}"
                )
                .expect("a String takes everything");
            }
        }
    }
    page
}
