//! From words on the command line to the stories that are meant.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use brownout_experiment::{
    Story,
    experiment::{Arrivals, Demo, DemoPolicy, DemoSystem, Experiment, Load},
    stories,
};
use brownout_fault::read::nearest;

use crate::{
    args::SimulateArgs,
    commands::run::read_all,
    exit::{Exit, Failure},
};

/// A story that is to be run.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) experiment: Experiment,
    /// Where it is written.
    pub(crate) file: String,
    /// The command that does the same again, without its seed.
    pub(crate) reproduce: String,
    /// What a reader should know of it.
    pub(crate) notes: Vec<String>,
}

/// The original's words, and the stories that have their faults.
const ORIGINAL: [(&str, &str); 3] = [
    ("ideal", "a-ideal"),
    ("outage", "a-outage-gateway"),
    ("performance", "a-slow-nothing"),
];

/// All that are meant, each once, as the flags change them.
pub(super) fn choose(args: &SimulateArgs) -> Result<Vec<Chosen>, Failure> {
    let mut all: Vec<Chosen> = Vec::new();
    for word in &args.stories {
        for mut chosen in meant(word, args)? {
            change(&mut chosen, args);
            if !all
                .iter()
                .any(|it| it.experiment.name == chosen.experiment.name)
            {
                all.push(chosen);
            }
        }
    }
    // What others compare themselves with is run before them.
    let place = |it: &Chosen| {
        let found = stories::STORIES
            .iter()
            .position(|story| story.name == it.experiment.name);
        found.unwrap_or(usize::MAX)
    };
    all.sort_by_key(place);
    Ok(all)
}

/// A built-in story as an experiment.
pub(super) fn of_story(story: &Story) -> Experiment {
    Experiment::read(story.text, story.name).expect("a test reads every story")
}

fn meant(word: &str, args: &SimulateArgs) -> Result<Vec<Chosen>, Failure> {
    if let Some((_, story)) = ORIGINAL.iter().find(|(original, _)| *original == word) {
        return Ok(vec![original(word, story, args)]);
    }
    let protected = args.timeout.is_some() || args.retries || args.circuit_breakers;
    if protected || args.policy.is_some() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "`{word}` has its own protection; --timeout, --retries, --circuit-breakers and --policy are for ideal, \
                 outage and performance"
            ),
        ));
    }
    let fitting = stories::fitting(word);
    if !fitting.is_empty() {
        let chosen = fitting.iter().map(|story| Chosen {
            experiment: of_story(story),
            file: format!("experiments/stories/{}.toml", story.name),
            reproduce: format!("brownout simulate {}", story.name),
            notes: Vec::new(),
        });
        return Ok(chosen.collect());
    }
    if Path::new(word).exists() {
        let files = read_all(&[PathBuf::from(word)])?;
        let chosen = files.into_iter().map(|file| Chosen {
            reproduce: format!("brownout simulate {}", file.name),
            experiment: file.experiment,
            file: file.name,
            notes: Vec::new(),
        });
        let chosen: Vec<Chosen> = chosen.collect();
        if chosen.iter().any(|it| it.experiment.demo.is_none()) {
            let message = format!("`{word}` has no [demo]: brownout run is for it");
            return Err(Failure::new(Exit::Usage, message));
        }
        return Ok(chosen);
    }
    let originals: Vec<&str> = ORIGINAL.iter().map(|it| it.0).collect();
    Err(no_such(word, &originals))
}

/// Neither a story nor a file has this name; nor is it one of the other words that are known.
pub(in crate::commands) fn no_such(word: &str, others: &[&str]) -> Failure {
    let names = stories::STORIES.iter().map(|it| it.name);
    let names: Vec<&str> = names.chain(others.iter().copied()).collect();
    let hint =
        nearest(word, &names).map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
    Failure::new(
        Exit::Usage,
        format!(
            "no story fits `{word}`{hint}, and there is no such file; `brownout simulate --list` says which there are"
        ),
    )
}

/// A run of the original: its faults, and the protection that the flags say. Nothing is expected of it.
fn original(word: &str, story: &str, args: &SimulateArgs) -> Chosen {
    let story = stories::named(story).expect("it is one of the stories");
    let mut experiment = of_story(&story);
    let policy = match &args.policy {
        Some(policy) => DemoPolicy::Named(policy.clone()),
        None => DemoPolicy::Original {
            timeout: args.timeout,
            retries: args.retries,
            circuit_breakers: args.circuit_breakers,
        },
    };
    experiment.title = format!("the homepage's protection: {}", policy.describe());
    experiment.name = word.to_owned();
    experiment.because = None;
    if let Some(demo) = &mut experiment.demo {
        demo.policy = policy;
    }
    expect_nothing(&mut experiment);
    let mut reproduce = format!("brownout simulate {word}");
    if let Some(timeout) = args.timeout {
        add(
            &mut reproduce,
            format_args!(" --timeout {}", timeout.as_secs_f64()),
        );
    }
    for (flag, given) in [
        (" --retries", args.retries),
        (" --circuit-breakers", args.circuit_breakers),
    ] {
        reproduce.push_str(if given { flag } else { "" });
    }
    if let Some(policy) = &args.policy {
        add(&mut reproduce, format_args!(" --policy {policy}"));
    }
    Chosen {
        experiment,
        file: format!("experiments/stories/{}.toml", story.name),
        reproduce,
        notes: Vec::new(),
    }
}

fn expect_nothing(experiment: &mut Experiment) {
    for phase in &mut experiment.phases {
        phase.expect.clear();
        phase.after.clear();
    }
}

/// Changes a story as the flags say.
fn change(chosen: &mut Chosen, args: &SimulateArgs) {
    let experiment = &mut chosen.experiment;
    if let Some(duration) = args.duration {
        experiment.set_length(duration);
        add(
            &mut chosen.reproduce,
            format_args!(" --duration {}", duration.as_secs_f64()),
        );
    }
    if let Some(factor) = args.scale {
        experiment.scale(factor);
        add(&mut chosen.reproduce, format_args!(" --scale {factor}"));
    }
    if let Some(limit) = args.tail_limit {
        for phase in &mut experiment.phases {
            if let Some(tail) = &mut phase.tail {
                tail.limit = limit;
            }
        }
    }
    if let Some(count) = args.connections {
        experiment.load.arrivals = Arrivals::Closed(count as usize);
        add(
            &mut chosen.reproduce,
            format_args!(" --connections {count}"),
        );
    }
    if let Some(rate) = args.rate {
        open(&mut experiment.load, rate);
        add(&mut chosen.reproduce, format_args!(" --rate {rate}"));
    }
    if args.rate.is_some() || args.connections.is_some_and(|it| it != 10) {
        let had = experiment.phases.iter().any(|it| !it.expect.is_empty());
        expect_nothing(experiment);
        if had {
            chosen
                .notes
                .push("nothing is expected: the story's load is another one".to_owned());
        }
    }
    experiment.make_room();
}

/// An open loop: pages come at even times, and wait no longer than what may wait at once allows.
pub(crate) fn open(load: &mut Load, rate: f64) {
    load.arrivals = Arrivals::Open(rate);
    let longest = std::time::Duration::from_secs_f64(Load::IN_FLIGHT_MAX / rate);
    load.timeout = load.timeout.min(longest);
}

/// Adds a flag to a command.
fn add(command: &mut String, flag: std::fmt::Arguments<'_>) {
    command.write_fmt(flag).expect("a String takes everything");
}

/// The demo of a story.
pub(super) fn demo(experiment: &Experiment) -> &Demo {
    experiment.demo.as_ref().expect("stories have a demo")
}

/// Where the load of a demo goes.
pub(super) fn is_library(demo: &Demo) -> bool {
    demo.system == DemoSystem::Library
}
