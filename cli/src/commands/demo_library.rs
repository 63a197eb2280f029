//! `brownout demo library`: see a primary stop, and the gate's circuit breakers at work.

use demo_services::library::{DatabaseUrl, LibraryService};

use crate::{
    args::{LibraryArgs, Output},
    demo_proxy::announce,
    exit::{Exit, Failure},
    library_system::{FALLBACK_ROUTE, LibraryPlan, LibrarySystem, PRIMARY_ROUTE, database},
    show,
    signals::Stop,
    telemetry::{self, TelemetryFile},
};

pub(super) async fn run(args: LibraryArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let books = database(&args.books)?;
    let telemetry = telemetry::start(args.telemetry, TelemetryFile::default())?.of_many();
    let plan = LibraryPlan {
        control: args.control,
        seed: args.seed,
        books: books.clone(),
        gate: args.gate,
        change_policy: None,
        usual_ports: true,
    };
    let system = LibrarySystem::start(plan, telemetry).await?;
    match args.output {
        Output::Text => announce_text(&system, &books),
        Output::Json => {
            let addresses = LibraryService::ALL;
            let addresses = addresses.map(|service| (service.as_str(), system.address(service)));
            system.proxy.announce_json(&addresses);
        }
    }
    tokio::select! {
        _ = stop.asked_while(|order| system.proxy.instance.obey(order)) => {}
        never = system.follow_policies() => match never {},
    }
    system.stop().await?;
    Ok(Exit::Ok)
}

fn announce_text(system: &LibrarySystem, books: &DatabaseUrl) {
    let proxy = &system.proxy;
    let control = proxy.instance.control();
    let gate = system.address(LibraryService::Gate);
    show::heading(&format!(
        "brownout {}: the library",
        env!("CARGO_PKG_VERSION")
    ));
    println!();
    announce(
        "you -> library-gate",
        format_args!("http://{gate}  (g1 to g5)"),
    );
    for (service, route) in [
        (LibraryService::Primary, PRIMARY_ROUTE),
        (LibraryService::Fallback, FALLBACK_ROUTE),
    ] {
        let path = format!("{} -> {service}", LibraryService::Gate);
        proxy.announce_hop(path, route, system.address(service));
    }
    announce("books", books);
    announce("control API", format_args!("http://{control}"));
    println!();
    println!(
        "a book, a new book, the primary gone (ask six times), the breakers, the primary back:"
    );
    println!("  curl -s http://{gate}/api/almg/books/g1/1");
    println!(
        "  curl -s -X POST http://{gate}/api/almg/books/g1 -d \
         '{{\"title\":\"Piranesi\",\"authors\":[\"Susanna Clarke\"],\"year\":2020,\"publisher\":\"Bloomsbury\"}}'"
    );
    println!(
        "  curl -s -X POST http://{control}/faults -d '{{\"route\":\"{PRIMARY_ROUTE}\",\"reset\":{{}}}}'"
    );
    println!("  curl -s http://{gate}/api/almg/actuator/health");
    println!("  curl -s -X DELETE http://{control}/faults");
    proxy.announce_end();
}
