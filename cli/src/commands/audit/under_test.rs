//! The routes of an audit, and how the service under test is told of them.

use std::net::SocketAddr;

use brownout_client::Client;
use brownout_proxy::NewRoute;

use crate::{
    args::AuditArgs,
    commands::proxy::{one_route, route_variables},
    exit::{Exit, Failure},
    instance::Instance,
};

/// The dependencies of the service.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) names: Vec<String>,
    /// What the command is started with.
    pub(super) variables: Vec<(String, String)>,
}

impl Routes {
    pub(super) fn of_own(instance: &Instance) -> Result<Self, Failure> {
        let routes = instance.routes().iter();
        let all = routes.filter_map(|it| {
            let listen = it.listen.tcp()?;
            Some((it.name.clone(), it.protocol.to_string(), listen))
        });
        Self::of(instance.control(), &all.collect::<Vec<_>>())
    }

    /// Those of a running proxy: the ones that are named, or all.
    pub(super) async fn of_running(
        args: &AuditArgs,
        control: &str,
    ) -> Result<(Client, Self), Failure> {
        let client = crate::commands::client_of(control)?;
        let mut found = Vec::new();
        for route in client.routes().await? {
            let listen: SocketAddr = route.listen.parse().map_err(|_| {
                let told = format!("the route `{}` listens at `{}`", route.name, route.listen);
                Failure::new(Exit::Unreachable, told)
            })?;
            found.push((route.name, route.protocol.as_str().to_owned(), listen));
        }
        if args.config.is_some() {
            let told =
                "--config is of a proxy that the audit starts; --control names one that runs";
            return Err(Failure::new(Exit::Usage, told));
        }
        let address = client.base().trim_start_matches("http://").parse();
        let address = address.unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut routes = Self::of(address, &found)?;
        for name in &args.routes {
            routes.must_have(name)?;
        }
        if !args.routes.is_empty() {
            routes.names.clone_from(&args.routes);
        }
        Ok((client, routes))
    }

    fn of(control: SocketAddr, routes: &[(String, String, SocketAddr)]) -> Result<Self, Failure> {
        let http = routes.iter().filter(|(_, protocol, _)| protocol == "http");
        let names: Vec<String> = http.map(|(name, _, _)| name.clone()).collect();
        if names.is_empty() {
            let told = "no route carries HTTP, and an audit needs requests";
            return Err(Failure::new(Exit::Usage, told));
        }
        Ok(Self {
            names,
            variables: route_variables(control, routes)?,
        })
    }

    pub(super) fn must_have(&self, name: &str) -> Result<(), Failure> {
        if self.names.iter().any(|it| it == name) {
            return Ok(());
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        Err(Failure::new(
            Exit::Usage,
            brownout_fault::read::unknown("route", name, &names),
        ))
    }
}

/// Reads `NAME=UPSTREAM`, whose port is chosen, or `NAME=LISTEN=UPSTREAM`.
pub(super) fn parse_route(word: &str) -> Result<NewRoute, Failure> {
    let is_short = word.split_once('=').is_some_and(|(_, rest)| {
        let before = rest.split_once("://").map_or(rest, |(scheme, _)| scheme);
        !before.contains('=')
    });
    let whole = match word.split_once('=') {
        Some((name, upstream)) if is_short => format!("{name}=127.0.0.1:0={upstream}"),
        _ => word.to_owned(),
    };
    one_route(&whole).map_err(|why| {
        let told = match word.contains('=') {
            true => why.replace(&whole, word),
            false => format!(
                "`--route {word}` is not of the form NAME=UPSTREAM, such as rates=http://127.0.0.1:7000"
            ),
        };
        Failure::new(Exit::Usage, told)
    })
}
