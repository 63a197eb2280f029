//! What a file would do, without doing it.

use std::fmt::Write as _;

use super::{kind_word, length, span};
use crate::{
    experiment::{Expected, Experiment},
    run::planned,
};

/// What an experiment would do, for a person.
#[must_use]
pub fn plan(experiment: &Experiment, file: &str) -> String {
    let mut page = String::new();
    let mut say = |text: &str| writeln!(page, "{text}").expect("a String takes everything");
    say(&format!("{}: {}", experiment.name, experiment.title));
    say(&format!("file      {file}"));
    let proxy = match (&experiment.control, experiment.start) {
        (None, _) => "one of its own, started and stopped with the run".to_owned(),
        (Some(control), false) => format!("the one at {control}"),
        (Some(control), true) => {
            format!("the one at {control}, or one of its own where none answers")
        }
    };
    say(&format!("proxy     {proxy}"));
    for route in &experiment.routes {
        say(&format!(
            "route     {}: {} to {}",
            route.name, route.listen, route.upstream
        ));
    }
    say(&format!("load      {}", experiment.load.describe()));
    if let Some(watched) = experiment.load.watched() {
        say(&format!("watch     {}", watched.describe()));
    }
    let ms = u64::try_from(experiment.expected_length().as_millis()).unwrap_or(u64::MAX);
    let limit = u64::try_from(experiment.timeout.as_millis()).unwrap_or(u64::MAX);
    say(&format!(
        "length    about {}, at most {}",
        span(ms),
        span(limit)
    ));
    if experiment.verdict.repeat > 1 {
        say(&format!(
            "repeats   {} times what follows; a check must come out the same each time",
            experiment.verdict.repeat
        ));
    }
    let guard = &experiment.guard;
    for it in &guard.halt_if {
        say(&format!("halts if  {}", it.expectation));
    }
    for phase in planned(experiment) {
        say("");
        let name = match kind_word(phase.kind) {
            "phase" => format!("phase {}", phase.name),
            "after" => phase.name.clone(),
            word => word.to_owned(),
        };
        say(&format!("{name}, {}", length(&phase)));
        for fault in &phase.faults {
            say(&format!("  arms    {fault}"));
        }
        for expected in expected_of(experiment, &phase.name) {
            let needs = match expected.expectation.needs_evidence() {
                true => "  (needs GET /requests)",
                false => "",
            };
            say(&format!("  expects {}{needs}", expected.expectation));
        }
        if !phase.faults.is_empty() {
            say("  removes them");
        }
    }
    page
}

fn expected_of<'e>(experiment: &'e Experiment, name: &str) -> &'e [Expected] {
    if name == "steady" {
        return experiment.steady.as_ref().map_or(&[], |it| &it.expect);
    }
    if name == "recovery" {
        return experiment.recovery.as_ref().map_or(&[], |it| &it.expect);
    }
    for phase in &experiment.phases {
        if phase.name == name {
            return &phase.expect;
        }
        if name.strip_prefix("after ") == Some(phase.name.as_str()) {
            return &phase.after;
        }
    }
    &[]
}
