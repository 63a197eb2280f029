//! `brownout audit`: what a service that is not ours does about outages of its dependencies.

mod service;
mod under_test;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::ToSocketAddrs,
    path::Path,
};

use brownout_client::Client;
use brownout_control_api::Wanted;
use brownout_experiment::{
    audit::{Audit, AuditError, AuditReport, AuditVerdict, Endpoint, Options},
    render::{AuditTerminal, audit_experiment, audit_html, audit_junit, audit_markdown},
    run::RunError,
};
use brownout_proxy::NewRoute;
use http::{Method, Uri};
use tokio_util::sync::CancellationToken;

use self::{service::Service, under_test::Routes};
use super::{
    proxy::new_seed,
    run::{no_file, print_lines},
};
use crate::{
    args::{AuditArgs, Output},
    config::Config,
    control_settings::ControlSettings,
    exit::{Exit, Failure},
    instance::{Instance, Plan},
    signals::Stop,
    telemetry::{self, TelemetryFile},
};

/// So many requests are kept as evidence: more than any experiment makes.
const EVIDENCE: usize = 100_000;
/// Where the proxy of an experiment that is written is looked for, if the audit used none that runs already.
const CONTROL: &str = "127.0.0.1:8474";

pub(crate) async fn run(args: AuditArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let page = endpoint(&args.page, None)?;
    let seed = args.seed.unwrap_or_else(new_seed);
    let mut own = None;
    let (control, routes) = match &args.control {
        Some(control) => Routes::of_running(&args, control).await?,
        None => {
            let instance = start_proxy(&args)?;
            let client = Client::new(&instance.control().to_string())?;
            let routes = Routes::of_own(&instance)?;
            own = Some(instance);
            (client, routes)
        }
    };
    let options = options(&args, page, &routes, seed)?;
    check_files(&args)?;
    let mut service = Service::start(&args, routes.variables)?;
    let stopped = CancellationToken::new();
    let asked = stopped.clone();
    let listening = async move {
        stop.asked().await;
        asked.cancel();
    };
    let is_text = args.output == Output::Text && !is_stdout(args.json.as_deref());
    let ended = {
        let audit = Audit {
            options,
            control,
            service: &mut service,
            stop: stopped,
        };
        let mut terminal = AuditTerminal::default();
        let running = audit.run(|event| {
            if is_text {
                print_lines(&terminal.lines(&event));
            }
        });
        let mut running = std::pin::pin!(running);
        tokio::select! {
            biased;
            () = listening => running.await,
            ended = &mut running => ended,
        }
    };
    let log = service.stop().await;
    if let Some(instance) = own {
        let stopped = tokio::task::spawn_blocking(move || instance.stop()).await;
        stopped.map_err(|error| Failure::new(Exit::Internal, error))?;
    }
    let report = ended.map_err(|error| refused(&error, &log))?;
    if is_text {
        print_lines(&AuditTerminal::report(&report));
    }
    write(&args, &report)?;
    Ok(match report.verdict {
        _ if report.interrupted => Exit::Interrupted,
        AuditVerdict::Pass => Exit::Ok,
        AuditVerdict::Fail => Exit::Refused,
        AuditVerdict::Inconclusive => Exit::Inconclusive,
    })
}

/// The proxy of the audit.
fn start_proxy(args: &AuditArgs) -> Result<Instance, Failure> {
    let mut routes = args
        .routes
        .iter()
        .map(|it| under_test::parse_route(it))
        .collect::<Result<Vec<NewRoute>, Failure>>()?;
    let config = match &args.config {
        Some(path) => Config::read(path, &routes)?,
        None => Config::default(),
    };
    routes.extend(config.routes);
    if routes.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "no dependency is named; say one with --route NAME=UPSTREAM, such as --route rates=http://127.0.0.1:7000",
        ));
    }
    let started = telemetry::start(args.telemetry.clone(), TelemetryFile::default())?;
    let (telemetry, service) = started.of_one(Plan::SERVICE);
    let plan = Plan {
        evidence_capacity: EVIDENCE,
        wanted: Wanted {
            routes,
            faults: Vec::new(),
        },
        ..Plan::of_own("127.0.0.1:0", ControlSettings::open(), service)
    };
    Instance::start(plan, telemetry)
}

fn options(
    args: &AuditArgs,
    page: Endpoint,
    routes: &Routes,
    seed: u64,
) -> Result<Options, Failure> {
    let watch = args
        .watch
        .as_deref()
        .map(|it| beside(&page, it))
        .transpose()?;
    let order = args
        .order
        .as_deref()
        .map(|it| order(&page, it, &args.order_body))
        .transpose()?;
    if let Some(second) = &args.second_source {
        routes.must_have(second)?;
    }
    Ok(Options {
        routes: routes.names.clone(),
        second_source: args.second_source.clone(),
        watch,
        order,
        budget: args.budget,
        degraded: args.degraded.clone(),
        only: args.only.iter().flat_map(|it| it.0.clone()).collect(),
        fast: args.fast,
        deadline: args.deadline,
        rate: args.rate,
        seed,
        ready_within: args.ready_within,
        reproduce: reproduce(args, seed),
        page,
    })
}

/// Reads `http://HOST:PORT/PATH`.
fn endpoint(url: &str, method: Option<Method>) -> Result<Endpoint, Failure> {
    let wrong = |why: &str| {
        let told = format!("`{url}` {why}; write it like http://127.0.0.1:5000/page");
        Failure::new(Exit::Usage, told)
    };
    let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(wrong("does not begin with http://"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let addresses = (host, port).to_socket_addrs();
    let found = addresses.map_err(|error| wrong(&format!("cannot be found ({error})")))?;
    let mut found: Vec<_> = found.collect();
    // `localhost` may be both; servers listen on the older one more often.
    found.sort_by_key(std::net::SocketAddr::is_ipv6);
    let address = found
        .first()
        .copied()
        .ok_or_else(|| wrong("has no address"))?;
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    Ok(Endpoint {
        address,
        host: authority.to_string(),
        path: path.to_owned(),
        method: method.unwrap_or(Method::GET),
        body: None,
    })
}

/// Another endpoint of the service that serves the page: a path, or a URL of its own.
fn beside(page: &Endpoint, word: &str) -> Result<Endpoint, Failure> {
    if word.contains("://") {
        return endpoint(word, None);
    }
    if !word.starts_with('/') || word.parse::<Uri>().is_err() {
        let told = format!("`{word}` is not a path; write it like /healthz");
        return Err(Failure::new(Exit::Usage, told));
    }
    Ok(Endpoint {
        path: word.to_owned(),
        body: None,
        ..page.clone()
    })
}

fn order(page: &Endpoint, word: &str, body: &str) -> Result<Endpoint, Failure> {
    let wrong = || {
        let told = format!("`--order {word}` is not of the form METHOD:PATH, such as POST:/order");
        Failure::new(Exit::Usage, told)
    };
    let (method, path) = word.split_once(':').ok_or_else(wrong)?;
    let method: Method = method.to_uppercase().parse().map_err(|_| wrong())?;
    if let Err(error) = serde_json::from_str::<serde_json::Value>(body) {
        let told = format!("`--order-body` is not JSON: {error}");
        return Err(Failure::new(Exit::Usage, told));
    }
    Ok(Endpoint {
        method,
        body: Some(body.to_owned()),
        ..beside(page, path)?
    })
}

/// The command that does the same again.
fn reproduce(args: &AuditArgs, seed: u64) -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut() {
        let name = Path::new(program.as_str()).file_name();
        *program = name.map_or_else(|| program.clone(), |it| it.to_string_lossy().into_owned());
    }
    if args.seed.is_none() {
        let command = words
            .iter()
            .position(|it| it == "--")
            .unwrap_or(words.len());
        words.splice(command..command, ["--seed".to_owned(), seed.to_string()]);
    }
    let quoted = words.iter().map(|word| {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=,+@%".contains(it);
        match !word.is_empty() && word.chars().all(is_plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn is_stdout(path: Option<&Path>) -> bool {
    path == Some(Path::new("-"))
}

/// That reports can be written is found out before the audit, not behind it.
fn check_files(args: &AuditArgs) -> Result<(), Failure> {
    let json = args.json.as_deref().filter(|it| !is_stdout(Some(it)));
    let files = [
        json,
        args.html.as_deref(),
        args.junit.as_deref(),
        args.markdown.as_deref(),
        args.write.as_deref(),
    ];
    for path in files.into_iter().flatten() {
        let why = match path.parent() {
            _ if path.is_dir() => "it is a directory",
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                "its directory does not exist"
            }
            _ => continue,
        };
        let shown = path.display();
        return Err(Failure::new(
            Exit::Usage,
            format!("cannot write `{shown}`: {why}"),
        ));
    }
    Ok(())
}

/// Writes what was asked for.
fn write(args: &AuditArgs, report: &AuditReport) -> Result<(), Failure> {
    let control = args.control.as_deref().unwrap_or(CONTROL);
    let json = serde_json::to_string_pretty(report).expect("a report is JSON");
    if args.output == Output::Json || is_stdout(args.json.as_deref()) {
        println!("{json}");
    }
    let files = [
        (args.json.as_deref().filter(|it| !is_stdout(Some(it))), json),
        (args.html.as_deref(), audit_html(report)),
        (args.junit.as_deref(), audit_junit(report)),
        (args.markdown.as_deref(), audit_markdown(report)),
        (args.write.as_deref(), audit_experiment(report, control)),
    ];
    for (path, text) in files {
        let Some(path) = path else { continue };
        fs::write(path, text).map_err(|error| no_file(path, &error))?;
    }
    if let Some(path) = &args.github_step_summary {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        let added = opened.and_then(|mut file| file.write_all(audit_markdown(report).as_bytes()));
        added.map_err(|error| no_file(path, &error))?;
    }
    Ok(())
}

fn refused(error: &AuditError, log: &str) -> Failure {
    let exit = match error {
        AuditError::Run(RunError::Control(_)) | AuditError::Journal(_) => Exit::Unreachable,
        AuditError::Run(_) | AuditError::OtherFaults(_) => Exit::Usage,
        AuditError::Service(_) | AuditError::NotReady { .. } => Exit::Inconclusive,
        AuditError::FaultLeft(_) => Exit::FaultLeft,
        AuditError::Interrupted => Exit::Interrupted,
    };
    let told = Failure::chain(exit, error);
    let tells_more = matches!(error, AuditError::Service(_) | AuditError::NotReady { .. });
    match tells_more && !log.is_empty() {
        true => Failure::new(exit, format!("{}\n\n{log}", told.message)),
        false => told,
    }
}
