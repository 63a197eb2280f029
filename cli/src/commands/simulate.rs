//! `brownout simulate`: an outage of the demo from beginning to end.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::Duration,
};

use brownout_client::Client;
use brownout_experiment::{
    Event, Policy as ReportedPolicy, Report, Scenario, Services, Simulation, SimulationError,
};
use brownout_fault::units::show_duration;
use brownout_resilience::Policy;
use demo_services::Service;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::{Output, SimulateArgs},
    commands::to_json,
    demo_system::{DemoPlan, DemoSystem},
    exit::{Exit, Failure},
    policy, show,
    signals::Stop,
    telemetry::{self, TelemetryFile},
};

/// Where there is no terminal to ask for its width.
const WIDTH: usize = 80;

pub(crate) async fn run(args: SimulateArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let policy = match &args.policy {
        Some(word) => policy::find(word)?,
        None => Policy::original(args.timeout, args.retries, args.circuit_breakers),
    };
    // Before the run: what was measured should not be lost for a wrong path.
    let json = match &args.json {
        Some(path) => Some((path.as_path(), open(path)?)),
        None => None,
    };
    let telemetry = telemetry::start(args.telemetry.clone(), TelemetryFile::default())?.of_many();
    let plan = DemoPlan {
        control: "127.0.0.1:0".to_owned(),
        seed: args.seed,
        policy: policy.clone(),
        usual_ports: false,
    };
    let system = DemoSystem::start(plan, telemetry).await?;
    let simulation = simulation(&args, &policy, &system)?;
    if args.output == Output::Text {
        announce(&args, &simulation);
    }

    let progress = Progress::of(&simulation);
    let measured = tokio::select! {
        biased;
        () = stop.asked() => None,
        measured = simulation.run(|event| progress.tell(&event)) => Some(measured),
    };
    progress.end();
    simulation.cleaned_up().await;
    system.stop().await?;

    let Some(measured) = measured else {
        return Err(Failure::new(
            Exit::Interrupted,
            "interrupted; the fault was removed",
        ));
    };
    let report = measured.map_err(|error| failure(&error))?;
    if let Some((path, file)) = json {
        write(&report, file).map_err(|error| no_file(path, &error))?;
    }
    match args.output {
        Output::Text => print!("\n{}", report.to_text(width())),
        Output::Json => println!("{}", to_json(&report)),
    }
    Ok(ended(&report))
}

fn simulation(
    args: &SimulateArgs,
    policy: &Policy,
    system: &DemoSystem,
) -> Result<Simulation, Failure> {
    let url = |service| format!("http://{}", system.address(service));
    let services = Services {
        homepage: url(Service::Homepage),
        authentication: url(Service::Authentication),
        recommendations: url(Service::Recommendations),
        popular_items: url(Service::PopularItems),
    };
    let control = Client::new(&system.stage.house.control().to_string())?;
    let homepage = system.address(Service::Homepage);
    Ok(Simulation {
        duration: args.duration,
        connections: args.connections,
        tail_limit: args.tail_limit,
        policy: Some(ReportedPolicy {
            name: policy.name.clone(),
            settings: policy.to_toml(),
        }),
        seed: Some(args.seed),
        ..Simulation::new(args.scenario.into(), homepage, services, control)
    })
}

fn announce(args: &SimulateArgs, simulation: &Simulation) {
    let scenario = simulation.scenario;
    show::heading(&format!("brownout simulate: {scenario}"));
    let what = match scenario {
        Scenario::Ideal => "nothing goes wrong",
        Scenario::Outage => "connections from the homepage to recommendations are reset",
        Scenario::Performance => {
            "recommendations is slow: its own calls take 5 to 10 s, and hold its 8 workers"
        }
    };
    println!("{what}");
    println!(
        "{} over {}; the homepage's protection: {}",
        show_duration(simulation.duration),
        show::count(simulation.connections, "connection"),
        protection(args)
    );
}

/// What was asked for, in words.
fn protection(args: &SimulateArgs) -> String {
    if let Some(policy) = &args.policy {
        return format!("policy {policy}");
    }
    let timeout = args
        .timeout
        .map(|it| format!("timeout {}", show_duration(it)));
    let retries = args.retries.then(|| "retries".to_owned());
    let breakers = args.circuit_breakers.then(|| "circuit breakers".to_owned());
    let all: Vec<String> = [timeout, retries, breakers].into_iter().flatten().collect();
    if all.is_empty() {
        return "none but its fallback".to_owned();
    }
    all.join(", ")
}

/// A bar on a terminal; nothing in a pipe.
struct Progress {
    bar: ProgressBar,
    tail_limit: Duration,
}

impl Progress {
    fn of(simulation: &Simulation) -> Self {
        let bar = ProgressBar::new(millis(simulation.duration));
        let style = ProgressStyle::with_template("{bar:40} {msg}").expect("a valid template");
        bar.set_style(style);
        Self {
            bar,
            tail_limit: simulation.tail_limit(),
        }
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Armed { id, route } => {
                self.say(format!("the fault `{id}` is armed on the route {route}"));
            }
            Event::Second { number, counts } => {
                let over = Duration::from_secs(*number as u64 + 1);
                self.bar.set_position(millis(over));
                self.say(format!(
                    "{} served in the last second, {} degraded, {} failed",
                    counts.served, counts.degraded, counts.errors
                ));
            }
            Event::BurstEnded { total } => self.say(format!("{} served in all", total.served)),
            Event::Tail {
                elapsed,
                queued,
                running,
            } => self.say(format!(
                "the clients have left; recommendations has {} to do for nobody ({:.0} s of at most {:.0} s)",
                queued + running,
                elapsed.as_secs_f64(),
                self.tail_limit.as_secs_f64()
            )),
            Event::Healed => self.say("the fault is removed".to_owned()),
        }
    }

    fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into())
}

/// What is there already stays until there is something to write.
fn open(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).write(true).truncate(false).open(path);
    opened.map_err(|error| no_file(path, &error))
}

fn write(report: &Report, mut file: File) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(&text)
}

fn no_file(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(Exit::Usage, format!("could not write `{path}`: {error}"))
}

fn failure(error: &SimulationError) -> Failure {
    let exit = match error {
        SimulationError::Duration(_)
        | SimulationError::Connections(_)
        | SimulationError::TailLimit(_) => Exit::Usage,
        SimulationError::FaultLeft { .. } => Exit::FaultLeft,
        SimulationError::Homepage { .. }
        | SimulationError::HomepageGone { .. }
        | SimulationError::Stats { .. }
        | SimulationError::Routes(_) => Exit::Unreachable,
        SimulationError::Restarted(_)
        | SimulationError::Arm { .. }
        | SimulationError::Fault { .. } => Exit::Internal,
    };
    Failure::chain(exit, error)
}

fn ended(report: &Report) -> Exit {
    let left = report
        .fault
        .as_ref()
        .is_some_and(|it| it.removal_error.is_some());
    if left { Exit::FaultLeft } else { Exit::Ok }
}
