//! `brownout demo-service`: one of the demo's services alone, for containers.

use std::{
    collections::BTreeMap,
    fmt,
    net::{SocketAddr, ToSocketAddrs},
};

use demo_services::{AnyService, Service, ServiceConfig, start};
use serde_json::json;

use super::library_service;
use crate::{
    args::{DemoServiceArgs, Output},
    demo_proxy::ended,
    exit::{Exit, Failure},
    instance::FLUSH,
    policy,
    signals::Stop,
    telemetry::{self, TelemetryFile},
};

pub(crate) async fn run(args: DemoServiceArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let service: AnyService = args.name.parse().map_err(usage)?;
    let listen = args.listen.to_socket_addrs().ok();
    let listen = listen.and_then(|mut addresses| addresses.next());
    let listen = listen.ok_or_else(|| {
        usage(format!(
            "`{}` is not an address to listen on; write it like \"127.0.0.1:9000\"",
            args.listen
        ))
    })?;
    match service {
        AnyService::Homepage(service) => run_homepage(service, listen, args, stop).await,
        AnyService::Library(service) => library_service::run(service, listen, args, stop).await,
    }
}

async fn run_homepage(
    service: Service,
    listen: SocketAddr,
    args: DemoServiceArgs,
    stop: Stop,
) -> Result<Exit, Failure> {
    if args.books.database.is_some() {
        return Err(usage(format!("{service} has no database")));
    }
    if !args.gate.policies.is_empty() {
        return Err(usage(format!("{service} is no gate; use --policy")));
    }
    let mut upstreams = BTreeMap::new();
    for word in &args.upstreams {
        let (name, url) = named_url(word)?;
        let upstream: Service = name.parse().map_err(usage)?;
        upstreams.insert(upstream, url.to_owned());
    }
    let word = args.policy.as_deref().unwrap_or("none");
    let policy = policy::find(word)?;
    let started = telemetry::start(args.telemetry, TelemetryFile::default())?;
    let (telemetry, name) = started.of_one(service.as_str());
    let defaults = ServiceConfig::new(service);
    let running = start(ServiceConfig {
        listen,
        upstreams,
        policy: policy.clone(),
        workers: args.workers.unwrap_or(defaults.workers),
        queue: args.queue,
        seed: args.seed,
        metrics: telemetry.metrics(),
        tracer: telemetry.tracer(&name),
        ..defaults
    })
    .await
    .map_err(|error| Failure::chain(Exit::Usage, &error))?;
    announce(service.as_str(), running.address(), args.output);
    let take = |policy| running.use_policy(policy);
    tokio::select! {
        _ = stop.asked_of_a_service() => {}
        never = policy::follow(word, policy, take) => match never {},
    }
    ended(service, |grace| running.shutdown(grace)).await;
    if let Err(error) = telemetry.shutdown(FLUSH) {
        tracing::warn!(%error, "not all telemetry was sent");
    }
    Ok(Exit::Ok)
}

/// What `--upstream` says.
pub(super) fn named_url(word: &str) -> Result<(&str, &str), Failure> {
    word.split_once('=').ok_or_else(|| {
        usage(format!(
            "`--upstream {word}` is not of the form SERVICE=URL"
        ))
    })
}

/// Says where a service listens.
pub(super) fn announce(service: &str, address: SocketAddr, output: Output) {
    match output {
        Output::Text => println!("{service} listens on http://{address}; Ctrl-C stops it"),
        Output::Json => println!(
            "{}",
            json!({ "event": "ready", "service": service, "listen": address.to_string() })
        ),
    }
}

pub(super) fn usage(message: impl fmt::Display) -> Failure {
    Failure::new(Exit::Usage, message)
}
