//! `brownout simulate`: outages of the demo from beginning to end, each a story that is told by the runner of experiments.

mod choose;
mod files;
mod progress;
mod system;

pub(super) use self::{
    choose::{Chosen, no_such},
    files::{WholeFile, pretty},
    progress::Progress,
    system::tell,
};

use std::{sync::Arc, time::Duration};

use brownout_experiment::{
    Verdict, render,
    run::ceiling,
    stories::{STORIES, StoriesReport, changes, judge_across, missing, table},
};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use self::system::Told;
use super::run::{exit, print_lines};
use crate::{
    args::{Output, SimulateArgs},
    commands::to_json,
    exit::{Exit, Failure},
    show,
    signals::Stop,
};

/// So many keep a trivial server busy.
const CEILING_CONNECTIONS: usize = 64;

pub(crate) async fn run(args: SimulateArgs) -> Result<Exit, Failure> {
    if args.list {
        list(args.output);
        return Ok(Exit::Ok);
    }
    if args.ceiling {
        return say_ceiling(args.output).await;
    }
    let stop = Stop::listen()?;
    let chosen = choose::choose(&args)?;
    let before = args.against.as_deref().map(files::read).transpose()?;
    // Before the first run: what was measured should not be lost for a wrong path.
    let json = args.json.as_deref().map(WholeFile::open).transpose()?;
    let html = args.html.as_deref().map(WholeFile::open).transpose()?;
    let markdown = args.markdown.as_deref().map(WholeFile::open).transpose()?;

    if args.output == Output::Text {
        announce(&chosen, args.repeat, args.jobs);
    }
    let stopped = CancellationToken::new();
    let report = until_stopped(stop, &stopped, run_all(&args, &chosen, &stopped)).await?;
    if stopped.is_cancelled() {
        return Err(Failure::new(
            Exit::Interrupted,
            "interrupted: every fault was removed, and no report was written",
        ));
    }
    for (file, text) in [
        (
            json,
            &mut (|| files::pretty(&report)) as &mut dyn FnMut() -> String,
        ),
        (html, &mut || page(&report, before.as_ref())),
        (markdown, &mut || table(&report.groups(), true)),
    ] {
        if let Some(file) = file {
            file.write(&text())?;
        }
    }
    match args.output {
        Output::Json => println!("{}", to_json(&report)),
        Output::Text => conclude(&args, &report, before.as_ref()),
    }
    Ok(exit(report.verdict, None))
}

/// Says what is to come.
fn announce(chosen: &[Chosen], repeat: u32, jobs: u32) {
    let what = match chosen {
        [only] => only.experiment.name.clone(),
        several => show::count(several.len(), "story").replace("storys", "stories"),
    };
    let times = if repeat > 1 {
        format!(", {repeat} times")
    } else {
        String::new()
    };
    let all: Duration = chosen.iter().map(|it| length(&it.experiment)).sum();
    let all = all.mul_f64(f64::from(repeat) / f64::from(jobs)).as_secs();
    show::heading(&format!(
        "brownout simulate: {what}{times}; {all} s, and what upstreams work for nobody after that"
    ));
    println!();
}

/// Lets something run until its end; a signal only asks it to end.
pub(super) async fn until_stopped<T>(
    stop: Stop,
    stopped: &CancellationToken,
    running: impl Future<Output = T>,
) -> T {
    let mut running = std::pin::pin!(running);
    tokio::select! {
        biased;
        () = stop.asked() => {
            stopped.cancel();
            running.await
        }
        ended = &mut running => ended,
    }
}

/// Runs every story as often as was asked, and judges each beside the others of its round.
async fn run_all(
    args: &SimulateArgs,
    chosen: &[Chosen],
    stopped: &CancellationToken,
) -> Result<StoriesReport, Failure> {
    let names: Vec<&str> = chosen
        .iter()
        .map(|it| it.experiment.name.as_str())
        .collect();
    let progress = Arc::new(Progress::new(
        args.output == Output::Text,
        chosen.len() * args.repeat as usize,
    ));
    let mut all = Vec::new();
    for round in 0..args.repeat {
        let running = chosen.iter().map(|it| {
            let progress = Arc::clone(&progress);
            let seed = args.seed.wrapping_add(u64::from(round));
            async move {
                let told = system::tell(it, seed, &args.telemetry, stopped, &progress).await;
                told.map(|told| (it, told))
            }
        });
        let mut running = stream::iter(running).buffered(args.jobs as usize);
        let mut round_told: Vec<Told> = Vec::new();
        let mut failed = None;
        while let Some(told) = running.next().await {
            if stopped.is_cancelled() {
                continue; // The rest rolls back.
            }
            match told {
                Ok((chosen, mut told)) => {
                    let others: Vec<_> = round_told.iter().map(|it| &it.record).collect();
                    judge_across(&chosen.experiment, &mut told.record, &others);
                    if args.output == Output::Text {
                        progress.aside(|| say(args, chosen, &told, &names));
                    }
                    round_told.push(told);
                }
                Err(failure) => failed = super::tell_all_but_one(failed, failure),
            }
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        all.extend(round_told.into_iter().map(|it| it.record));
        if stopped.is_cancelled() {
            break;
        }
    }
    progress.end();
    Ok(StoriesReport::of(all))
}

/// Prints what came of one story.
fn say(args: &SimulateArgs, chosen: &Chosen, told: &Told, names: &[&str]) {
    let mut terminal = render::Terminal::new(args.quiet);
    for event in told.events() {
        print_lines(&terminal.lines(&event));
    }
    if args.quiet {
        return;
    }
    for line in render::stories::in_words(&told.record) {
        println!("  {line}");
    }
    if names.len() == 1 && args.repeat == 1 {
        println!("\n  pages served in each second:");
        for line in render::stories::drawing(&told.record, 76).lines() {
            println!("  {line}");
        }
    }
    for note in &chosen.notes {
        println!("  {note}");
    }
    let missing = missing(&chosen.experiment, names);
    if !missing.is_empty() {
        println!(
            "  not compared with {}: run them together, as in brownout simulate {} {}",
            missing.join(" and "),
            missing.join(" "),
            chosen.experiment.name
        );
    }
    println!();
}

/// Prints the table of several runs, and what has changed.
fn conclude(args: &SimulateArgs, report: &StoriesReport, before: Option<&StoriesReport>) {
    if report.runs.len() > 1 {
        show::heading("The stories side by side");
        print!("{}", table(&report.groups(), false));
        println!("{}", render::stories::FOOTNOTE);
        let held = report
            .runs
            .iter()
            .filter(|it| it.verdict == Verdict::Passed);
        println!("{} of {} as expected", held.count(), report.runs.len());
    }
    if let (Some(before), Some(path)) = (before, &args.against) {
        show::heading(&format!("Since {}", path.display()));
        let lines = changes(before, report);
        if lines.is_empty() {
            println!("nothing has changed by more than noise");
        }
        lines.iter().for_each(|line| println!("{line}"));
    }
}

fn page(report: &StoriesReport, before: Option<&StoriesReport>) -> String {
    match report.runs.as_slice() {
        [only] if before.is_none() => render::html(only),
        _ => render::comparison(report, before),
    }
}

/// Measures what the load itself can do.
async fn say_ceiling(output: Output) -> Result<Exit, Failure> {
    let found = ceiling(CEILING_CONNECTIONS, Duration::from_secs(3)).await;
    let found = found.map_err(|error| Failure::new(Exit::Internal, error))?;
    match output {
        Output::Json => println!(
            "{}",
            serde_json::json!({ "requests_per_second": found.rate.round(), "connections": found.connections })
        ),
        Output::Text => println!(
            "{:.0} requests a second over {} connections, to a server of this process that does nothing: \
             a load near that measures itself",
            found.rate, found.connections
        ),
    }
    Ok(Exit::Ok)
}

fn list(output: Output) {
    let stories = STORIES.iter().map(choose::of_story);
    match output {
        Output::Json => {
            let stories: Vec<_> = stories
                .map(|it| serde_json::json!({ "name": it.name, "title": it.title, "seconds": length(&it).as_secs_f64() }))
                .collect();
            println!("{}", to_json(&stories));
        }
        Output::Text => show::table(
            ["NAME", "LASTS", "WHAT IT SHOWS"],
            stories.map(|it| {
                let lasts = brownout_fault::units::show_duration(length(&it));
                [it.name.clone(), lasts, it.title]
            }),
        ),
    }
}

fn length(experiment: &brownout_experiment::experiment::Experiment) -> Duration {
    experiment.phases.iter().filter_map(|it| it.duration).sum()
}
