//! `brownout sweep`: moves one value of an experiment until an expectation breaks.

use std::{fs, io};

use brownout_client::Client;
use brownout_experiment::{
    Verdict,
    experiment::Experiment,
    run::{NoJournal, RunRecord, Runner},
    stories::{
        self,
        sweep::{Bisection, Edge, chart},
    },
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    run::refused,
    simulate::{Chosen, Progress, WholeFile, no_such, pretty, tell, until_stopped},
};
use crate::{
    args::SweepArgs,
    control_settings::ControlSettings,
    exit::{Exit, Failure},
    instance::{Instance, Plan},
    show,
    signals::Stop,
    telemetry::{self, TelemetryFile},
};

pub(crate) async fn run(args: SweepArgs) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let (name, source) = source(&args.file)?;
    // Before the first run: both ends must be experiments.
    for place in [0, stories::sweep::Range::PARTS] {
        experiment(&args, &name, &source, args.over.range.at(place))?;
    }
    let json = args.json.as_deref().map(WholeFile::open).transpose()?;
    let stopped = CancellationToken::new();
    let swept = until_stopped(
        stop,
        &stopped,
        Box::pin(sweep(&args, &name, &source, &stopped)),
    )
    .await?;
    let Some(swept) = swept else {
        return Err(Failure::new(
            Exit::Interrupted,
            "interrupted: every fault was removed, and nothing was written",
        ));
    };
    let (over, scale) = (args.over.place.as_str(), args.over.range.scale);
    println!();
    print!("{}", chart(&swept, over, scale));
    if let Some(file) = json {
        file.write(&pretty(&found(&args, &swept)))?;
    }
    Ok(match swept.edge() {
        Edge::Above(..) | Edge::Below(..) | Edge::Holds => Exit::Ok,
        Edge::Fails => Exit::Refused,
    })
}

/// Tries values until the edge is known; none when it was interrupted.
async fn sweep(
    args: &SweepArgs,
    name: &str,
    source: &str,
    stopped: &CancellationToken,
) -> Result<Option<Bisection>, Failure> {
    let (over, scale) = (args.over.place.as_str(), args.over.range.scale);
    let mut swept = Bisection::of(args.over.range);
    show::heading(&format!(
        "brownout sweep: {name} over {over} from {} to {}",
        scale.show(args.over.range.from),
        scale.show(args.over.range.to)
    ));
    while let Some(place) = swept.next() {
        let value = swept.value(place);
        let (mut held, mut observed) = (0, String::new());
        for round in 0..args.repeat {
            let experiment = experiment(args, name, source, value)?;
            let seed = args.seed.wrapping_add(u64::from(round));
            let record = once(args, name, experiment, seed, stopped).await?;
            if stopped.is_cancelled() {
                return Ok(None);
            }
            held += u32::from(record.verdict == Verdict::Passed);
            observed = in_words(&record);
        }
        let holds = held * 2 > args.repeat;
        let word = if holds { "holds" } else { "breaks" };
        println!("  {} {word}: {observed}", scale.show(value));
        swept.tell(place, holds, observed);
    }
    Ok(Some(swept))
}

/// The file with another value in it.
fn experiment(
    args: &SweepArgs,
    name: &str,
    source: &str,
    value: f64,
) -> Result<Experiment, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, why);
    let set = args
        .over
        .place
        .set(source, args.over.range.scale.to_toml(value));
    let text = set.map_err(usage)?;
    let text = expecting(&text, &args.expect).map_err(usage)?;
    let mut experiment = Experiment::read(&text, name).map_err(|error| usage(error.to_string()))?;
    // What is compared with other runs cannot be judged alone.
    for phase in &mut experiment.phases {
        phase
            .expect
            .retain(|it| it.expectation.other_run().is_none());
        let needs_tail = phase
            .expect
            .iter()
            .any(|it| it.expectation.text.contains(".tail"));
        if let (Some(tail), false) = (&mut phase.tail, needs_tail) {
            tail.limit = std::time::Duration::ZERO;
        }
    }
    if experiment.phases.iter().all(|it| it.expect.is_empty()) {
        return Err(usage(format!(
            "{name} expects nothing that one run can tell: say with --expect what must hold"
        )));
    }
    if let Some(duration) = args.duration {
        let tails: Vec<_> = experiment.phases.iter().map(|it| it.tail.clone()).collect();
        experiment.set_length(duration);
        for (phase, tail) in experiment.phases.iter_mut().zip(tails) {
            phase.tail = tail;
        }
    }
    experiment.make_room();
    Ok(experiment)
}

/// A file with other expectations of its phases.
fn expecting(text: &str, expect: &[String]) -> Result<String, String> {
    if expect.is_empty() {
        return Ok(text.to_owned());
    }
    let mut file: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    let expect: Vec<toml::Value> = expect.iter().cloned().map(toml::Value::String).collect();
    let phases = file.get_mut("phase").and_then(toml::Value::as_array_mut);
    for phase in phases.into_iter().flatten() {
        if let Some(phase) = phase.as_table_mut() {
            phase.insert("expect".to_owned(), toml::Value::Array(expect.clone()));
        }
    }
    toml::to_string(&file).map_err(|error| error.to_string())
}

/// One run of the experiment, against its demo or behind a proxy of its own.
async fn once(
    args: &SweepArgs,
    name: &str,
    experiment: Experiment,
    seed: u64,
    stopped: &CancellationToken,
) -> Result<RunRecord, Failure> {
    if experiment.demo.is_some() {
        let chosen = Chosen {
            experiment,
            file: name.to_owned(),
            reproduce: format!("brownout sweep {name}"),
            notes: Vec::new(),
        };
        let progress = Progress::new(true, 1);
        let told = tell(&chosen, seed, &args.telemetry, stopped, &progress).await;
        progress.end();
        return Ok(told?.record);
    }
    let started = telemetry::start(args.telemetry.clone(), TelemetryFile::default())?;
    let (telemetry, service) = started.of_one(Plan::SERVICE);
    let plan = Plan::of_own("127.0.0.1:0", ControlSettings::open(), service);
    let instance = Instance::start(plan, telemetry)?;
    let control = Client::new(&instance.control().to_string())?;
    let runner = Runner {
        seed,
        stop: stopped.clone(),
        journal: Box::new(NoJournal),
        ..Runner::new(experiment, name, control)
    };
    let mut events = Vec::new();
    let ended = runner.run(|event| events.push(event.clone())).await;
    let stop = tokio::task::spawn_blocking(move || instance.stop()).await;
    stop.map_err(|error| Failure::new(Exit::Internal, error))?;
    ended.map_err(|failure| refused(&failure))?;
    Ok(RunRecord::of(&events).expect("a run that ended has begun"))
}

/// What was observed of the expectations: first of one that did not hold.
fn in_words(record: &RunRecord) -> String {
    let mut all: Vec<_> = record.expectations().collect();
    all.sort_by_key(|it| it.verdict == brownout_experiment::run::JudgementVerdict::Passed);
    all.first()
        .map_or_else(String::new, |it| format!("`{}`: {}", it.text, it.observed))
}

fn found(args: &SweepArgs, swept: &Bisection) -> serde_json::Value {
    let scale = args.over.range.scale;
    let (safe, breaks) = match swept.edge() {
        Edge::Above(safe, breaks) | Edge::Below(breaks, safe) => {
            (Some(scale.show(safe)), Some(scale.show(breaks)))
        }
        Edge::Holds | Edge::Fails => (None, None),
    };
    let points = swept.points().iter();
    let points = points.map(
        |it| json!({ "value": scale.show(it.value), "holds": it.holds, "observed": it.observed }),
    );
    json!({
        "schema": 1,
        "over": args.over.place.as_str(),
        "safe": safe,
        "breaks": breaks,
        "points": points.collect::<Vec<_>>(),
    })
}

/// The text of a file or of a story.
fn source(word: &str) -> Result<(String, String), Failure> {
    if let Some(story) = stories::named(word) {
        return Ok((word.to_owned(), story.text.to_owned()));
    }
    let text = fs::read_to_string(word).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_such(word, &[]),
        _ => Failure::new(Exit::Usage, format!("could not read `{word}`: {error}")),
    })?;
    Ok((word.to_owned(), text))
}
