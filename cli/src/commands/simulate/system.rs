//! The demo of a story, and the run of the story against it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use brownout_client::Client;
use brownout_experiment::{
    experiment::{Demo, DemoPolicy},
    run::{Event, Journal, Judgement, NoJournal, RequestJournal, RunRecord, Runner, ServicePoint},
};
use brownout_resilience::Policy;
use demo_services::{Service, library::LibraryService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Chosen, Progress, choose};
use crate::{
    args::{GateArgs, TelemetryArgs},
    commands::run::refused,
    demo_proxy::DemoProxy,
    demo_system::{DemoPlan, DemoSystem},
    exit::{Exit, Failure},
    library_system::{LibraryPlan, LibrarySystem},
    policy,
    telemetry::{self, TelemetryFile},
};

/// A story that was told.
pub(crate) struct Told {
    pub(crate) record: RunRecord,
    events: Vec<Event>,
}

impl Told {
    /// What happened, with what was judged afterwards.
    pub(super) fn events(&self) -> Vec<Event> {
        let Self { record, events } = self;
        let known = |judgement: &Judgement| {
            events
                .iter()
                .any(|it| matches!(it, Event::Judged(it) if it == judgement))
        };
        let added = record.judgements.iter().filter(|it| !known(it));
        let added: Vec<Event> = added.cloned().map(Event::Judged).collect();
        let mut all = Vec::new();
        for event in events {
            match event {
                Event::RolledBack { .. } => {
                    all.extend(added.iter().cloned());
                    all.push(event.clone());
                }
                Event::RunEnded { at_ms, .. } => all.push(Event::RunEnded {
                    verdict: record.verdict,
                    exit_code: record.exit_code,
                    sentence: record.sentence.clone(),
                    at_ms: *at_ms,
                }),
                other => all.push(other.clone()),
            }
        }
        all
    }
}

/// Starts the demo of a story, runs the story, and stops the demo, whatever came of it.
pub(crate) async fn tell(
    chosen: &Chosen,
    seed: u64,
    telemetry: &TelemetryArgs,
    stopped: &CancellationToken,
    progress: &Progress,
) -> Result<Told, Failure> {
    let system = System::start(choose::demo(&chosen.experiment), seed, telemetry.clone()).await?;
    let told = run(chosen, seed, &system, stopped, progress).await;
    let ended = system.stop().await;
    let told = told.map_err(|failure| {
        let name = &chosen.experiment.name;
        Failure::new(failure.exit, format!("{name}: {}", failure.message))
    })?;
    ended?;
    Ok(told)
}

async fn run(
    chosen: &Chosen,
    seed: u64,
    system: &System,
    stopped: &CancellationToken,
    progress: &Progress,
) -> Result<Told, Failure> {
    let control = Client::new(&system.proxy().instance.control().to_string())?;
    let journal: Box<dyn Journal> = match RequestJournal::from_now(control.clone()).await {
        Ok(journal) => Box::new(journal),
        Err(_) => Box::new(NoJournal),
    };
    let number = progress.begin();
    let name = chosen.experiment.name.clone();
    let load = chosen.experiment.load.to.clone();
    let runner = Runner {
        seed,
        reproduce: format!("{} --seed {seed}", chosen.reproduce),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stop: stopped.clone(),
        journal,
        services: system.services(),
        ..Runner::new(chosen.experiment.clone(), &chosen.file, control)
    };
    let mut events = Vec::new();
    let ended = runner.run(|event| {
        progress.tell(number, &name, &load, event);
        events.push(event.clone());
    });
    ended.await.map_err(|failure| refused(&failure))?;
    let record = RunRecord::of(&events).expect("a run that ended has begun");
    Ok(Told { record, events })
}

/// A running demo.
enum System {
    Homepage(Box<DemoSystem>),
    Library(Box<LibrarySystem>, Books),
}

/// The file of the library's books, for as long as the run lasts.
struct Books(PathBuf);

impl System {
    async fn start(demo: &Demo, seed: u64, telemetry: TelemetryArgs) -> Result<Self, Failure> {
        let telemetry = telemetry::start(telemetry, TelemetryFile::default())?.of_many();
        let control = "127.0.0.1:0".to_owned();
        let scale = demo.time_scale;
        if !choose::is_library(demo) {
            let mut policy = policy_of(&demo.policy)?;
            scale_policy(&mut policy, scale);
            let plan = DemoPlan {
                control,
                seed,
                policy,
                usual_ports: false,
                tls: false,
            };
            let system = DemoSystem::start(plan, telemetry).await?;
            return Ok(Self::Homepage(Box::new(system)));
        }
        let books = Books::new();
        let wait = demo.wait;
        let plan = LibraryPlan {
            control,
            seed,
            books: books
                .url()
                .parse()
                .map_err(|error| Failure::chain(Exit::Internal, &error))?,
            gate: GateArgs::default(),
            change_policy: Some(Box::new(move |policy| {
                if let (Some(wait), Some(breaker)) = (wait, &mut policy.breaker) {
                    breaker.wait = wait;
                }
                scale_policy(policy, scale);
            })),
            usual_ports: false,
        };
        let system = LibrarySystem::start(plan, telemetry).await?;
        add_book(system.address(LibraryService::Primary)).await?;
        Ok(Self::Library(Box::new(system), books))
    }

    fn proxy(&self) -> &DemoProxy {
        match self {
            Self::Homepage(system) => &system.proxy,
            Self::Library(system, _) => &system.proxy,
        }
    }

    /// Its services, callers before those they call.
    fn services(&self) -> Vec<ServicePoint> {
        let point = |name: &str, address: SocketAddr| ServicePoint {
            name: name.to_owned(),
            address,
        };
        match self {
            Self::Homepage(system) => [
                Service::Homepage,
                Service::Recommendations,
                Service::Authentication,
                Service::PopularItems,
            ]
            .map(|it| point(it.as_str(), system.address(it)))
            .to_vec(),
            Self::Library(system, _) => [
                ("gate", LibraryService::Gate),
                ("primary", LibraryService::Primary),
                ("fallback", LibraryService::Fallback),
            ]
            .map(|(name, it)| point(name, system.address(it)))
            .to_vec(),
        }
    }

    async fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Homepage(system) => system.stop().await,
            Self::Library(system, books) => {
                let stopped = system.stop().await;
                drop(books);
                stopped
            }
        }
    }
}

impl Books {
    fn new() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!(
            "brownout-books-{}-{}.db",
            std::process::id(),
            since.as_nanos()
        );
        Self(std::env::temp_dir().join(name))
    }

    fn url(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            std::fs::remove_file(path).ok(); // It need not be there.
        }
    }
}

fn policy_of(policy: &DemoPolicy) -> Result<Policy, Failure> {
    match policy {
        DemoPolicy::Original {
            timeout,
            retries,
            circuit_breakers,
        } => Ok(Policy::original(*timeout, *retries, *circuit_breakers)),
        DemoPolicy::Named(word) => policy::find(word),
        DemoPolicy::Written(text) => {
            Policy::from_toml("story", text).map_err(|error| Failure::chain(Exit::Usage, &error))
        }
    }
}

/// Makes every time of a policy so many times as long, in whole ms.
fn scale_policy(policy: &mut Policy, factor: f64) {
    let times = |span: &mut Duration| {
        let millis = (span.as_secs_f64() * factor * 1_000.0).round().max(1.0);
        *span = Duration::from_secs_f64(millis / 1_000.0);
    };
    policy.timeout.attempt.iter_mut().for_each(times);
    policy.timeout.total.iter_mut().for_each(times);
    if let Some(breaker) = &mut policy.breaker {
        times(&mut breaker.wait);
        times(&mut breaker.slow_call_duration);
        breaker.wait_cap.iter_mut().for_each(times);
        breaker.max_wait_in_half_open.iter_mut().for_each(times);
    }
    if let Some(retry) = &mut policy.retry {
        times(&mut retry.backoff.base);
        if let brownout_resilience::Growth::Exponential { cap, .. } = &mut retry.backoff.growth {
            cap.iter_mut().for_each(times);
        }
    }
}

/// Puts the book that everybody reads into the library.
async fn add_book(primary: SocketAddr) -> Result<(), Failure> {
    const BOOK: &str = r#"{"title":"Wild","authors":["Cheryl Strayed"],"year":2012,"publisher":"Alfred A. Knopf"}"#;
    let exchange = async {
        let mut stream = TcpStream::connect(primary).await?;
        let request = format!(
            "POST /api/alm/reactive/books/create HTTP/1.1\r\nhost: {primary}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{BOOK}",
            BOOK.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let failed = |why: String| Failure::new(Exit::Internal, format!("could not add a book: {why}"));
    let answer = timeout(Duration::from_secs(10), exchange).await;
    let answer = answer
        .map_err(|_| failed("no answer within 10 s".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    if answer.starts_with(b"HTTP/1.1 201") {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&answer);
    Err(failed(line.lines().next().unwrap_or_default().to_owned()))
}
