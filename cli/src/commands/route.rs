//! `brownout route`: make, see and delete routes.

use brownout_client::Client;
use brownout_wire::{
    ListenerTlsSpec, PoolSpec, RouteAnswer, RouteList, RouteOptions, RoutePatch, RouteSpec,
    UpstreamTlsSpec,
};

use crate::{
    args::{AddRoute, ApiArgs, RouteArgs, RouteCommand},
    exit::{Exit, Failure},
    show,
};

pub(crate) async fn run(args: RouteArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    match args.command {
        RouteCommand::Add(add) => {
            let spec = to_be_made(*add);
            let route = client.add_route(&spec).await?;
            args.api.print(&route, || {
                println!("{}: {} -> {}", route.name, route.listen, route.upstream);
            });
        }
        RouteCommand::Ls => {
            let routes = client.routes().await?;
            let list = RouteList { routes };
            args.api.print(&list, || print_routes(&list.routes));
        }
        RouteCommand::Enable { names } => switch(&args.api, &client, names, true).await?,
        RouteCommand::Disable { names } => switch(&args.api, &client, names, false).await?,
        RouteCommand::Rm { names } => {
            let mut failed = None;
            for name in names {
                match client.remove_route(&name).await {
                    Ok(()) => args.api.print(&serde_json::json!({ "removed": name }), || {
                        println!("deleted {name}");
                    }),
                    Err(error) => failed = super::tell_all_but_one(failed, error.into()),
                }
            }
            if let Some(failure) = failed {
                return Err(failure);
            }
        }
    }
    Ok(Exit::Ok)
}

/// The route that the flags ask for.
fn to_be_made(add: AddRoute) -> RouteSpec {
    let AddRoute {
        name,
        listen,
        upstream,
        caller_faults,
        host,
        connect_timeout,
        head_timeout,
        pool_max,
        path_prefix,
        accept_proxy,
        send_proxy,
        tls,
        upstream_ca,
        upstream_insecure,
    } = add;
    let mut spec = RouteSpec::new(name, listen, upstream);
    spec.caller_faults = caller_faults;
    spec.accept_proxy = accept_proxy;
    spec.host = host;
    spec.options = RouteOptions {
        connect_timeout,
        head_timeout,
        pool: pool_max.map(|max| PoolSpec {
            max_connections: Some(max),
            ..PoolSpec::default()
        }),
        path_prefix,
        send_proxy,
    };
    spec.tls = tls.then_some(ListenerTlsSpec::Own);
    if upstream_ca.is_some() || upstream_insecure {
        spec.upstream_tls = Some(UpstreamTlsSpec {
            ca: upstream_ca,
            insecure: upstream_insecure,
            ..UpstreamTlsSpec::default()
        });
    }
    spec
}

/// Enables or disables routes, each for itself.
async fn switch(
    api: &ApiArgs,
    client: &Client,
    names: Vec<String>,
    enable: bool,
) -> Result<(), Failure> {
    let patch = RoutePatch {
        enabled: Some(enable),
        ..RoutePatch::default()
    };
    let mut failed = None;
    for name in names {
        match client.patch_route(&name, &patch).await {
            Ok(route) => api.print(&route, || {
                let word = if enable { "accepts" } else { "refuses" };
                println!("{name} {word} connections at {}", route.listen);
            }),
            Err(error) => failed = super::tell_all_but_one(failed, error.into()),
        }
    }
    failed.map_or(Ok(()), Err)
}

fn print_routes(routes: &[RouteAnswer]) {
    if routes.is_empty() {
        println!(
            "no routes; make one with: brownout route add web 127.0.0.1:9100 http://127.0.0.1:9000"
        );
        return;
    }
    show::table(
        [
            "NAME",
            "LISTEN",
            "UPSTREAM",
            "STATE",
            "CONNECTIONS",
            "REQUESTS",
            "FAULTS",
        ],
        routes.iter().map(|route| {
            [
                route.name.clone(),
                route.listen.clone(),
                route.upstream.clone(),
                if route.enabled { "enabled" } else { "disabled" }.to_owned(),
                route.connections.to_string(),
                route.requests.to_string(),
                if route.faults.is_empty() {
                    "-".to_owned()
                } else {
                    route.faults.join(",")
                },
            ]
        }),
    );
}
