//! `brownout demo-service library-...`: one of the library's services alone.

use std::net::SocketAddr;

use demo_services::library::{LibraryConfig, LibraryRole, LibraryService, start};

use crate::{
    args::DemoServiceArgs,
    commands::demo_service::{announce, named_url, usage},
    demo_proxy::ended,
    exit::{Exit, Failure},
    instance::FLUSH,
    library_system::{database, follow_policies, with_policies},
    signals::Stop,
    telemetry::{self, TelemetryFile},
};

pub(super) async fn run(
    service: LibraryService,
    listen: SocketAddr,
    args: DemoServiceArgs,
    stop: Stop,
) -> Result<Exit, Failure> {
    let mut config = match service {
        LibraryService::Gate => gate(&args)?,
        LibraryService::Primary | LibraryService::Fallback => book_service(service, &args)?,
    };
    let gate_args = args.gate.clone();
    let started = telemetry::start(args.telemetry, TelemetryFile::default())?;
    let (telemetry, name) = started.of_one(service.as_str());
    config.listen = listen;
    config.workers = args.workers.unwrap_or(config.workers);
    config.queue = args.queue;
    config.seed = args.seed;
    config.metrics = telemetry.metrics();
    config.tracer = telemetry.tracer(&name);
    let running = start(config)
        .await
        .map_err(|error| Failure::chain(Exit::Usage, &error))?;
    announce(service.as_str(), running.address(), args.output);
    tokio::select! {
        _ = stop.asked_of_a_service() => {}
        never = follow_policies(&running, &gate_args) => match never {},
    }
    ended(service, |grace| running.shutdown(grace)).await;
    if let Err(error) = telemetry.shutdown(FLUSH) {
        tracing::warn!(%error, "not all telemetry was sent");
    }
    Ok(Exit::Ok)
}

fn gate(args: &DemoServiceArgs) -> Result<LibraryConfig, Failure> {
    if args.policy.is_some() {
        let message = "library-gate has a policy for each of its ways; use --gate-policy g1=FILE";
        return Err(usage(message));
    }
    if args.books.database.is_some() {
        return Err(usage("library-gate has no database"));
    }
    let mut config = LibraryConfig::gate("", "");
    let LibraryRole::Gate {
        primary, fallback, ..
    } = &mut config.role
    else {
        return Ok(config);
    };
    for word in &args.upstreams {
        let (name, url) = named_url(word)?;
        let upstream: LibraryService = name.parse().map_err(usage)?;
        match upstream {
            LibraryService::Primary => url.clone_into(primary),
            LibraryService::Fallback => url.clone_into(fallback),
            LibraryService::Gate => return Err(usage("library-gate does not call library-gate")),
        }
    }
    for (upstream, url) in [
        (LibraryService::Primary, &primary),
        (LibraryService::Fallback, &fallback),
    ] {
        if url.is_empty() {
            let message = format!("library-gate calls {upstream}, whose URL is missing");
            return Err(usage(message));
        }
    }
    with_policies(config, &args.gate)
}

fn book_service(service: LibraryService, args: &DemoServiceArgs) -> Result<LibraryConfig, Failure> {
    if !args.upstreams.is_empty() {
        return Err(usage(format!("{service} calls nobody")));
    }
    if args.policy.is_some() || !args.gate.policies.is_empty() {
        return Err(usage(format!("{service} calls nobody, and has no policy")));
    }
    let books = database(&args.books)?;
    Ok(if service == LibraryService::Primary {
        LibraryConfig::primary(books)
    } else {
        LibraryConfig::fallback(books)
    })
}
