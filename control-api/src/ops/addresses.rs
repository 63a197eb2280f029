//! Routes as they are written, turned into what the proxy can make. May resolve names, and so block.

use brownout_fault::read::Problem;
use brownout_proxy::{
    InvalidUpstream, ListenAddress, NewRoute, Protocol as Carried, RouteChange, Upstream,
};
use brownout_wire::{Protocol, RoutePatch, RouteSpec};

/// What is wrong with a route's addresses.
pub type InvalidRoute = Vec<Problem>;

/// Turns a route as it is written into one that the proxy can make. May resolve the name in `listen`.
///
/// # Errors
/// One problem for each address that is none.
pub fn new_route(spec: &RouteSpec) -> Result<NewRoute, InvalidRoute> {
    let patch = RoutePatch {
        listen: Some(spec.listen.clone()),
        upstream: Some(spec.upstream.clone()),
        ..RoutePatch::default()
    };
    let asked = spec.protocol.map(carried);
    let change = route_change(&patch, asked)?;
    let (Some(listen), Some(upstream)) = (change.listen, change.upstream) else {
        return Err(Vec::new());
    };
    if let Some(asked) = asked
        && asked != upstream.protocol()
    {
        let detail = format!("is {asked}, but the upstream is {upstream}");
        return Err(vec![Problem::at("protocol", detail)]);
    }
    Ok(NewRoute {
        name: spec.name.clone(),
        listen,
        upstream,
        enabled: spec.enabled,
        caller_faults: spec.caller_faults,
    })
}

/// Turns a change as it is written into one that the proxy can make, of a route that carries `protocol` if that is
/// known. May resolve the name in `listen`.
pub(crate) fn route_change(
    patch: &RoutePatch,
    protocol: Option<Carried>,
) -> Result<RouteChange, InvalidRoute> {
    let mut problems = Vec::new();
    let listen = patch.listen.as_deref().and_then(|listen| {
        let parsed = ListenAddress::parse(listen);
        parsed
            .map_err(|error| problems.push(Problem::at("listen", error.to_string())))
            .ok()
    });
    let upstream = patch.upstream.as_deref().and_then(|upstream| {
        let parsed = parse_upstream(upstream, protocol);
        parsed
            .map_err(|error| problems.push(Problem::at("upstream", error.to_string())))
            .ok()
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(RouteChange {
        listen,
        upstream,
        enabled: patch.enabled,
        caller_faults: patch.caller_faults,
    })
}

/// An upstream without a scheme is read with the one of its route, where only one is possible.
fn parse_upstream(text: &str, protocol: Option<Carried>) -> Result<Upstream, InvalidUpstream> {
    match protocol {
        Some(Carried::Tcp) if !text.contains("://") => Upstream::parse(&format!("tcp://{text}")),
        _ => Upstream::parse(text),
    }
}

fn carried(protocol: Protocol) -> Carried {
    match protocol {
        Protocol::Http => Carried::Http,
        Protocol::Tcp => Carried::Tcp,
    }
}
