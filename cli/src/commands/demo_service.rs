//! `brownout demo-service`: one of the demo's services alone, for containers.

use std::{collections::BTreeMap, net::ToSocketAddrs, time::Duration};

use demo_services::{Service, ServiceConfig, start};
use serde_json::json;

use crate::{
    args::{DemoServiceArgs, Output},
    exit::{Exit, Failure},
    house::{FLUSH, start_telemetry},
    policy,
    signals::Stop,
};

/// How long requests in progress may take to end.
const GRACE: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: DemoServiceArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let service: Service = args
        .name
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let listen = args
        .listen
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    let listen = listen.ok_or_else(|| {
        usage(format!(
            "`{}` is not an address to listen on; write it like \"127.0.0.1:9000\"",
            args.listen
        ))
    })?;
    let mut upstreams = BTreeMap::new();
    for word in &args.upstreams {
        let (name, url) = word.split_once('=').ok_or_else(|| {
            usage(format!(
                "`--upstream {word}` is not of the form SERVICE=URL"
            ))
        })?;
        let upstream: Service = name
            .parse()
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        upstreams.insert(upstream, url.to_owned());
    }
    let policy = policy::find(&args.policy)?;
    let telemetry = start_telemetry(args.telemetry.statsd, args.telemetry.otlp)?;
    let running = start(ServiceConfig {
        listen,
        upstreams,
        policy: policy.clone(),
        workers: args.workers,
        queue: args.queue,
        seed: args.seed,
        metrics: telemetry.metrics(),
        tracer: telemetry.tracer(service.as_str()),
        ..ServiceConfig::new(service)
    })
    .await
    .map_err(|error| Failure::chain(Exit::Usage, &error))?;

    let address = running.address();
    match args.output {
        Output::Text => println!("{service} listens on http://{address}; Ctrl-C stops it"),
        Output::Json => println!(
            "{}",
            json!({ "event": "ready", "service": service.as_str(), "listen": address.to_string() })
        ),
    }
    let take = |policy| running.use_policy(policy);
    tokio::select! {
        () = stop.asked() => {}
        never = policy::follow(&args.policy, policy, take) => match never {},
    }
    if let Err(error) = running.shutdown(GRACE).await {
        tracing::warn!(%error, "cut what did not end in time");
    }
    if let Err(error) = telemetry.shutdown(FLUSH) {
        tracing::warn!(%error, "not all telemetry was sent");
    }
    Ok(Exit::Ok)
}
