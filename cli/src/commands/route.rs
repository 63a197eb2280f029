//! `brownout route`: make, see and delete routes.

use brownout_client::{Client, ClientError};
use brownout_fault::read::Problem;
use brownout_wire::{
    ListenerTlsSpec, PoolSpec, RouteAnswer, RouteList, RouteOptions, RoutePatch, RouteSpec,
    ServerState, UpstreamTlsSpec,
};
use serde_json::{Value, json};

use crate::{
    args::{AddRoute, ApiArgs, RouteArgs, RouteCommand},
    exit::{Exit, Failure},
    show,
};

pub(crate) async fn run(args: RouteArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    match args.command {
        RouteCommand::Add(add) => {
            let spec = to_be_made(*add)?;
            let route = client.add_route(&spec).await.map_err(named_by_flags)?;
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
fn to_be_made(add: AddRoute) -> Result<RouteSpec, Failure> {
    let pool = PoolSpec {
        max_connections: add.pool_max,
        max_idle: add.pool_max_idle,
        idle_timeout: add.pool_idle_timeout,
    };
    let upstream_tls = UpstreamTlsSpec {
        ca: add.upstream_ca,
        cert: add.upstream_cert,
        key: add.upstream_key,
        server_name: add.upstream_server_name,
        insecure: add.upstream_insecure,
        alpn: (!add.upstream_alpn.is_empty()).then_some(add.upstream_alpn),
    };
    let mut spec = RouteSpec::new(add.name, add.listen, add.upstream);
    spec.caller_faults = add.caller_faults.into();
    spec.accept_proxy = add.accept_proxy;
    spec.enabled = !add.disabled;
    spec.host = add.host;
    spec.options = RouteOptions {
        connect_timeout: add.connect_timeout,
        head_timeout: add.head_timeout,
        pool: (pool != PoolSpec::default()).then_some(pool),
        path_prefix: add.path_prefix,
        send_proxy: add.send_proxy,
    };
    spec.upstream_tls = (upstream_tls != UpstreamTlsSpec::default()).then_some(upstream_tls);
    spec.tls = add.tls;
    if !add.tls_certificate.is_empty() {
        let Some(ListenerTlsSpec::Files { others, .. }) = &mut spec.tls else {
            let why = "`--tls-certificate` stands beside `--tls=CERT,KEY`, which is shown to clients that ask for no name";
            return Err(Failure::new(Exit::Usage, why));
        };
        *others = add.tls_certificate;
    }
    let mut route = spec.to_value();
    if let Some(protocol) = add.protocol {
        route["protocol"] = json!(protocol);
    }
    match (add.caller_faults_percent, add.caller_faults_from) {
        (None, from) if from.is_empty() => {}
        (None, from) => route["caller_faults"] = json!(from),
        (Some(percent), from) => {
            route["caller_faults"] = json!({ "percent": number(&percent) });
            if !from.is_empty() {
                route["caller_faults"]["from"] = json!(from);
            }
        }
    }
    RouteSpec::read(&route).map_err(|problems| {
        let told = problems.into_iter().map(|Problem { pointer, detail }| {
            let place = flag_of(&pointer).unwrap_or(pointer);
            format!("{place}: {detail}")
        });
        Failure::new(Exit::Usage, told.collect::<Vec<_>>().join("\n"))
    })
}

/// A number as JSON has it, or the text if it is none.
fn number(text: &str) -> Value {
    let read = serde_json::from_str(text);
    read.ok()
        .filter(Value::is_number)
        .unwrap_or_else(|| json!(text))
}

/// The flag or word that sets the member at `pointer` of the route.
fn flag_of(pointer: &str) -> Option<String> {
    let mut parts = pointer.trim_start_matches('/').split('/');
    let (first, second) = (parts.next()?, parts.next());
    Some(match (first, second) {
        ("name" | "listen" | "upstream", _) => first.to_uppercase(),
        ("enabled", _) => "--disabled".to_owned(),
        ("tls", Some("certificates")) => "--tls-certificate".to_owned(),
        ("tls", _) => "--tls".to_owned(),
        ("caller_faults", Some("percent")) => "--caller-faults-percent".to_owned(),
        ("caller_faults", Some(_)) => "--caller-faults-from".to_owned(),
        ("pool", Some("max_connections")) => "--pool-max".to_owned(),
        ("pool", Some(member)) => format!("--pool-{}", member.replace('_', "-")),
        ("upstream_tls", Some(member)) => format!("--upstream-{}", member.replace('_', "-")),
        (
            "protocol" | "host" | "path_prefix" | "connect_timeout" | "head_timeout"
            | "accept_proxy" | "send_proxy" | "caller_faults",
            _,
        ) => format!("--{}", first.replace('_', "-")),
        _ => return None,
    })
}

/// A refusal whose places are the flags of the command line.
fn named_by_flags(error: ClientError) -> Failure {
    let ClientError::Refused(mut problem) = error else {
        return error.into();
    };
    for error in &mut problem.errors {
        if let Some(flag) = flag_of(&error.pointer) {
            error.pointer = flag;
        }
    }
    ClientError::Refused(problem).into()
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
                state(route),
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

/// Whether it accepts connections, and whether some of its servers do not.
fn state(route: &RouteAnswer) -> String {
    let failing = route.servers.iter();
    let failing = failing.filter(|it| it.state == ServerState::Failing);
    match (route.enabled, failing.count()) {
        (false, _) => "disabled".to_owned(),
        (true, 0) => "enabled".to_owned(),
        (true, failing) => format!("enabled, {failing} of {} servers fail", route.servers.len()),
    }
}
