//! `brownout run`: experiments in files.

mod own_proxy;
mod read;
mod reports;

pub(super) use self::reports::{Reports, no_file};

use anstyle::{AnsiColor, Style};
use brownout_client::{Client, ClientError};
use brownout_experiment::{
    render::{Line, Terminal, Tone},
    run::{
        Journal, JournalError, NoJournal, RequestJournal, RunError, RunFailure, Runner, Verdict,
    },
};
use tokio_util::sync::CancellationToken;

use self::{own_proxy::OwnProxy, read::ExperimentFile};
use crate::{
    args::{Output, RunArgs},
    commands::proxy::new_seed,
    exit::{Exit, Failure},
    signals::Stop,
};

pub(crate) use self::read::read_all;

pub(crate) async fn run(args: RunArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let files = read_all(&args.files)?;
    // Before the first run: what was measured should not be lost for a wrong path.
    let mut reports = Reports::open(&args, &files)?;
    let stopped = CancellationToken::new();
    let asked = stopped.clone();
    let listening = async move {
        stop.asked().await;
        asked.cancel();
    };
    let ended = {
        let running = run_all(&args, &files, &stopped, &mut reports);
        let mut running = std::pin::pin!(running);
        tokio::select! {
            biased;
            // The run rolls back and ends by itself.
            () = listening => running.await,
            ended = &mut running => ended,
        }
    };
    let written = reports.finish();
    let verdict = ended?;
    written?;
    Ok(exit(verdict, args.exit_code_on_fail))
}

/// Runs one file after the other. The verdict that decides the exit code.
async fn run_all(
    args: &RunArgs,
    files: &[ExperimentFile],
    stopped: &CancellationToken,
    reports: &mut Reports,
) -> Result<Verdict, Failure> {
    let mut own = OwnProxy::new(args);
    let mut worst = Verdict::Passed;
    let mut failed = None;
    for (index, file) in files.iter().enumerate() {
        if stopped.is_cancelled() {
            break;
        }
        if index > 0 && args.output == Output::Text {
            println!();
        }
        match run_one(args, file, stopped, reports, &mut own).await {
            Ok(verdict) if verdict.priority() > worst.priority() => worst = verdict,
            Ok(_) => {}
            Err(failure) => {
                let failure =
                    Failure::new(failure.exit, format!("{}: {}", file.name, failure.message));
                // A fault that may be armed is worse than any other failure.
                let is_worse = failure.exit == Exit::FaultLeft;
                failed = match failed {
                    Some(before) if !is_worse => super::tell_all_but_one(Some(failure), before),
                    before => super::tell_all_but_one(before, failure),
                };
            }
        }
    }
    own.stop().await?;
    match failed {
        Some(failure) if worst != Verdict::FaultsLeft => Err(failure),
        _ => Ok(worst),
    }
}

async fn run_one(
    args: &RunArgs,
    file: &ExperimentFile,
    stopped: &CancellationToken,
    reports: &mut Reports,
    own: &mut OwnProxy,
) -> Result<Verdict, Failure> {
    if file.experiment.demo.is_some() {
        let message = format!("it starts a demo: brownout simulate {}", file.name);
        return Err(Failure::new(Exit::Usage, message));
    }
    let control = control(args, file, own).await?;
    let experiment = file.experiment.clone();
    let seed = args.seed.or(experiment.seed).unwrap_or_else(new_seed);
    let journal: Box<dyn Journal> = match RequestJournal::from_now(control.clone()).await {
        Ok(journal) => Box::new(journal),
        Err(JournalError::NotThere) => Box::new(NoJournal),
        Err(JournalError::Unreadable(why)) => return Err(Failure::new(Exit::Unreachable, why)),
    };
    let runner = Runner {
        journal,
        seed,
        reproduce: format!("brownout run {} --seed {seed}", file.name),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: args.commit.clone(),
        stop: stopped.clone(),
        ..Runner::new(experiment, &file.name, control)
    };
    let mut terminal = Terminal::new(args.quiet);
    let mut events = Vec::new();
    let ended = runner.run(|event| {
        if args.output == Output::Text {
            print_lines(&terminal.lines(event));
        }
        reports.event(event);
        events.push(event.clone());
    });
    let ended = ended.await;
    let told = reports.add(file, &events);
    let verdict = ended.map_err(|failure| refused(&failure))?;
    told?;
    Ok(verdict)
}

/// The proxy that a file is run against.
async fn control(
    args: &RunArgs,
    file: &ExperimentFile,
    own: &mut OwnProxy,
) -> Result<Client, Failure> {
    let given = args.control.as_ref().or(file.experiment.control.as_ref());
    let Some(given) = given else {
        return own.client("127.0.0.1:0");
    };
    let client = super::client_of(given)?;
    match client.health().await {
        Err(ClientError::Unreachable { .. }) if file.experiment.start && args.control.is_none() => {
            own.client(given.trim_start_matches("http://").trim_end_matches('/'))
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(client),
    }
}

pub(super) fn refused(failure: &RunFailure) -> Failure {
    let RunFailure { error, left } = failure;
    let exit = match error {
        _ if !left.is_empty() => Exit::FaultLeft,
        RunError::Control(source)
        | RunError::Route { source, .. }
        | RunError::Arm { source, .. } => match source {
            ClientError::Refused(_) => Exit::Usage,
            ClientError::Unreachable { .. }
            | ClientError::Tls { .. }
            | ClientError::Timeout { .. }
            | ClientError::Foreign { .. } => Exit::Unreachable,
        },
        RunError::OtherRoute { .. } | RunError::NoRoute(_) | RunError::NoService { .. } => {
            Exit::Usage
        }
        RunError::Target { .. } | RunError::Stats { .. } => Exit::Unreachable,
    };
    let told = Failure::chain(exit, error);
    match left.is_empty() {
        true => told,
        false => Failure::new(
            exit,
            format!("{}; {} may still be armed", told.message, left.join(", ")),
        ),
    }
}

pub(super) fn exit(verdict: Verdict, on_fail: Option<u8>) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Ok,
        Verdict::Failed => on_fail.map_or(Exit::Refused, Exit::Chosen),
        Verdict::SteadyNotMet => Exit::SteadyNotMet,
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Halted => Exit::Halted,
        Verdict::FaultsLeft => Exit::FaultLeft,
        Verdict::Interrupted => Exit::Interrupted,
    }
}

/// Prints lines in their tones; plain in a pipe.
pub(super) fn print_lines(lines: &[Line]) {
    for Line { text, tone } in lines {
        let style = match tone {
            Tone::Plain => Style::new(),
            Tone::Strong => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Unsure => AnsiColor::Yellow.on_default(),
        };
        println!("{style}{text}{style:#}");
    }
}
