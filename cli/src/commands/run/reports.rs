//! The reports of a command: where they go, and that they can be written.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use brownout_experiment::{
    render,
    run::{Event, RunRecord},
};

use super::read::ExperimentFile;
use crate::{
    args::{Output, ReportPaths, RunArgs},
    exit::{Exit, Failure},
};

/// What stands for the experiment's name in a path.
const NAME: &str = "{name}";

/// The reports of one command.
#[derive(Debug)]
pub(crate) struct Reports {
    paths: ReportPaths,
    events: Option<(PathBuf, File)>,
    events_failed: bool,
    prints_json: bool,
    records: Vec<(RunRecord, ReportPaths)>,
    /// Of each record, whether its file lets GitHub be told.
    github: Vec<bool>,
    step_summary: Option<PathBuf>,
    annotates: bool,
}

impl Reports {
    /// Makes the directories that reports go to, so that a wrong path is told before the first run.
    pub(super) fn open(args: &RunArgs, files: &[ExperimentFile]) -> Result<Self, Failure> {
        for (flag, path) in [
            ("--json", &args.reports.json),
            ("--html", &args.reports.html),
        ] {
            if let Some(path) = path
                && files.len() > 1
                && !path.to_string_lossy().contains(NAME)
            {
                return Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "{flag} {}: with more than one file, put {NAME} into the path",
                        path.display()
                    ),
                ));
            }
        }
        for file in files {
            let own = &file.experiment.report;
            let ReportPaths {
                junit,
                json,
                html,
                markdown,
            } = &args.reports;
            let all = [
                &own.junit,
                &own.json,
                &own.html,
                &own.markdown,
                junit,
                json,
                html,
                markdown,
            ];
            for path in all.into_iter().flatten() {
                let path = named(path, &file.experiment.name);
                make_directory(&path).map_err(|error| no_file(&path, &error))?;
            }
        }
        let events = match &args.events {
            Some(path) => {
                make_directory(path).map_err(|error| no_file(path, &error))?;
                let file = File::create(path).map_err(|error| no_file(path, &error))?;
                Some((path.clone(), file))
            }
            None => None,
        };
        Ok(Self {
            paths: args.reports.clone(),
            events,
            events_failed: false,
            prints_json: args.output == Output::Json,
            records: Vec::new(),
            github: Vec::new(),
            step_summary: args.github_step_summary.clone(),
            // Between objects of JSON there is no place for such lines.
            annotates: args.github_actions.as_deref() == Some("true")
                && args.output == Output::Text,
        })
    }

    /// Writes an event, if they are wanted. What cannot be written is told at the end, and does not end the run.
    pub(super) fn event(&mut self, event: &Event) {
        if let Some((_, file)) = &mut self.events {
            let mut line = serde_json::to_vec(event).expect("an event is JSON");
            line.push(b'\n');
            self.events_failed |= file.write_all(&line).is_err();
        }
    }

    /// Writes the reports of one run.
    pub(super) fn add(&mut self, file: &ExperimentFile, events: &[Event]) -> Result<(), Failure> {
        let Some(record) = RunRecord::of(events) else {
            return Ok(()); // It never began.
        };
        if self.prints_json {
            println!("{}", super::super::to_json(&record));
        }
        let own = &file.experiment.report;
        let paths = ReportPaths {
            junit: self.paths.junit.clone().or(own.junit.clone()),
            json: self.paths.json.clone().or(own.json.clone()),
            html: self.paths.html.clone().or(own.html.clone()),
            markdown: self.paths.markdown.clone().or(own.markdown.clone()),
        };
        write_own(&paths, &record)?;
        self.records.push((record, paths));
        self.github.push(own.github);
        Ok(())
    }

    /// Writes the reports of runs that are over.
    pub(in crate::commands) fn write_all(
        paths: &ReportPaths,
        records: Vec<RunRecord>,
    ) -> Result<(), Failure> {
        for record in &records {
            write_own(paths, record)?;
        }
        let records: Vec<_> = records.into_iter().map(|it| (it, paths.clone())).collect();
        write_shared(&records)
    }

    /// Writes what tells of all runs.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        write_shared(&self.records)?;
        self.tell_github()?;
        match &self.events {
            Some((path, _)) if self.events_failed => Err(no_file(
                path,
                &io::Error::other("not every event could be written"),
            )),
            _ => Ok(()),
        }
    }
}

impl Reports {
    /// Adds to a step's summary, and shows what did not hold at its line, where this is a step of a GitHub workflow.
    fn tell_github(&self) -> Result<(), Failure> {
        let wanted: Vec<&RunRecord> = self
            .records
            .iter()
            .zip(&self.github)
            .filter_map(|((record, _), wanted)| wanted.then_some(record))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(path) = &self.step_summary {
            let mut options = OpenOptions::new();
            let opened = options.create(true).append(true).open(path);
            let added =
                opened.and_then(|mut file| file.write_all(render::markdown(&wanted).as_bytes()));
            added.map_err(|error| no_file(path, &error))?;
        }
        if self.annotates {
            for line in render::annotations(&wanted) {
                println!("{line}");
            }
        }
        Ok(())
    }
}

/// Writes the reports that are of one run alone.
fn write_own(paths: &ReportPaths, record: &RunRecord) -> Result<(), Failure> {
    let path = |path: &Path| named(path, &record.run.name);
    if let Some(json) = &paths.json {
        write(&path(json), &to_json(record))?;
    }
    if let Some(html) = &paths.html {
        write(&path(html), &render::html(record))?;
    }
    Ok(())
}

/// Writes the reports that may tell of several runs: those of one path together.
fn write_shared(records: &[(RunRecord, ReportPaths)]) -> Result<(), Failure> {
    type Render = fn(&[&RunRecord]) -> String;
    type PathOf = fn(&ReportPaths) -> Option<&PathBuf>;
    let forms: [(PathOf, Render); 2] = [
        (|it| it.junit.as_ref(), render::junit),
        (|it| it.markdown.as_ref(), render::markdown),
    ];
    for (path_of, render) in forms {
        let mut by_path: BTreeMap<PathBuf, Vec<&RunRecord>> = BTreeMap::new();
        for (record, paths) in records {
            if let Some(path) = path_of(paths) {
                by_path
                    .entry(named(path, &record.run.name))
                    .or_default()
                    .push(record);
            }
        }
        for (path, records) in by_path {
            write(&path, &render(&records))?;
        }
    }
    Ok(())
}

fn to_json(record: &RunRecord) -> String {
    let mut text = serde_json::to_string_pretty(record).expect("a record is JSON");
    text.push('\n');
    text
}

/// A path for one experiment.
pub(super) fn named(path: &Path, name: &str) -> PathBuf {
    PathBuf::from(path.to_string_lossy().replace(NAME, name))
}

fn make_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

/// Writes a file anew.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).write(true).truncate(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| no_file(path, &error))
}

/// A report that could not be written.
pub(in crate::commands) fn no_file(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(Exit::Usage, format!("could not write `{path}`: {error}"))
}
