//! `brownout report`: reports of a run whose events were written to a file.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
};

use brownout_experiment::{
    render::Terminal,
    run::{Event, RunRecord},
};

use crate::{
    args::ReportArgs,
    commands::run::{Reports, print_lines},
    exit::{Exit, Failure},
};

/// The longest file of events.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

pub(crate) fn run(args: &ReportArgs) -> Result<Exit, Failure> {
    let runs = read(args)?;
    let mut records = Vec::new();
    for events in &runs {
        let mut terminal = Terminal::new(false);
        for event in events {
            print_lines(&terminal.lines(event));
        }
        records.extend(RunRecord::of(events));
    }
    Reports::write_all(&args.reports, records)?;
    Ok(Exit::Ok)
}

/// The events of each run of a file.
fn read(args: &ReportArgs) -> Result<Vec<Vec<Event>>, Failure> {
    let name = args.events.display();
    let wrong = |why: String| Failure::new(Exit::Usage, format!("could not read `{name}`: {why}"));
    let file = File::open(&args.events).map_err(|error| wrong(error.to_string()))?;
    let mut runs: Vec<Vec<Event>> = Vec::new();
    for (index, line) in BufReader::new(file.take(BYTES_MAX)).lines().enumerate() {
        let line = line.map_err(|error| wrong(error.to_string()))?;
        let event: Event = serde_json::from_str(&line)
            .map_err(|error| wrong(format!("line {}: no event: {error}", index + 1)))?;
        match (&event, runs.last_mut()) {
            (Event::RunStarted(_), _) => runs.push(vec![event]),
            (_, Some(run)) => run.push(event),
            (_, None) => {
                return Err(wrong(
                    "it does not begin with the start of a run".to_owned(),
                ));
            }
        }
    }
    if runs.is_empty() {
        return Err(wrong("it has no events".to_owned()));
    }
    Ok(runs)
}
